"""Copies: whatever was done to a drawn photo it is known again, and no other is taken for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pawprint.data.copies import ALIKE, Copies, copies_among, exact_copies, likeness, near_copies
from pawprint.data.glance import Glances
from pawprint.data.reading import Read, read_all
from pawprint.data.samples import KINDS, draw
from pawprint.data.sources import Source, SourcePhoto, open_source

NEAR = 224
SEEDS = range(10)


def cropped(picture: Image.Image) -> Image.Image:
    """Without 3 % on each side."""
    width, height = picture.size
    box = (round(0.03 * width), round(0.03 * height), round(0.97 * width), round(0.97 * height))
    return picture.crop(box)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda picture: picture,
    "half": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "mirrored": ImageOps.mirror,
    "brighter": lambda picture: picture.point(lambda value: min(255, value * 6 // 5)),
    "cropped": cropped,
}


def put(path: Path, picture: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def groups_of(source: Source, *, near: bool = True) -> list[set[str]]:
    """Groups of copies in a source, by their files' names."""
    reads, faults = read_all(source)
    assert faults == []
    glances = Glances(None, NEAR)
    glances.bring(source, reads)
    copies = copies_among(source, reads, glances, near=near)
    assert (copies.final, copies.unsettled) == (True, 0)
    return [{Path(reads[number].photo.path).name for number in group} for group in copies.groups]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, and of each all that may be done to it, in both classes."""
    folder = tmp_path_factory.mktemp("changed")
    for kind in KINDS:
        for seed in SEEDS:
            picture = draw(kind, seed)
            put(folder / kind / f"{kind}{seed} plain.png", picture)
            for place, (name, change) in enumerate(CHANGES.items()):
                path = folder / KINDS[place % 2] / f"{kind}{seed} {name}.jpg"
                put(path, change(picture), quality=60)
    return folder


def test_all_copies_of_a_photo_are_a_group_and_nothing_else_is(changed: Path) -> None:
    with open_source(changed) as source:
        found = groups_of(source)
    names = {f"{kind}{seed}" for kind in KINDS for seed in SEEDS}
    assert {frozenset(group) for group in found} == {
        frozenset({f"{name} plain.png", *(f"{name} {change}.jpg" for change in CHANGES)})
        for name in names
    }


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_copy_is_found_on_its_own(changed: Path, tmp_path: Path, name: str) -> None:
    for path in changed.glob("*/*"):
        if name in path.name or "plain" in path.name:
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / path.parent.name)
    for kind in KINDS:  # two classes, whatever was copied
        put(tmp_path / kind / f"other {kind}.png", draw(kind, 99))
    with open_source(tmp_path) as source:
        found = groups_of(source)
    names = {f"{kind}{seed}" for kind in KINDS for seed in SEEDS}
    assert set(map(frozenset, found)) == {
        frozenset({f"{one} plain.png", f"{one} {name}.jpg"}) for one in names
    }


def test_different_photos_are_no_copies(tmp_path: Path) -> None:
    for kind in KINDS:
        for seed in range(40):
            put(tmp_path / kind / f"{seed}.bmp", draw(kind, seed, (128, 128)))
    with open_source(tmp_path) as source:
        assert groups_of(source) == []


def test_only_the_same_bytes_where_near_copies_are_not_wanted(
    changed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(changed, tmp_path / "photos"))
    shutil.copy(folder / "cat" / "cat3 plain.png", folder / "dog" / "again.png")
    with open_source(folder) as source:
        assert groups_of(source, near=False) == [{"cat3 plain.png", "again.png"}]


def test_nearly_blank_photos_are_copies_only_by_their_bytes(tmp_path: Path) -> None:
    for place, kind in enumerate(KINDS):
        put(tmp_path / kind / f"white {kind}.png", Image.new("RGB", (64, 64 + place), "white"))
        put(tmp_path / kind / f"black {kind}.png", Image.new("RGB", (64, 64), "black"))
        noise = np.random.default_rng(place).normal(200, 4, (64, 64)).clip(0, 255)
        put(tmp_path / kind / f"paper {kind}.png", Image.fromarray(noise.astype(np.uint8)))
    with open_source(tmp_path) as source:
        assert groups_of(source) == [{"black cat.png", "black dog.png"}]


def test_what_was_not_glanced_at_is_compared_by_its_bytes_for_now(changed: Path) -> None:
    with open_source(changed) as source:
        reads, _ = read_all(source)
        glances = Glances(None, NEAR)
        glances.bring(source, reads[1:])
        found = copies_among(source, reads, glances, near=True)
    assert found == Copies((), final=False)


def test_a_photo_that_has_gone_meanwhile_is_no_copy(changed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(changed, tmp_path / "photos"))
    with open_source(folder) as source:
        reads, _ = read_all(source)
        glances = Glances(None, NEAR)
        glances.bring(source, reads)
        for path in folder.glob("*/*cropped*"):
            path.write_bytes(b"")
        seen = glances.take([read.sha256 for read in reads])
        copies = near_copies(source, reads, seen)
    members = [{Path(reads[number].photo.path).stem for number in one} for one in copies.groups]
    assert len(members) == len(KINDS) * len(SEEDS)
    alone = [group for group in members if not any("cropped" in name for name in group)]
    assert alone  # some could only be told by comparing pixels


def test_of_no_photos_there_are_no_copies(changed: Path) -> None:
    with open_source(changed) as source:
        assert copies_among(source, [], Glances(None, NEAR), near=True) == Copies()


def test_likeness_tells_copies_from_other_photos() -> None:
    pictures = [draw(kind, seed, (120, 90)) for kind in KINDS for seed in range(6)]
    for number, picture in enumerate(pictures):
        assert likeness(picture, ImageOps.mirror(picture)) > 0.98
        assert likeness(picture, cropped(picture)) > ALIKE
        assert all(likeness(picture, other) < ALIKE for other in pictures[:number])


def test_likeness_of_what_has_one_shade_is_nothing() -> None:
    grey, white = (Image.new("RGB", (20, 10), shade) for shade in ("grey", "white"))
    assert likeness(grey, white) == 0


# exact copies and keys


def reads_of(contents: str, groups: Sequence[str | None] | None = None) -> list[Read]:
    """A read for each letter, which is its content."""
    return [
        Read(SourcePhoto(f"{number}.jpg", "cat", None, group), content * 64, 10)
        for number, (content, group) in enumerate(
            zip(contents, groups or [None] * len(contents), strict=True)
        )
    ]


def test_exact_copies_have_the_same_bytes() -> None:
    assert exact_copies(reads_of("abacbd")) == Copies(((0, 2), (1, 4)))
    assert exact_copies(reads_of("abc")).groups == ()
    assert exact_copies([]).groups == ()
    assert exact_copies(reads_of("aa"), final=False) == Copies(((0, 1),), final=False)


@pytest.mark.parametrize(
    ("contents", "groups", "copies", "expected"),
    [
        ("bac", None, (), "bac"),
        ("bac", None, ((0, 1),), "aac"),
        ("dcba", None, ((0, 1), (2, 3)), "ccaa"),
        ("dcba", None, ((0, 1), (1, 3)), "aaba"),
        ("abcd", ["x", None, "x", None], (), ["x", "b", "x", "d"]),
        ("abcd", ["x", None, "x", None], ((1, 2),), ["x", "x", "x", "d"]),
        # 0 and 1 are of a group, 1 and 2 copies, 2 and 3 of another group, 3 and 4 copies
        ("abcde", ["y", "y", "x", "x", None], ((1, 2), (3, 4)), ["x"] * 5),
        ("abcde", [None, "y", None, None, None], ((0, 1), (2, 3)), ["y", "y", "c", "c", "e"]),
        ("abc", ["", "x", "x"], (), ["a", "x", "x"]),
    ],
)
def test_a_key_is_shared_by_all_that_stay_together(
    contents: str,
    groups: list[str | None] | None,
    copies: tuple[tuple[int, ...], ...],
    expected: Sequence[str],
) -> None:
    keys = Copies(copies).keys(reads_of(contents, groups))
    assert keys == [64 * key if key in "abcde" else key for key in expected]


def test_keys_do_not_depend_on_the_order_of_the_photos() -> None:
    reads = reads_of("abcdef", ["y", "y", "x", "x", None, None])
    forward = Copies(((1, 2), (4, 5))).keys(reads)
    backward = Copies(((3, 4), (0, 1))).keys(reads[::-1])
    assert forward == backward[::-1]


def test_a_photo_alone_in_its_group_has_the_key_that_it_has_with_others() -> None:
    """So that others of the group, added later, do not move it to another side."""
    alone = Copies().keys(reads_of("ab", ["x", None]))
    together = Copies().keys(reads_of("abc", ["x", None, "x"]))
    assert alone == together[:2]  # by the group's name


def test_of_no_photos_there_are_no_keys() -> None:
    assert Copies().keys([]) == []
