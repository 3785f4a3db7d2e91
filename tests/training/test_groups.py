"""What stays together in a training: groups and copies, on one side, also when photos are added."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

import pawprint
from pawprint.data.samples import draw
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.doctor.check import check
from pawprint.errors import SourceError
from pawprint.testing import write_tiny_recipe
from pawprint.training.run import Run

LABELS = ("cat", "dog")
SIZE = (120, 90)


def put(path: Path, seed: int) -> Path:
    """A drawn photo of the kind that is in the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "cat" if "cat" in path.as_posix() else "dog"
    draw(kind, seed, SIZE).save(path)
    return path


def copied(path: Path, to: Path, *, mirrored: bool = False) -> Path:
    """A near copy: re-encoded, smaller and, if wanted, mirrored."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((80, 60))
    (ImageOps.mirror(small) if mirrored else small).save(to, quality=60)
    return to


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sides(run: Run, folder: Path) -> dict[str, str]:
    """The side of each photo of a run, by its path in its folder."""
    rows = table(run.path / "manifest.csv")
    return {Path(row["path"]).relative_to(folder).as_posix(): row["split"] for row in rows}


def left_out(run: Run, folder: Path) -> dict[str, str]:
    """Why each photo was left out."""
    rows = table(run.path / "left_out.csv")
    return {Path(row["path"]).relative_to(folder).as_posix(): row["reason"] for row in rows}


def together(found: dict[str, str], *prefixes: str) -> bool:
    """Whether all photos whose paths begin in one of these ways are on one side."""
    on = {side for path, side in found.items() if path.startswith(prefixes)}
    assert on, prefixes
    return len(on) == 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe, tinier."""
    return write_tiny_recipe(tmp_path_factory.mktemp("recipe") / "tiny.toml", size=32)


ANIMALS = 9


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of each animal in a folder of its own, and copies of two animals' elsewhere."""
    folder = tmp_path_factory.mktemp("animals") / "photos"
    for label in LABELS:
        for animal in range(ANIMALS):
            for number in range(3):
                put(folder / label / f"{label} {animal}" / f"{number}.png", 10 * animal + number)
        for near, far in ((0, 5), (5, 7)):
            at = folder / label
            copied(at / f"{label} {near}" / "1.png", at / f"{label} {far}" / f"of {near}.jpg")
    return folder


