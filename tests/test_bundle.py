"""Bundles: any byte that changed is noticed, and folders are written whole or not at all."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pawprint
from pawprint import bundle
from pawprint.errors import BundleError, OutputError

FILES = ("model.onnx", "model.keras", "pawprint.json")


def resealed(folder: Path, **changes: Any) -> Path:
    """Change a card's values and seal it again, as a writer of it would have."""
    card = folder / "pawprint.json"
    text = json.dumps({**json.loads(card.read_text("utf-8")), **changes}, indent=2)
    card.write_bytes(bundle._sealed(text.encode()))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as error:
        pawprint.load(folder)
    return str(error.value)


def test_an_untouched_bundle_opens(own_bundle: Path) -> None:
    assert pawprint.load(own_bundle).classes == ("cat", "dog")
    card, onnx = bundle.read(own_bundle)
    assert len(onnx) == card.files["model.onnx"].bytes
    assert set(card.files) == {"model.onnx", "model.keras", "MODEL_CARD.md"}


def test_sealing_again_without_a_change_opens(own_bundle: Path) -> None:
    assert pawprint.load(resealed(own_bundle)).classes == ("cat", "dog")


@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_is_refused_naming_the_file(own_bundle: Path, name: str) -> None:
    path = own_bundle / name
    intact = path.read_bytes()
    draw = random.Random(name)
    places = {0, len(intact) - 1, *draw.sample(range(len(intact)), 60)}
    for place in sorted(places):
        changed = bytearray(intact)
        changed[place] ^= draw.randrange(1, 256)
        path.write_bytes(changed)
        assert name in refusal(own_bundle), place
    path.write_bytes(intact)
    pawprint.load(own_bundle)


def test_every_changed_byte_of_the_seal_itself_is_refused(own_bundle: Path) -> None:
    path = own_bundle / "pawprint.json"
    intact = path.read_bytes()
    start = intact.index(b'"seal": "')
    for place in range(start, len(intact) - 2):
        for new in (b"g", b"A", b"0", b" ", b"\t", b'"'):
            changed = intact[:place] + new + intact[place + 1 :]
            if changed != intact:
                path.write_bytes(changed)
                assert "pawprint.json" in refusal(own_bundle), changed[start:]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\n", lambda data: b""]
)
def test_a_file_cut_short_or_extended_is_refused(
    own_bundle: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    path = own_bundle / name
    path.write_bytes(change(path.read_bytes()))
    assert name in refusal(own_bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(own_bundle: Path, name: str) -> None:
    (own_bundle / name).unlink()
    assert name in refusal(own_bundle)


def test_files_of_another_bundle_are_refused(own_bundle: Path, run_of_three: Any) -> None:
    shutil.copy(run_of_three.model / "model.onnx", own_bundle)
    assert "model.onnx was changed" in refusal(own_bundle)


@pytest.mark.parametrize(
    "changes",
    [{"schema_version": 2}, {"decoding": 99}, {"something_new": 1}, {"unknown": {"limit": 3}}],
)
def test_what_a_newer_version_wrote_says_so(own_bundle: Path, changes: dict[str, Any]) -> None:
    text = refusal(resealed(own_bundle, **changes))
    assert "pawprint.json" in text
    assert "update pawprint" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["cat"]},
        {"threshold": 1.5},
        {"temperature": 0},
        {"preprocessing": {"size": 7}},
        {"files": {}},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(own_bundle: Path, changes: dict[str, Any]) -> None:
    assert "pawprint.json" in refusal(resealed(own_bundle, **changes))


@pytest.mark.parametrize("text", [b"", b"{}", b"no json", b"\xff\xfe", b"[1, 2]"])
def test_a_card_that_is_none_is_refused(own_bundle: Path, text: bytes) -> None:
    (own_bundle / "pawprint.json").write_bytes(text)
    assert "pawprint.json" in refusal(own_bundle)


def test_a_run_and_its_bundle_are_the_same_to_load(run: pawprint.Run) -> None:
    assert bundle.find(run.path) == bundle.find(run.model) == run.model


@pytest.mark.parametrize(
    ("place", "why"), [("nowhere", "is not a folder"), ("", "has no pawprint.json")]
)
def test_a_place_without_a_bundle_says_what_is_expected(
    tmp_path: Path, place: str, why: str
) -> None:
    text = refusal(tmp_path / place)
    assert why in text
    assert "expected a bundle or a run" in text


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with bundle.whole_folder(tmp_path / "deep" / "out") as partial:
        (partial / "a").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "a").read_text() == "a"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError, OSError])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    expected = OutputError if fault is OSError else fault
    with pytest.raises(expected), bundle.whole_folder(tmp_path / "out") as partial:  # noqa: PT012
        (partial / "a").write_text("a")
        raise fault
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with (  # noqa: PT012 - its end raises, not what is within
        pytest.raises(OutputError, match="exists already"),
        bundle.whole_folder(tmp_path / "out") as partial,
    ):
        (partial / "a").write_text("a")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("b")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with bundle.whole_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("a")
    assert (tmp_path / "out" / "a").is_file()


@pytest.mark.parametrize("name", ["x" * 255, "🐾" * 63, "猫" * 85], ids=["1", "4", "3"])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    with bundle.whole_folder(tmp_path / name) as partial:
        (partial / "a").write_text("a")
    assert (tmp_path / name / "a").is_file()


def test_a_name_too_long_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"[Nn]ame too long"):
        bundle.check_writable(tmp_path / ("x" * 256))
