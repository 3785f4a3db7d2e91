"""Jobs whose photos or results lie in an object store, which fails now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from pawprint.errors import OutputError
from pawprint.parts.places import place

from .conftest import PART_SIZE, Few, Run, rows, same, times
from .object_store import Store


def test_stores_give_the_same_results(job: Run, store: Store, finished: Path) -> None:
    out = store.address("results/first")
    job(out, store.address("photos"))
    found = [row for row in rows(out) if row["path"] != "gone.jpg"]  # there are no links there
    assert same(found, [row for row in rows(finished) if row["path"] != "gone.jpg"])
    assert job(out, store.address("photos")).computed == 0
    store.remove("results/first/parts/part-000001.parquet")
    assert job(out, store.address("photos/")).computed == PART_SIZE


def test_lists_in_stores_name_what_is_beside_them(
    job: Run, store: Store, few: Few, tmp_path: Path
) -> None:
    names = [path.name for path in sorted(few.folder.glob("cat/*.jpg"))]
    store.put("photos/cat/list.txt", "\n".join(names).encode())
    job(tmp_path, store.address("photos/cat/list.txt"))
    found = rows(tmp_path)
    assert [row["path"] for row in found] == names
    assert [row["path"] for row in found if row["error"]] == ["cut.jpg"]


def test_keys_of_stores_are_never_written_or_said(job: Run, store: Store, listener: Any) -> None:
    out, source = store.address("out"), store.address("photos")
    store.faults = lambda method, key, number: 403 if key.endswith("empty.jpg") else None
    ran = job(out, source, progress=listener)
    job(out, source, progress=listener)
    with pytest.raises(OutputError) as raised:
        job(out, store.address("other"), progress=listener)
    tables = [
        parquet.read_table(pyarrow.BufferReader(item.data))
        for key, item in store.objects.items()
        if key.startswith("out/") and key.endswith(".parquet")
    ]
    assert len(tables) == 1 + len(ran.manifest["parts"])
    said = [repr(table.to_pylist()) + repr(table.schema.metadata) for table in tables]
    said += [store.objects[f"out/{name}.json"].data.decode() for name in ("job", "manifest")]
    said += [str(raised.value), *listener.said, *listener.lines, *listener.steps]
    assert any("access_denied" in text for text in said)
    assert not [text for text in said if "secret" in text or "key:" in text]


def test_a_store_that_fails_once_for_every_photo_makes_no_errors(
    job: Run, store: Store, tmp_path: Path, few: Few
) -> None:
    store.faults = lambda method, key, number: (
        "drop" if method == "GET" and number == 1 and ".jpg" in key else None
    )
    ran = job(tmp_path, store.address("photos"))
    assert (ran.manifest["errors"], ran.manifest["unreachable"]) == (3, 0)  # those that are bad
    asked = [count for (method, key), count in store.requests.items() if method == "GET"]
    assert min(asked) >= 1 < max(asked)


@pytest.mark.parametrize(
    ("fault", "told"), [(400, ", at each of 4 tries)"), (403, "access_denied")]
)
def test_what_a_store_never_gives_is_tried_again_another_day(
    fault: int, told: str, job: Run, store: Store, tmp_path: Path, finished: Path
) -> None:
    lost = "cat/Käse 猫 #1?.jpg"
    store.faults = lambda method, key, number: fault if key == f"photos/{lost}" else None
    ran = job(tmp_path, store.address("photos"))
    assert (ran.manifest["errors"], ran.manifest["unreachable"]) == (4, 1)
    (row,) = [row for row in rows(tmp_path) if row["path"] == lost]
    assert row["error"].startswith("it cannot be read (")
    assert told in row["error"]
    asked = sum(count for (_, key), count in store.requests.items() if key == f"photos/{lost}")
    assert asked == (4 if fault == 400 else 1)
    others = [row for row in rows(tmp_path) if row["path"] != lost]
    meant = {row["path"]: row for row in rows(finished)}
    assert same(others, [meant[row["path"]] for row in others])

    store.faults = None
    before = times(tmp_path)
    mended = job(tmp_path, store.address("photos"))
    assert (mended.computed, mended.manifest["unreachable"]) == (PART_SIZE, 0)
    changed = [name for name, time in times(tmp_path).items() if time != before[name]]
    assert len(changed) == 1
    assert same([row for row in rows(tmp_path) if row["path"] == lost], [meant[lost]])


def test_fsspec_s_file_systems_will_do(job: Run, few: Few, tmp_path: Path, finished: Path) -> None:
    top = f"memory://{tmp_path.name}"
    for path in few.folder.rglob("*"):
        if path.is_file():
            (place(top) / f"photos/{path.relative_to(few.folder)}").write(path.read_bytes())
    job(f"{top}/out", f"{top}/photos")
    found = rows(f"{top}/out")
    assert same(found, [row for row in rows(finished) if row["path"] != "gone.jpg"])
    assert job(f"{top}/out", f"{top}/photos").computed == 0
