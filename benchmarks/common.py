"""(what the benchmarks share; nothing to run)"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PAWPRINT_SHARED") or REPOSITORY.parent / "shared")
PYTHON = sys.executable
PAWPRINT = Path(PYTHON).with_name("pawprint")

_PACKAGES = (
    "pawprint",
    "keras",
    "tensorflow",
    "openvino",
    "onnxruntime",
    "scikit-learn",
    "numpy",
    "pillow",
    "pyarrow",
    "ray",
)


def shared(name: str) -> Path:
    """A file of the shared folder; without it there is nothing to measure on."""
    path = SHARED / name
    if not path.exists():
        sys.exit(
            f"{path} is not there: the benchmarks need the photos and weights of the shared "
            "folder, beside the repository or named by PAWPRINT_SHARED"
        )
    return path


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder, with Keras' weights and pawprint's cache in it, and nobody's own used."""
    with tempfile.TemporaryDirectory(prefix="pawprint-bench-") as name:
        folder = Path(name)
        os.environ["KERAS_HOME"] = str(folder / "keras")
        os.environ["PAWPRINT_CACHE"] = str(folder / "cache")
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        subprocess.run([shared("tools/keras_home"), folder / "keras"], check=True)
        yield folder


def members(archive: Path, count: int | None = None, *, above: int = -1) -> list[str]:
    """Photos of an archive, as many of each class, in the archive's order, without its warts.

    Args:
        archive: a zip.
        count: how many in all; None for all.
        above: leave out the photos whose name is a number up to this one.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            path = PurePosixPath(entry.filename)
            number = int(path.stem) if path.stem.isdecimal() else above + 1
            if entry.file_size and path.suffix == ".jpg" and number > above:
                by_class[path.parent.name].append(entry.filename)
    each = None if count is None else count // len(by_class)
    return [name for names in by_class.values() for name in names[:each]]


def write_zip(archive: Path, names: Sequence[str], target: Path) -> Path:
    """Some of an archive's photos as an archive of their own."""
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(target, "w") as out:
        for name in names:
            out.writestr(name, opened.read(name))
    return target


def write_folder(
    archive: Path, names: Sequence[str], target: Path, rename: dict[str, str] | None = None
) -> Path:
    """Some of an archive's photos as a folder of class folders, which may be renamed."""
    with zipfile.ZipFile(archive) as opened:
        for name in names:
            path = PurePosixPath(name)
            folder = target / (rename or {}).get(path.parent.name, path.parent.name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).write_bytes(opened.read(name))
    return target


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the script's docstring."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Table:
    """Rows of a benchmark's figures, each with its target where it has one."""

    last: str = "target"
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, what: str, found: str, target: str = "", met: bool | None = None) -> None:
        """One figure; `met` says whether it reaches the target."""
        verdict = "" if met is None else "  met" if met else "  MISSED"
        self.rows.append((what, found, target + verdict))


def finish(name: str, table: Table, results: dict[str, Any]) -> None:
    """Print the table, what it was measured on, and everything as one line of JSON."""
    rows = [("what", "found", table.last), *table.rows]
    wide, found = (max(len(row[column]) for row in rows) for column in (0, 1))
    print()
    for row in rows:
        print(f"{row[0]:<{wide}}  {row[1]:<{found}}  {row[2]}".rstrip())
    machine = hardware()
    print(f"\n{machine['line']}")
    command = spelled(["benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    print(json.dumps({"benchmark": name, "command": command, **machine, "results": results}))


def hardware() -> dict[str, Any]:
    """The machine and the software, also as one line to be read."""
    cpu = _value("/proc/cpuinfo", "model name", ":") or platform.processor()
    system = _value("/etc/os-release", "PRETTY_NAME", "=").strip('"') or platform.platform()
    kilobytes = (_value("/proc/meminfo", "MemTotal", ":") or "0").split()[0]
    cores, memory = len(os.sched_getaffinity(0)), int(kilobytes) * 1024 / 2**30
    versions = {"python": platform.python_version()} | {
        package: metadata.version(package) for package in _PACKAGES
    }
    line = (
        f"{cpu}, {cores} cores, {memory:.0f} GiB, {system} (Linux {platform.release()}); "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
        + f"; load before and after {_LOAD_BEFORE:.1f} and {os.getloadavg()[0]:.1f}"
    )
    return {"date": time.strftime("%Y-%m-%d"), "line": line, "versions": versions}


_LOAD_BEFORE = os.getloadavg()[0]


def _value(file: str, name: str, mark: str) -> str:
    """What a file of `name: value` lines says first for a name."""
    try:
        text = Path(file).read_text("utf-8")
    except OSError:
        return ""
    lines = (line.partition(mark) for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def spelled(command: Sequence[str | Path]) -> str:
    """A command as it is typed."""
    return " ".join(map(str, command))
