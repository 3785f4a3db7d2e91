"""Findings about copies: which to keep, which labels cannot both be right, what leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint.data.copies import Copies, exact_copies
from pawprint.data.dataset import assign_sides
from pawprint.data.glance import GLANCE
from pawprint.data.layout import SourcePhoto
from pawprint.data.reading import Read
from pawprint.doctor.copies import examine_copies
from pawprint.doctor.findings import Finding


class Photos:
    """Photos of which only paths, contents and sizes are known."""

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.sizes: list[tuple[int, int]] = []

    def add(
        self, path: str, content: str, group: str | None = None, size: tuple[int, int] = (40, 30)
    ) -> None:
        """A photo of the class and, where there are three parts, the split that its path says."""
        *split, label, _ = path.split("/")
        photo = SourcePhoto(path, label, split[0] if split else None, group)
        self.reads.append(Read(photo, content * 64, 1))
        self.sizes.append(size)

    def findings(self, *groups: tuple[int, ...]) -> list[Finding]:
        """What is told of groups of copies, by default of those of the same content."""
        glances: NDArray[Any] = np.zeros(len(self.reads), GLANCE)
        glances["width"], glances["height"] = np.array(self.sizes).reshape(-1, 2).T
        copies = Copies(groups) if groups else exact_copies(self.reads)
        return list(examine_copies(self.reads, glances, copies))


def made(*photos: tuple[str, str] | tuple[str, str, str]) -> Photos:
    all_of = Photos()
    for photo in photos:
        all_of.add(*photo)
    return all_of


def test_photos_without_copies_give_no_findings() -> None:
    assert made(("cat/1", "a"), ("cat/2", "b"), ("dog/1", "c")).findings() == []
    assert Photos().findings() == []


def test_of_the_same_bytes_all_but_the_first_can_go() -> None:
    photos = made(("cat/3", "a"), ("cat/1", "a"), ("dog/1", "b"), ("cat/2", "a"))
    paths = ("cat/1", "cat/2", "cat/3")
    assert photos.findings() == [Finding("duplicate", "3 copies in cat", paths, paths[1:])]


def test_of_near_copies_all_but_the_largest_can_go() -> None:
    photos = Photos()
    for name, size in (("1", (40, 30)), ("2", (100, 20)), ("3", (30, 60)), ("4", (20, 100))):
        photos.add(f"cat/{name}", name, size=size)
    assert photos.findings((0, 1, 2, 3)) == [
        Finding(
            "near-duplicate",
            "4 copies in cat",
            ("cat/2", "cat/4", "cat/3", "cat/1"),
            ("cat/4", "cat/3", "cat/1"),
        )
    ]


def test_large_photos_are_compared_by_their_true_size() -> None:
    photos = Photos()
    photos.add("cat/1", "a", size=(70_000, 70_000))  # more pixels than 32 bits count
    photos.add("cat/2", "b", size=(30_000, 30_000))
    (found,) = photos.findings((0, 1))
    assert found.paths == ("cat/1", "cat/2")


def test_a_picture_in_several_classes_is_a_conflict_and_all_can_go() -> None:
    photos = made(("dog/1", "a"), ("cat/1", "a"), ("cat/2", "a"), ("owl/1", "b"))
    paths = ("cat/1", "cat/2", "dog/1")
    detail = "the same bytes, in cat and dog"
    assert photos.findings() == [Finding("label-conflict", detail, paths, paths)]
    (near,) = photos.findings((0, 1, 2, 3))
    assert near.detail == "nearly the same, in cat, dog and owl"


def test_of_a_picture_on_several_sides_the_one_that_judges_stays() -> None:
    photos = made(
        ("train/cat/1", "a"),
        ("validation/cat/1", "a"),
        ("train/cat/2", "a"),
        ("test/cat/1", "a"),
        ("train/dog/1", "b"),
        ("validation/dog/1", "b"),
    )
    assert photos.findings() == [
        Finding(
            "leak",
            "the same bytes, in test, validation and train",
            ("test/cat/1", "validation/cat/1", "train/cat/1", "train/cat/2"),
            ("validation/cat/1", "train/cat/1", "train/cat/2"),
        ),
        Finding(
            "leak",
            "the same bytes, in validation and train",
            ("validation/dog/1", "train/dog/1"),
            ("train/dog/1",),
        ),
    ]


def test_copies_on_one_side_are_no_leak() -> None:
    photos = made(("test/cat/1", "a"), ("test/cat/2", "a"), ("train/cat/1", "b"))
    assert [one.kind for one in photos.findings()] == ["duplicate"]


def test_several_classes_and_several_sides_are_both_told() -> None:
    photos = made(("train/cat/1", "a"), ("test/dog/1", "a"))
    leak, conflict = photos.findings()
    assert (leak.kind, leak.out) == ("leak", ("train/cat/1",))
    assert conflict.kind == "label-conflict"
    assert set(conflict.out) == {"train/cat/1", "test/dog/1"}


# groups


def test_a_group_on_several_sides_is_a_leak() -> None:
    photos = made(
        ("train/cat/1", "a", "rex"),
        ("train/cat/2", "b", "tom"),
        ("test/cat/1", "c", "rex"),
        ("test/dog/1", "d"),
    )
    assert photos.findings() == [
        Finding(
            "leak", "group rex, in test and train", ("test/cat/1", "train/cat/1"), ("train/cat/1",)
        )
    ]


def test_groups_on_one_side_are_fine() -> None:
    assert made(("train/cat/1", "a", "rex"), ("train/cat/2", "b", "rex")).findings() == []
    assert made(("cat/1", "a", "rex"), ("dog/2", "b", "rex")).findings() == []


# Photos that are copies of others and of a group: told is what training leaves out.
@pytest.mark.parametrize(
    ("photos", "leaking"),
    [
        (  # a group with copies on the training side
            [("train/cat/1", "a", "x"), ("train/cat/2", "a", "x"), ("test/cat/1", "b", "x")],
            {"train/cat/1", "train/cat/2"},
        ),
        (  # a copy in train of a photo in test takes its group with it
            [("train/cat/1", "a", "x"), ("train/cat/2", "b", "x"), ("test/cat/1", "a")],
            {"train/cat/1", "train/cat/2"},
        ),
        (  # groups that are joined by copies
            [
                ("train/cat/1", "a", "x"),
                ("train/cat/2", "b", "x"),
                ("train/cat/3", "b", "y"),
                ("test/cat/1", "c", "y"),
            ],
            {"train/cat/1", "train/cat/2", "train/cat/3"},
        ),
    ],
)
def test_leaks_of_groups_in_which_there_are_copies_are_those_that_training_leaves_out(
    photos: list[tuple[str, str]], leaking: set[str]
) -> None:
    all_of = made(*photos)
    for label in ("cat", "dog"):
        for side in ("train", "test", "validation"):
            all_of.add(f"{side}/{label}/fine", f"{len(all_of.reads):x}")
    _, faults = assign_sides("pets", all_of.reads, exact_copies(all_of.reads).keys(all_of.reads))
    assert {fault.path for fault in faults} == leaking
    found = all_of.findings()
    assert {path for one in found if one.kind == "leak" for path in one.out} == leaking
