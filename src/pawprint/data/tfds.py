"""Datasets of tensorflow-datasets, exported once into a zip of class folders in the cache.

The photos stay the bytes that the dataset stores; they are not decoded and encoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pawprint.data.cache import cache_folder, locked, replacing
from pawprint.data.layout import SPLIT_NAMES, wanted
from pawprint.data.wording import os_reason
from pawprint.errors import DownloadError, MissingExtra, SourceError
from pawprint.progress import SILENT, Progress

_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89P": "png", b"GI": "gif", b"BM": "bmp", b"RI": "webp"}


def export(asked: str, *, offline: bool = False, progress: Progress = SILENT) -> Path:
    """Export a dataset, or find what an earlier export left.

    Args:
        asked: `NAME` or `NAME:SPLIT`, as tensorflow-datasets takes them; without a split all are
            exported that are called train, validation or test.
        offline: do not download a dataset that is not prepared on this machine.
        progress: where to show how it goes.

    Returns:
        A zip of class folders, in folders of splits where several are exported.

    Raises:
        MissingExtra: tensorflow-datasets is not installed.
        SourceError: there is no such dataset or split, or it has no photos with a class.
        DownloadError: it is not prepared on this machine, and `offline` is set.
    """
    name, _, split = asked.partition(":")
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", asked)[:80].lstrip(".")
    key = hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = cache_folder() / "tfds" / key / f"{stem or 'dataset'}.zip"
    if path.is_file():
        return path
    tfds = _load()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        busy = f"another process is exporting {asked}; waiting for it"
        with locked(path.parent / ".lock", lambda: progress.say(busy)):
            if not path.is_file():
                builder = _prepared(tfds, name, offline, progress)
                _write(tfds, builder, asked, _splits(builder, asked, split), path, progress)
    except OSError as error:
        raise SourceError(
            f"tfds:{asked} cannot be kept in {path.parent} ({os_reason(error)}); make room there, "
            "or set PAWPRINT_CACHE to a folder that can be written and has room"
        ) from error
    return path


def _load() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise MissingExtra("a source tfds:NAME", error.name or error, "tfds") from None
    if importlib.util.find_spec("tensorflow") is None:  # else missed only in the middle of it
        raise MissingExtra("a source tfds:NAME", "tensorflow", "tfds")
    return tensorflow_datasets


def _prepared(tfds: Any, name: str, offline: bool, progress: Progress) -> Any:
    """The dataset, downloaded and prepared by tensorflow-datasets where it keeps them."""
    try:
        builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
        _check_features(tfds, builder, name)
        if not builder.is_prepared():
            if offline:
                raise DownloadError(
                    f"tfds:{name} is not prepared in {builder.data_path}, and nothing is "
                    "downloaded offline; run the command once with a connection"
                )
            tfds.disable_progress_bar()
            told = contextlib.redirect_stdout(sys.stderr)  # where it shows what it does
            with progress.step(f"Preparing {name}", None), told:
                builder.download_and_prepare()
    except SourceError:
        raise
    except tfds.core.DatasetNotFoundError:
        raise SourceError(
            f"tensorflow-datasets has no dataset {name!r}; "
            "www.tensorflow.org/datasets/catalog lists them"
        ) from None
    except Exception as error:  # a dataset's own code may raise anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(f"tensorflow-datasets cannot prepare {name!r} ({first})") from error
    return builder


def _check_features(tfds: Any, builder: Any, name: str) -> None:
    features = builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    has = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    if not all(isinstance(has.get(key), kind) for key, kind in kinds.items()):
        listed = ", ".join(f"{key} ({type(value).__name__})" for key, value in has.items())
        raise SourceError(
            f"tfds:{name} has no photos with one class each; expected the features image (Image) "
            f"and label (ClassLabel), and it has {listed or type(features).__name__}"
        )


def _splits(builder: Any, asked: str, split: str) -> dict[str, str]:
    """The splits to export, each with its name here; none where it is the only one."""
    if split:
        return {split: ""}
    known = {name: SPLIT_NAMES[name] for name in builder.info.splits if name in SPLIT_NAMES}
    if "train" in known:
        return known if len(known) > 1 else {"train": ""}
    has = ", ".join(builder.info.splits)
    raise SourceError(f"tfds:{asked} has no split train, only {has}; name one: tfds:{asked}:SPLIT")


def _write(
    tfds: Any, builder: Any, asked: str, splits: dict[str, str], path: Path, progress: Progress
) -> None:
    unlabelled = 0
    labels = _folder_names(builder.info.features["label"].names)
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        for split, here in splits.items():
            try:
                total = builder.info.splits[split].num_examples
            except (KeyError, ValueError):
                has = ", ".join(builder.info.splits)
                what = f"tfds:{asked}: there is no split {split!r}"
                raise SourceError(f"{what}; it has {has}, and parts like train[:50%]") from None
            with progress.step(f"Exporting {split}", total) as advance:
                for number, (label, photo) in enumerate(_examples(tfds, builder, split)):
                    if label < 0:  # what tensorflow-datasets gives photos without a class
                        unlabelled += 1
                    else:
                        suffix = _SUFFIXES.get(photo[:2], "jpg")
                        parts = (here, labels[label], f"{number:07}.{suffix}")
                        made.writestr("/".join(filter(None, parts)), photo)
                    advance(1)
    if unlabelled:
        progress.say(f"tfds:{asked}: {unlabelled:,} photos have no class and are left out")


def _examples(tfds: Any, builder: Any, split: str) -> Iterator[tuple[int, bytes]]:
    decoders = tfds.decode.PartialDecoding(
        {"image": builder.info.features["image"], "label": builder.info.features["label"]},
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    found = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
    for example in tfds.as_numpy(found):
        yield int(example["label"]), bytes(example["image"])


def _folder_names(labels: list[str]) -> list[str]:
    """Class names as names of folders, each still its own."""
    names: list[str] = []
    for label in labels:
        name = re.sub(r"[/\\]", "_", label) or "_"
        if not wanted(name) or re.match("[A-Za-z]:", name):
            name = f"_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return names
