"""Whatever is changed in a bundle is noticed; `benchmarks/tamper.py` does it to a large one."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import pytest

from pawprint import bundle
from pawprint.errors import BundleError

KEPT = Path(__file__).parent / "fixtures" / "bundle-1" / "model"
FILES = ("MODEL_CARD.md", "model.keras", "model.onnx", "pawprint.json")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small bundle, to be changed at will."""
    return Path(shutil.copytree(KEPT, tmp_path / "bundle"))


def test_of_a_thousand_changed_bytes_a_thousand_are_noticed(copy: Path) -> None:
    draw, noticed = random.Random(7), 0
    for name in FILES:
        path = copy / name
        size = path.stat().st_size
        with path.open("r+b", buffering=0) as file:
            for stretch in range(250):
                place = draw.randrange(size * stretch // 250, size * (stretch + 1) // 250)
                file.seek(place)
                old = file.read(1)
                file.seek(place)
                file.write(bytes([old[0] ^ draw.randrange(1, 256)]))
                with pytest.raises(BundleError, match=name):
                    bundle.read(copy)
                noticed += 1
                file.seek(place)
                file.write(old)
        bundle.read(copy)
    assert noticed == 1000


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_or_extended_anywhere_is_noticed(copy: Path, name: str) -> None:
    draw, path = random.Random(name), copy / name
    intact = path.read_bytes()
    for _ in range(20):
        place = draw.randrange(len(intact))
        for changed in (
            intact[:place],
            intact[:place] + intact[place + 1 :],
            intact[:place] + b" " + intact[place:],
            intact + draw.randbytes(draw.randint(1, 99)),
        ):
            path.write_bytes(changed)
            with pytest.raises(BundleError, match=name):
                bundle.read(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_noticed(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        bundle.read(copy)
    (copy / name).mkdir()
    with pytest.raises(BundleError, match=name):
        bundle.read(copy)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FILES, 2)))
def test_files_in_each_others_place_are_noticed(copy: Path, one: str, other: str) -> None:
    contents = [(copy / name).read_bytes() for name in (one, other)]
    for name, data in zip((other, one), contents, strict=True):
        (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{one}|{other}"):
        bundle.read(copy)


def test_the_card_of_another_bundle_is_noticed(copy: Path) -> None:
    other = KEPT.parents[1] / "bundle-1-three" / "model"
    shutil.copy(other / bundle.CARD, copy)
    with pytest.raises(BundleError, match="was changed"):
        bundle.read(copy)


def test_a_file_that_the_card_does_not_list_is_no_part_of_the_bundle(copy: Path) -> None:
    (copy / ".DS_Store").write_bytes(b"a file manager's notes")
    (copy / "model").mkdir()
    assert bundle.read(copy) == bundle.read(KEPT)
