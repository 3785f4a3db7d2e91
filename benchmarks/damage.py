"""Damaged and hostile files: all found, no valid one called damaged, none slow, none costly.

Damage of 14 kinds is done to real photos and planted among others. Then PngSuite and the hostile
files, each looked at in turn in a process of its own, whose memory and slowest file are told.
"""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

import common
from common import PYTHON, shared

ARCHIVE = "data/cats_vs_dogs_16k.zip"
HOSTILE = "data/hostile_images.zip"
SECONDS, MEGABYTES = 2.0, 300.0


def _saved(kind: str, **options: Any) -> Callable[[bytes], bytes]:
    def save(photo: bytes) -> bytes:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(photo)) as picture:
            picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return save


def _part(share: float, save: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], bytes]:
    def cut(photo: bytes) -> bytes:
        whole = save(photo)
        return whole[: int(len(whole) * share)]

    return cut


def _wrong_tables(photo: bytes) -> bytes:
    at = photo.index(b"\xff\xc4") + 4
    return photo[:at] + b"\xfe" * 17 + photo[at + 17 :]


def _flipped_bit(photo: bytes) -> bytes:
    png = bytearray(_saved("PNG")(photo))
    png[len(png) // 2] ^= 1
    return bytes(png)


def _endless_header(photo: bytes) -> bytes:
    """A PNG that says it is far larger than what follows."""
    png = bytearray(_saved("PNG")(photo))
    png[16:24] = struct.pack(">II", 9000, 9000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    return bytes(png)


# How a file is damaged, the ending of its name, and the kind of finding that it is.
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "no bytes": (lambda photo: b"", ".jpg", "empty"),
    "JPEG cut after a third": (_part(1 / 3), ".jpg", "unreadable"),
    "JPEG cut near its end": (_part(0.95), ".jpg", "unreadable"),
    "JPEG with wrong tables": (_wrong_tables, ".jpg", "unreadable"),
    "PNG cut": (_part(0.5, _saved("PNG")), ".png", "unreadable"),
    "PNG with a flipped bit": (_flipped_bit, ".png", "unreadable"),
    "PNG larger by its header": (_endless_header, ".png", "unreadable"),
    "GIF cut": (_part(0.5, _saved("GIF")), ".gif", "unreadable"),
    "WebP cut": (_part(0.5, _saved("WEBP")), ".webp", "unreadable"),
    "BMP cut": (_part(0.5, _saved("BMP")), ".bmp", "unreadable"),
    "TIFF cut": (_part(0.5, _saved("TIFF", compression="tiff_lzw")), ".tif", "unreadable"),
    "a web page": (lambda photo: b"<!DOCTYPE html><title>404</title>", ".jpg", "not-an-image"),
    "a zip": (lambda photo: b"PK\x03\x04" + photo, ".jpg", "not-an-image"),
    "zero bytes": (lambda photo: bytes(len(photo)), ".jpg", "not-an-image"),
}
# What is valid though out of the ordinary.
VALID: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "PNG": (_saved("PNG"), ".png"),
    "GIF": (_saved("GIF"), ".gif"),
    "WebP": (_saved("WEBP"), ".webp"),
    "BMP": (_saved("BMP"), ".bmp"),
    "TIFF": (_saved("TIFF"), ".tif"),
    "progressive JPEG": (_saved("JPEG", progressive=True), ".jpg"),
    "JPEG with a tail": (lambda photo: photo + b"appended by a camera", ".jpg"),
}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--each", type=int, default=40, help="files of each kind (default 40)")
    parser.add_argument("--look", type=Path, help="(what a process of its own is given)")
    chosen = parser.parse_args()
    if chosen.look is not None:
        print(json.dumps(_look_at_all(chosen.look)))
        return
    table = common.Table()
    with common.workplace() as place:
        results = {
            "planted": _planted(place, chosen.each, table),
            "hostile": _hostile(place, table),
        }
    common.finish("damage", table, results)