@pytest.fixture(scope="module")
def grouped(animals: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the animals."""
    out = tmp_path_factory.mktemp("grouped") / "run"
    return pawprint.train(
        animals, recipe=tiny, out=out, validation=0.4, group_by="folder", report=False
    )


def test_photos_in_one_folder_are_on_one_side(grouped: Run, animals: Path) -> None:
    found = sides(grouped, animals)
    assert len(found) == 2 * (3 * ANIMALS + 2)
    assert set(found.values()) == {TRAIN, VALIDATION}
    for label in LABELS:
        own = {path: side for path, side in found.items() if path.startswith(label)}
        assert set(own.values()) == {TRAIN, VALIDATION}
        assert all(together(found, f"{label}/{label} {animal}/") for animal in range(ANIMALS))


def test_groups_that_share_a_copy_are_on_one_side(grouped: Run, animals: Path) -> None:
    found = sides(grouped, animals)
    for label in LABELS:
        assert together(found, *(f"{label}/{label} {animal}/" for animal in (0, 5, 7)))


def test_the_recipe_of_a_run_says_what_was_grouped(grouped: Run) -> None:
    assert 'group_by = "folder"' in (grouped.path / "recipe.toml").read_text("utf-8")


def test_photos_that_are_added_move_none_of_the_old_ones(
    grouped: Run, animals: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(animals, tmp_path / "photos"))
    for label in LABELS:
        for animal in (*range(0, ANIMALS, 2), *range(20, 26)):  # old ones and new ones
            put(folder / label / f"{label} {animal}" / "later.png", 1000 + animal)
        put(folder / label / "stray.png", 2000)
    changes = {"data.group_by": "folder", "data.validation": 0.4}
    run = pawprint.train(folder, recipe=tiny, out=tmp_path / "run", changes=changes, report=False)
    old, new = sides(grouped, animals), sides(run, folder)
    assert {path: new[path] for path in old} == old
    assert len(new) == len(old) + 2 * (5 + 6 + 1)
    assert {new[path] for path in new.keys() - old.keys()} == {TRAIN, VALIDATION}
    assert all(together(new, f"{label}/{label} 4/") for label in LABELS)


def test_a_column_of_a_table_groups_and_copies_without_a_group_stay_together(
    tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "all in one"
    rows = []
    for label in LABELS:
        for number in range(24):
            path = put(folder / f"{label}{number}.png", number)
            rows.append(f"{path.name},{label},{f'{label}-{number // 3}' if number < 15 else ''}")
        for number in range(12, 22):
            to = folder / f"{label}{number} again.jpg"
            copied(folder / f"{label}{number}.png", to, mirrored=number % 2 == 0)
            rows.append(f"{to.name},{label},")
    (folder / "pets.csv").write_text("\n".join(["path,label,animal", *rows]))
    run = pawprint.train(
        folder / "pets.csv",
        recipe=tiny,
        out=tmp_path / "run",
        validation=0.4,
        group_by="Animal",
        report=False,
    )
    found = sides(run, folder)
    assert len(found) == len(rows)
    for label in LABELS:
        for first in range(0, 15, 3):
            names = [f"{label}{number}{end}" for number in range(first, first + 3) for end in ". "]
            assert together(found, *names)
        copies = [(f"{label}{number}.", f"{label}{number} ") for number in range(15, 22)]
        assert all(together(found, *pair) for pair in copies)
        assert {found[f"{label}{number}.png"] for number in range(15)} == {TRAIN, VALIDATION}
        assert {found[f"{label}{number}.png"] for number in range(15, 24)} == {TRAIN, VALIDATION}


@pytest.mark.parametrize(
    ("group_by", "told"),
    [
        ("animal", "cannot be grouped by 'animal': expected folder or folder:2"),
        ("folder:0", "cannot be grouped by 'folder:0'"),
    ],
)
def test_what_makes_no_groups_is_refused(
    animals: Path, tiny: Path, tmp_path: Path, group_by: str, told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        pawprint.train(animals, recipe=tiny, out=tmp_path / "run", group_by=group_by)


def test_a_source_without_groups_is_refused(few: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no photo lies in a folder below its class's"):
        pawprint.train(few, recipe=tiny, out=tmp_path / "run", group_by="folder")
    names = [path.relative_to(few) for path in sorted(few.glob("*/*.jpg"))]
    text = "\n".join(["path,label,animal", *(f"{few / name},{name.parent}," for name in names)])
    (tmp_path / "pets.csv").write_text(text)
    with pytest.raises(SourceError, match="none has a value in that column"):
        pawprint.train(tmp_path / "pets.csv", recipe=tiny, out=tmp_path / "run", group_by="animal")
    with pytest.raises(SourceError, match="no owner to group by; it has path, label, animal"):
        pawprint.train(tmp_path / "pets.csv", recipe=tiny, out=tmp_path / "run", group_by="owner")
    assert not (tmp_path / "run").exists()


# given splits


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Given splits; copies of photos that judge, and one animal's photos, are among what trains."""
    folder = tmp_path_factory.mktemp("sided") / "photos"
    number = 0
    for side, count in ((TRAIN, 8), (VALIDATION, 4), ("test", 3)):
        for label in LABELS:
            for place in range(count):
                number += 1
                put(folder / side / label / f"{place}.png", number)
    shutil.copy(folder / VALIDATION / "cat" / "0.png", folder / TRAIN / "cat" / "same.png")
    copied(folder / "test" / "cat" / "1.png", folder / TRAIN / "cat" / "small.jpg")
    copied(folder / "test" / "dog" / "1.png", folder / VALIDATION / "dog" / "small.jpg")
    copied(
        folder / VALIDATION / "dog" / "2.png", folder / TRAIN / "dog" / "turned.jpg", mirrored=True
    )
    for place, side in enumerate((TRAIN, VALIDATION)):
        put(folder / side / "dog" / "rex" / f"{place}.png", 500 + place)
    return folder


# What is left out of training where that is wanted, and how the reason begins.
LEAKS = {
    "train/cat/same.png": "same bytes as {}/validation/cat/0.png in validation; left out of train",
    "train/cat/small.jpg": "a copy or of the group of {}/test/cat/1.png in test; left out of",
    "train/dog/turned.jpg": "a copy or of the group of {}/validation/dog/2.png in validation",
    "validation/dog/small.jpg": "a copy or of the group of {}/test/dog/1.png in test; left out of",
    "train/dog/rex/0.png": "a copy or of the group of {}/validation/dog/rex/1.png in validation",
}
EXACT_LEAKS = {path: LEAKS[path] for path in ("train/cat/same.png", "train/dog/rex/0.png")}


# What is left out for its group alone is on no side, and is looked at all the same.
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("leaks", "duplicates"), [("drop", "near"), ("drop", "exact"), ("keep", "near")]
)
def test_what_would_train_and_judge_only_judges_if_no_other_is_wanted(
    sided: Path, tiny: Path, tmp_path: Path, leaks: str, duplicates: str
) -> None:
    run = pawprint.train(
        sided,
        recipe=tiny,
        out=tmp_path / "run",
        changes={"data.leaks": leaks, "data.duplicates": duplicates},
        group_by="folder",
        cache=False,
        report=False,
    )
    expected = LEAKS if duplicates == "near" else EXACT_LEAKS
    told, found = left_out(run, sided), sides(run, sided)
    assert told.keys() == (expected.keys() if leaks == "drop" else set())
    for path, reason in told.items():
        assert reason.startswith(expected[path].format(sided))
    assert len(found) == 36 - len(told)
    assert all(path.startswith(f"{side}/") for path, side in found.items())
    # They are what a check calls leaks, and are told also where they are kept.
    checked = check(sided, group_by="folder", near=duplicates == "near", cache=False)
    for findings in (run.findings, checked.findings):
        leaking = {path for one in findings if one.kind == "leak" for path in one.out}
        assert {Path(path).relative_to(sided).as_posix() for path in leaking} == expected.keys()
