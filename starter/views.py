"""Draw views of the training photos and ask the teacher about each.

    python starter/views.py WORK --views 4

writes for every view WORK/views/N/pixels.npy, logits.npy and what the pretrained network below sees
in each place: middle.npy and last.npy, the first principal components of its maps. A view that lies
there already is not drawn again. The first view is the photo as it is. A view is drawn once and
asked about once, so that the answer is about what the student sees, and costs little over many
epochs.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pawprint.data.images import Pixels, open_photo
from pawprint.model import backbones
from pawprint.model.network import Network, outputs, upper_model
from pawprint.model.prefix import compile_together
from pawprint.parallel import map_chunks
from pawprint.progress import Terminal

TEACHER_SIZE, STUDENT_SIZE = 224, 128
_CUT = "block_15_add"  # below it the teacher is as it was pretrained
_MIDDLE = "block_12_add"  # 14 x 14 places with 96 channels
COMPONENTS = {"middle": 32, "last": 96}
_FITTED_ON = 400  # photos
_AREA, _RATIO = (0.25, 1.0), (3 / 4, 4 / 3)  # of a crop
_LIGHT, _COLOUR, _HUE = 0.35, 0.5, 0.06
_GREY = 0.08  # the part of the views without colour


@dataclass(frozen=True)
class Photo:
    """One photo to learn from.

    Args:
        path: its file.
        label: 0 for a cat, 1 for a dog.
    """

    path: Path
    label: int


def photos_of(run: Path, split: str) -> list[Photo]:
    """The photos of a run's split, without those that were left out of it as copies."""
    with (run / "manifest.csv").open(newline="", encoding="utf-8") as rows:
        return [
            Photo(Path(row["path"]), int(row["label"] == "dog"))
            for row in csv.DictReader(rows)
            if row["split"] == split
        ]