def _planted(place: Path, each: int, table: common.Table) -> dict[str, Any]:
    from pawprint.doctor.check import check
    from pawprint.doctor.findings import kinds_of

    archive, target = shared(ARCHIVE), place / "planted.zip"
    names = common.members(archive)
    random.Random(0).shuffle(names)
    spare = iter(names)
    kind_of: dict[str, str] = {}
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(target, "w") as out:
        for number, (damage, end, kind) in enumerate(DAMAGE.values()):
            for name in (next(spare) for _ in range(each)):
                path = PurePosixPath(name)
                planted = f"{path.parent}/damaged{number}_{path.stem}{end}"
                out.writestr(planted, damage(opened.read(name)))
                kind_of[planted] = kind
        for number, (save, end) in enumerate(VALID.values()):
            for name in (next(spare) for _ in range(each)):
                path = PurePosixPath(name)
                valid = f"{path.parent}/valid{number}_{path.stem}{end}"
                out.writestr(valid, save(opened.read(name)))
        rest = list(spare)
        for name in rest:
            out.writestr(name, opened.read(name))
    found = check(target, cache=False)
    bad = kinds_of(["unreadable"])
    told = {one.paths[0]: one.kind for one in found.findings if one.kind in bad}
    missed = sorted(set(kind_of) - set(told))
    false = sorted(set(told) - set(kind_of))
    other = sorted(name for name, kind in kind_of.items() if told.get(name, kind) != kind)
    valid_count = each * len(VALID) + len(rest)
    table.add(
        f"damaged files found, {len(DAMAGE)} kinds",
        f"{len(kind_of) - len(missed):,} of {len(kind_of):,}",
        "all",
        not missed,
    )
    table.add("valid ones called damaged", f"{len(false)} of {valid_count:,}", "none", not false)
    table.add("damaged ones called another kind of damaged", str(len(other)))
    return {"missed": missed, "false": false, "other_kind": other, "valid": valid_count}


def _hostile(place: Path, table: common.Table) -> dict[str, Any]:
    folder = place / "hostile"
    with zipfile.ZipFile(shared(HOSTILE)) as opened:
        opened.extractall(folder)
    ran = subprocess.run(
        [PYTHON, __file__, "--look", folder], capture_output=True, text=True, check=False
    )
    crashed = ran.returncode != 0
    looked: dict[str, Any] = {} if crashed else json.loads(ran.stdout.splitlines()[-1])
    table.add(
        "hostile files, no crash",
        "crashed" if crashed else f"{looked['files']} files",
        "349",
        not crashed and looked["files"] == 349,
    )
    if crashed:
        return {"crashed": ran.stderr[-2000:]}
    rejected = Counter(looked["refused"])
    suite = [("must_reject", 14, 14), ("must_accept", 161, 0)]
    for name, count, wanted in suite:
        table.add(
            f"PngSuite, {name}: refused",
            f"{rejected[name]} of {count}",
            str(wanted),
            rejected[name] == wanted,
        )
    slowest, growth = looked["slowest"], looked["megabytes"]
    table.add(
        "slowest file", f"{slowest[1]:.2f} s ({slowest[0]})", f"<= {SECONDS:g} s", slowest[1] <= 2
    )
    table.add("memory growth", f"{growth:.0f} MB", f"< {MEGABYTES:g} MB", growth < MEGABYTES)
    return looked


def _look_at_all(folder: Path) -> dict[str, Any]:
    """Look at each file of a folder, one after the other."""
    from pawprint.data.glance import glance
    from pawprint.data.images import open_photo
    from pawprint.doctor.check import check
    from pawprint.errors import PhotoError

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = _most_memory()
    refused, took = [], []
    for path in files:
        start = time.perf_counter()
        try:
            glance(open_photo(path.read_bytes(), path.name, near=224))
        except PhotoError:
            refused.append(path.parent.name)
        took.append((path.name, time.perf_counter() - start))
    check(folder, cache=False)  # and all at once, as a user would
    return {
        "files": len(files),
        "refused": refused,
        "slowest": max(took, key=lambda one: one[1]),
        "megabytes": _most_memory() - before,
    }


def _most_memory() -> float:
    """The most memory that this process had so far, in megabytes."""
    status = Path("/proc/self/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
