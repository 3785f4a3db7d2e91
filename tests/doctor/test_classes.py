"""Findings about classes: sizes far apart, and names that are hardly a class's."""

from __future__ import annotations

import pytest

from pawprint.data.layout import SourcePhoto
from pawprint.data.reading import Read
from pawprint.doctor.classes import examine_classes
from pawprint.doctor.findings import Finding


def findings(**counts: int) -> list[Finding]:
    return list(examine_classes(reads_of(counts)))


def reads_of(counts: dict[str, int]) -> list[Read]:
    return [
        Read(SourcePhoto(f"{label}/{number}.jpg", label, None), "0" * 64, 1)
        for label, count in counts.items()
        for number in range(count)
    ]


def named(*names: str) -> list[str]:
    """What is found about classes of these names, of ten photos each."""
    return [one.detail for one in examine_classes(reads_of(dict.fromkeys(names, 10)))]


# sizes


def test_a_class_ten_times_as_large_is_told_for_each_small_one() -> None:
    assert findings(cat=1200, dog=120, fox=121, owl=1) == [
        Finding("imbalance", "'dog' has 120 photos, and 'cat' has 1,200"),
        Finding("imbalance", "'owl' has 1 photo, and 'cat' has 1,200"),
    ]


def test_classes_of_similar_size_are_fine() -> None:
    assert findings(cat=100, dog=11) == []
    assert findings(cat=1, dog=1) == []


def test_no_photos_or_one_class_are_no_imbalance() -> None:
    assert findings() == []
    assert findings(cat=100) == []


# names

NO_CLASS = "is no name of a class"
COPIED = "is what a copied folder is called"
NEW = "is what a new folder is called"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("images", NO_CLASS),
        ("Photos", NO_CLASS),
        ("TRAIN", NO_CLASS),
        ("Thumbs", NO_CLASS),
        ("backup", NO_CLASS),
        ("unsorted", NO_CLASS),
        ("New folder", NEW),
        ("new folder (2)", NEW),
        ("Untitled Folder", NEW),
        ("Neuer Ordner", NEW),
        ("Nouveau dossier", NEW),
        ("cat - Copy", COPIED),
        ("cat - Copy (2)", COPIED),
        ("cat copy", COPIED),
        ("cat_copy 3", COPIED),
        ("Copy of cat", COPIED),
        ("cat (1)", COPIED),
        ("cat - Kopie", COPIED),
        ("cat ", "begins or ends with a space"),
        (" cat", "begins or ends with a space"),
    ],
)
def test_a_suspicious_name_is_told(name: str, why: str) -> None:
    assert named("owl", name) == [f"{name!r} {why} (10 photos)"]


@pytest.mark.parametrize(
    "name",
    [
        "cat",
        "other",
        "unknown",
        "background",
        "copycat",
        "photocopy",
        "newfoundland",
        "training shoes",
        "test tube",
        "image of a cat",
        "n02084071",
        "cat (male)",
        "0",
        "кошка",
        "猫",
        "data center",
        "old english sheepdog",
    ],
)
def test_a_name_that_may_well_be_a_class_is_not(name: str) -> None:
    assert named("owl", name) == []


ONE = "may be one class"
LITTLE = "differ by little"


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [
        ("Cat", "cat", ONE),
        ("cat", "cats", ONE),
        ("black cat", "black_cat", ONE),
        ("Black-Cats", "blackcat", ONE),
        ("daffodil", "dafodil", LITTLE),
        ("sunflower", "sunflowr", LITTLE),
        ("golden retreiver", "golden retriever", LITTLE),
        ("STRASSE", "straße", ONE),
    ],
)
def test_names_that_mean_one_class_are_told_together(name: str, other: str, why: str) -> None:
    first, second = sorted([name, other])
    expected = f"{first!r} and {second!r} {why} (10 and 10 photos)"
    assert named(name, other) == named(other, name) == [expected]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("cat", "dog"),
        ("cat", "bat"),
        ("boat", "goat"),
        ("class 1", "class 2"),
        ("n02084071", "n02084072"),
        ("as", "a"),
        ("bus", "bu"),
        ("0", "1"),
        ("grape", "grapefruit"),
        ("strawberry", "blueberry"),
        ("кошка", "собака"),
    ],
)
def test_names_of_two_classes_are_not(name: str, other: str) -> None:
    assert named(name, other) == []


def test_sizes_and_names_are_told_of_the_same_class() -> None:
    assert [(one.kind, one.paths, one.out) for one in findings(cat=100, tmp=3)] == [
        ("imbalance", (), ()),
        ("class-name", (), ()),
    ]


def test_of_very_many_classes_names_are_not_compared_with_each_other() -> None:
    names = [f"{chr(97 + n // 26)}{chr(97 + n % 26)} kind of beetle" for n in range(400)]
    assert named(*names) == []
    assert named(*names, "images") == [f"'images' {NO_CLASS} (10 photos)"]