@dataclass(frozen=True)
class Components:
    """The first principal components of a map's channels.

    Args:
        mean: float32, shape (channels,).
        directions: float32, shape (channels, components), such that their mean variance is 1.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    @classmethod
    def fit(cls, maps: NDArray[np.float16], count: int) -> Components:
        """Those of some maps, (n, height, width, channels)."""
        flat = maps.reshape(-1, maps.shape[-1]).astype(np.float32)
        mean = flat.mean(axis=0)
        flat -= mean
        variances, directions = np.linalg.eigh(flat.T @ flat / len(flat))
        print(f"{count} components hold {variances[-count:].sum() / variances.sum():.0%}")
        return cls(mean, directions[:, -count:] / np.sqrt(variances[-count:].mean()))

    def of(self, maps: NDArray[np.float16]) -> NDArray[np.float16]:
        """The components in every place, (n, height, width, components)."""
        return ((maps.astype(np.float32) - self.mean) @ self.directions).astype(np.float16)


class Teacher:
    """The classifier that teaches, and the pretrained network that it came from.

    Args:
        run: where it was trained.
        photos: to find principal components with.
    """

    def __init__(self, run: Path, photos: Sequence[Photo]) -> None:
        pretrained = backbones.build(size=TEACHER_SIZE, offline=True)
        cuts = [(_CUT, False), (_MIDDLE, False), (pretrained.last, False)]
        below = compile_together(pretrained, cuts)
        if below is None:
            raise SystemExit("OpenVINO computes this: hide the GPU, with CUDA_VISIBLE_DEVICES=")
        self._below = below
        whole = keras.models.load_model(run / "model" / "model.keras")
        inner = next(la for la in whole.layers if isinstance(la, keras.Model))
        head = tuple(whole.layers[whole.layers.index(inner) + 1 :])
        tuned = replace(pretrained, network=inner)
        self._above = upper_model(Network(tuned, head), _CUT)
        some = photos[:: max(1, len(photos) // _FITTED_ON)]
        _, *seen = zip(*self._below([_square(_opened(p), TEACHER_SIZE) for p in some]), strict=True)
        self._components = {
            name: Components.fit(np.stack(maps), count)
            for (name, count), maps in zip(COMPONENTS.items(), seen, strict=True)
        }

    def __call__(self, photos: list[Pixels]) -> dict[str, NDArray[Any]]:
        """What it says of some photos.

        Args:
            photos: uint8, shape (224, 224, 3).

        Returns:
            `logits` of a dog, float32, shape (n,); by the names of `COMPONENTS` maps, float16,
            shape (n, height, width, components).
        """
        features, *seen = zip(*self._below(photos), strict=True)
        dog = outputs(self._above, np.stack(features))[:, 0].astype(np.float64)
        dog = np.clip(dog, 1e-6, 1 - 1e-6)
        maps = {
            name: of.of(np.stack(found))
            for (name, of), found in zip(self._components.items(), seen, strict=True)
        }
        return {"logits": np.log(dog / (1 - dog)).astype(np.float32), **maps}


def draw(photo: Image.Image, random: np.random.Generator | None) -> Image.Image:
    """A view of a photo: a crop, other light and colours, perhaps mirrored; the photo without."""
    if random is None:
        return photo
    width, height = photo.size
    area = random.uniform(*_AREA) * width * height
    ratio = np.exp(random.uniform(*np.log(_RATIO)))
    wide, high = min(width, (area * ratio) ** 0.5), min(height, (area / ratio) ** 0.5)
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    side = TEACHER_SIZE
    view = photo.resize(
        (side, side), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high)
    )
    if random.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Image.fromarray(_coloured(np.asarray(view), random))


def _coloured(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Other brightness, contrast, saturation and hue."""
    values = pixels.astype(np.float32)
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = random.uniform(1 - _COLOUR, 1 + _COLOUR)
    if random.random() < _GREY:
        saturation = 0.0
    angle = 2 * np.pi * random.uniform(-_HUE, _HUE)
    # A turn about the grey axis, by Rodrigues' formula.
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross
    turn += (1 - np.cos(angle)) * np.outer(axis, axis)
    colour = (values - grey[..., np.newaxis]) @ turn.T.astype(np.float32)
    values = grey[..., np.newaxis] + saturation * colour
    contrast, light = random.uniform(1 - _LIGHT, 1 + _LIGHT, 2)
    mean = float(grey.mean())
    values = (values - mean) * contrast + mean * light
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def write_view(folder: Path, number: int, photos: Sequence[Photo], teacher: Teacher) -> None:
    """Draw one view of every photo, and keep it with the teacher's answers."""
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    count = len(photos)
    kept = {"pixels": _file(partial, "pixels", np.uint8, (count, STUDENT_SIZE, STUDENT_SIZE, 3))}

    def answer(rows: Sequence[int]) -> tuple[Sequence[int], list[Pixels], dict[str, Any]]:
        views = []
        for row in rows:
            random = np.random.default_rng([number, row]) if number else None
            views.append(draw(_opened(photos[row]), random))
        small = [_square(view, STUDENT_SIZE) for view in views]
        return rows, small, teacher([_square(view, TEACHER_SIZE) for view in views])

    with Terminal().step(f"View {number}", count) as advance:
        for rows, small, found in map_chunks(answer, range(count), size=64):
            kept["pixels"][rows] = small
            for name, values in found.items():
                if name not in kept:
                    shape = (count, *values.shape[1:])
                    kept[name] = _file(partial, name, values.dtype, shape)
                kept[name][rows] = values
            advance(rows[-1] + 1)
    for values in kept.values():
        values.flush()
    partial.rename(folder)


def _file(folder: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)


def _opened(photo: Photo) -> Image.Image:
    return open_photo(photo.path.read_bytes(), str(photo.path)).picture


def _square(view: Image.Image, side: int) -> Pixels:
    return np.asarray(view.resize((side, side), Image.Resampling.BILINEAR))


def main() -> None:
    """Draw the views that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="with photos/ and teacher/")
    parser.add_argument("--views", type=int, default=4, help="of each photo")
    given = parser.parse_args()
    photos = photos_of(given.work / "teacher", "train")
    folders = {number: given.work / "views" / str(number) for number in range(given.views)}
    if missing := [number for number, folder in folders.items() if not folder.exists()]:
        teacher = Teacher(given.work / "teacher", photos)
        for number in missing:
            write_view(folders[number], number, photos, teacher)


if __name__ == "__main__":
    main()
