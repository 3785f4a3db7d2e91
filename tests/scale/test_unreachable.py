"""Photos that cannot be had today: their rows are not final, and the same command mends them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pawprint.data.archives import Limits
from pawprint.errors import PawprintError
from pawprint.parts.places import Place

from .conftest import Few, Run, parts, rows, same, times

GONE = "it cannot be read (no such file or directory)"


@pytest.fixture
def photos(few: Few, tmp_path: Path) -> Path:
    """A copy of the few photos, to be moved at will."""
    return Path(shutil.copytree(few.folder, tmp_path / "photos", symlinks=True))


@pytest.fixture
def begun(job: Run, photos: Path, tmp_path: Path) -> Path:
    """A job of them of which the parts 1 and 3 are missing."""
    out = job(tmp_path / "out", photos).place.local
    for number in (1, 3):
        (out / f"parts/part-{number:06}.parquet").unlink()
    (out / "manifest.json").unlink()
    return out


def test_where_the_folder_is_gone_nothing_is_written(
    job: Run, begun: Path, photos: Path, finished: Path
) -> None:
    away = photos.rename(photos.with_name("away"))
    before = times(begun)
    with pytest.raises(PawprintError, match=f"^{photos} is not there, or not on this node; bring"):
        job(begun, photos)
    assert times(begun) == before
    away.rename(photos)
    assert job(begun, photos).computed == 8
    assert same(rows(begun), rows(finished))


def test_where_another_folder_is_in_its_place_rows_are_not_final(
    job: Run, begun: Path, photos: Path, finished: Path
) -> None:
    away = photos.rename(photos.with_name("away"))
    photos.mkdir()  # as where a disk is not mounted
    before = times(begun)
    ran = job(begun, photos)
    assert ran.manifest["unreachable"] == 8
    assert [part["errors"] for part in ran.manifest["parts"]] == [1, 4, 1, 4, 2]
    told = [row["error"] for row in rows(begun)]
    assert told[4:8] == told[12:16] == [GONE] * 4
    after = times(begun)
    assert {name: after[name] for name in before} == before
    photos.rmdir()
    away.rename(photos)
    mended = job(begun, photos)
    assert (mended.computed, mended.manifest["unreachable"]) == (8, 0)
    assert same(rows(begun), rows(finished))
    assert {name: when for name, when in times(begun).items() if name in before} == before


def test_single_photos_that_are_gone_are_gone_for_good(
    job: Run, begun: Path, photos: Path, finished: Path
) -> None:
    lost = [row["path"] for row in rows(finished)][4:7]
    for path in lost:
        (photos / path).unlink()
    ran = job(begun, photos)
    assert ran.manifest["unreachable"] == 0
    found = {row["path"]: row["error"] for row in rows(begun)}
    assert [found[path] for path in lost] == [GONE] * 3
    assert job(begun, photos).computed == 0


def test_where_a_disk_goes_in_the_middle_of_a_part_rows_are_not_final(
    job: Run, begun: Path, photos: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, read, asked = photos.with_name("away"), Place.read, []

    def unplugged(self: Place, most: int | None = None) -> bytes:
        if str(self).startswith(str(photos)):
            asked.append(self)
            if len(asked) == 3:
                photos.rename(away)
                photos.mkdir()
        return read(self, most)

    monkeypatch.setattr(Place, "read", unplugged)
    (begun / "parts/part-000002.parquet").unlink()
    ran = job(begun, photos)
    assert ran.manifest["unreachable"] > 4
    photos.rmdir()
    away.rename(photos)
    assert job(begun, photos).manifest["unreachable"] == 0
    assert same(rows(begun), rows(finished))


def test_a_list_may_be_gone_and_what_is_beside_it_is_found(
    job: Run, photos: Path, tmp_path: Path
) -> None:
    names = [path.name for path in sorted(photos.glob("cat/*.jpg"))]
    source = photos / "cat/list.txt"
    source.write_text("\n".join(names))
    out = tmp_path / "out"
    job(out, source)
    expected = rows(out)
    parts(out)[1].unlink()
    source.unlink()
    assert job(out, source).computed == 4
    assert same(rows(out), expected)


def test_photos_above_the_cap_are_errors_for_good(job: Run, photos: Path, tmp_path: Path) -> None:
    with (photos / "cat/huge.jpg").open("wb") as file:
        file.truncate(Limits().photo_bytes + 1)
    ran = job(tmp_path / "out", photos / "cat")
    (row,) = [row for row in rows(tmp_path / "out") if row["path"] == "huge.jpg"]
    assert row["error"] == "it cannot be read (it has more bytes than the cap of 268,435,456)"
    assert ran.manifest["unreachable"] == 0
