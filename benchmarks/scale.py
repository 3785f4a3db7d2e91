"""Any number of photos: what a Ray cluster costs beside one process, and what a photo more costs.

Every figure is a whole `pawprint predict MODEL PHOTOS --out DIR`. The cluster is made beforehand:
two nodes on this machine (benchmarks/cluster.py), with a CPU each, so that both engines have the
same two cores; what Ray's own processes compute is in the figures. MB are millions of bytes.

overhead: the local engine and Ray in turns, each side first in every other pair, after one of each
          that is not measured. `job` is what the manifest says: without the start of Python and the
          connection. `steady` counts from when each of both actors had a part: without the start of
          workers, too. Rows are compared bit for bit.
sizes:    Ray, with the same photos under other names (hard links). CPU is of the command and all
          processes of the cluster. Memory of the driver is its own pages (USS).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import common
from cluster import Cluster, cpu_seconds, memory
from common import PAWPRINT, Table, members, say, shared, workplace
from predict import train

PHOTOS = "data/cats_vs_dogs_16k.zip"
NODES = (1, 1)  # CPUs of each
QUARTERS = (0.25, 0.5, 0.75, 1.0)
_LOOK_EVERY = 0.5  # seconds
_GOAL = 0.8  # of the local throughput
_SOME_UNREADABLE = 3  # the exit code

Results = dict[str, Any]


def main() -> None:
    parser = common.options(__doc__)
    add = parser.add_argument
    add("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    add("--model", type=Path, help="a run or bundle; by default a run is trained first")
    add("--train-photos", type=int, default=4000, help="that it is trained on (default 4000)")
    add("--folder", type=Path, help="of photos; by default those of the shared folder")
    add("--photos", type=int, default=16_000, help="of the shared folder (default 16000)")
    add("--pairs", type=int, default=2, help="local and Ray (default 2)")
    add("--sizes", default="10000,40000,160000", help="photos (default 10000,40000,160000)")
    add("--part-size", type=int, default=1024, help="photos a part (default 1024)")
    chosen = parser.parse_args()
    if unknown := set(chosen.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    table, results = Table(last="goal"), Results()
    with workplace() as place:
        model = (chosen.model or train(place, chosen.train_photos)).resolve()
        photos = photos_of(chosen, place)
        for name in chosen.sections or SECTIONS:
            results[name] = SECTIONS[name](table, model, photos, place, chosen)
    results["ray"] = metadata.version("ray")
    common.finish("scale", table, results)


def photos_of(chosen: argparse.Namespace, place: Path) -> Path:
    """The folder of photos that was chosen."""
    if chosen.folder:
        return Path(chosen.folder).resolve()
    archive = shared(PHOTOS)
    return common.write_folder(archive, members(archive, chosen.photos), place / "photos")


class Predicted:
    """A command that predicts, followed to its end.

    Args:
        model: a run or bundle.
        photos: the folder of photos.
        out: the folder of results.
        part_size: photos a part.
        cluster: where; None for this process.
    """

    def __init__(
        self, model: Path, photos: Path, out: Path, part_size: int, cluster: Cluster | None = None
    ) -> None:
        self.out, self._cluster = out, cluster
        on_ray = ["--engine", "ray", "--address", cluster.address] if cluster else []
        more = ["--out", str(out), "--part-size", str(part_size), *on_ray]
        self._before = self._cpu()
        self._begun, self._log = time.perf_counter(), out.with_suffix(".log")
        with self._log.open("ab") as said:
            self.process = subprocess.Popen(
                [PAWPRINT, "predict", model, photos, *more],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self.cpu, self.seconds = 0.0, 0.0
        self.driver: list[tuple[int, float]] = []  # parts that were there, USS
        self.actors: list[float] = []  # the largest USS of any

    def parts(self) -> list[Path]:
        """The parts that are there."""
        return sorted((self.out / "parts").glob("part-*.parquet"))

    def look(self) -> bool:
        """Note what it uses; whether it goes on."""
        code = self.process.poll()
        if code is None:
            if found := memory(self.process.pid):
                self.driver.append((len(self.parts()), found["uss"]))
                # Up to here: what has ended can be asked no more.
                spent = self._cpu() + cpu_seconds(self.process.pid) - self._before
                self.cpu = max(self.cpu, spent)
            used = [memory(pid) for pid in self._cluster.actors()] if self._cluster else []
            self.actors += [one["uss"] for one in used if one]
            return True
        if code not in (0, _SOME_UNREADABLE):
            raise SystemExit(f"it failed ({code})\n{self.said()[-2000:]}")
        return False

    def finish(self) -> Predicted:
        """Follow it to its end."""
        while self.look():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_LOOK_EVERY)
        self.seconds = time.perf_counter() - self._begun
        return self

    def said(self) -> str:
        """What it printed."""
        return self._log.read_text("utf-8", "replace")

    def manifest(self) -> Results:
        """What became of the photos."""
        found: Results = json.loads((self.out / "manifest.json").read_text("utf-8"))
        return found

    def steady(self, actors: int) -> float:
        """Photos a second between the first parts, one of each actor, and the last."""
        ends = sorted(part.stat().st_mtime for part in self.parts())
        rows = self.manifest()["parts"]
        if len(rows) <= actors:
            return 0.0
        photos = sum(one["rows"] for one in rows[actors:])
        return float(photos / (ends[-1] - ends[actors - 1]))

    def _cpu(self) -> float:
        return self._cluster.cpu() if self._cluster else 0.0


def same_rows(first: Path, second: Path) -> tuple[int, int]:
    """How many parts of one result are the other's, all columns bit for bit, of how many.

    In a process of its own, which leaves this one small.
    """
    code = (
        "import sys; from pathlib import Path; from pyarrow import parquet\n"
        "files = [sorted(Path(name, 'parts').glob('*.parquet')) for name in sys.argv[1:]]\n"
        "assert [file.name for file in files[0]] == [file.name for file in files[1]], files\n"
        "pairs = zip(*([parquet.read_table(f) for f in some] for some in files))\n"
        "print(*(int(a.schema.equals(b.schema, check_metadata=True) and a.equals(b))"
        " for a, b in pairs))"
    )
    command = [common.PYTHON, "-c", code, str(first), str(second)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return found.count("1"), len(found)


def overhead(
    table: Table, model: Path, photos: Path, place: Path, chosen: argparse.Namespace
) -> Results:
    """Local and Ray in turns."""
    found: dict[str, list[Predicted]] = {"local": [], "ray": []}
    with Cluster(NODES) as cluster:
        for pair in range(chosen.pairs + 1):
            order = ["local", "ray"] if pair % 2 == 0 else ["ray", "local"]
            for side in order:
                where = cluster if side == "ray" else None
                out = place / f"{side}-{pair}"
                one = Predicted(model, photos, out, chosen.part_size, where).finish()
                found[side].append(one)
                say(f"{side}: {one.seconds:.1f} s, job {one.manifest()['seconds']:.1f} s")
    sames = [same_rows(*(one.out for one in both)) for both in zip(*found.values(), strict=True)]
    measured = {side: ones[1:] for side, ones in found.items()}
    rates = {side: [_rates(one) for one in ones] for side, ones in measured.items()}
    for kind in ("whole command", "job", "steady"):
        values = {side: [rate[kind] for rate in rates[side]] for side in rates}
        ratios = [ray / local for local, ray in zip(*values.values(), strict=True) if local]
        for side, each in values.items():
            shown = ", ".join(f"{value:,.0f}" for value in each)
            table.add(f"{side}, {kind}", f"{statistics.median(each):,.0f} photos/s (of {shown})")
        if ratios:
            middle = statistics.median(ratios)
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            table.add(
                f"ray / local, {kind}", f"{middle:.2f} (of {shown})", f">= {_GOAL}", middle >= _GOAL
            )
    for side, ones in measured.items():
        table.add(f"{side}, CPU", f"{statistics.median(one.cpu for one in ones):.1f} s")
    same, count = (sum(one[place] for one in sames) for place in (0, 1))
    table.add("parts of the same rows", f"{same} of {count}", "all", same == count)
    return {"photos_per_second": rates, "parts": count, "same": same}


def _rates(one: Predicted) -> dict[str, float]:
    manifest = one.manifest()
    return {
        "whole command": manifest["rows"] / one.seconds,
        "job": manifest["rows"] / manifest["seconds"],
        "steady": one.steady(len(NODES)),
    }


def sizes(
    table: Table, model: Path, photos: Path, place: Path, chosen: argparse.Namespace
) -> Results:
    """Ray with more and more photos."""
    rows = []
    for size in map(int, chosen.sizes.split(",")):
        folder = _linked(photos, place / f"photos-{size}", size)
        with Cluster(NODES) as cluster:
            one = Predicted(model, folder, place / f"of-{size}", chosen.part_size, cluster).finish()
        rows.append(_row(one, size))
        say(f"{size:,}: {one.seconds:.1f} s")
    for row in rows:
        table.add(
            f"{row['photos']:,} photos",
            f"{row['seconds']:.1f} s, a photo {row['wall_ms']:.2f} ms of {sum(NODES)} CPUs, "
            f"CPU {row['cpu_ms']:.2f} ms, results {row['bytes']:,.0f} bytes",
        )
        shown = ", ".join(f"{value:.0f}" for value in row["driver_mb"])
        table.add("  driver, at each quarter", f"{shown} MB, peak {row['driver_peak_mb']:.0f} MB")
        table.add("  largest actor", f"{row['actor_mb']:.0f} MB")
    for what, key in {
        "cost of a photo": "wall_ms",
        "CPU of a photo": "cpu_ms",
        "driver's peak": "driver_peak_mb",
    }.items():
        change = rows[-1][key] / rows[0][key] - 1
        name = f"{what}, {rows[0]['photos']:,} to {rows[-1]['photos']:,}"
        table.add(name, f"{change:+.1%}", "within 10 %", change <= 0.1)
    return {"sizes": rows}


def _linked(photos: Path, target: Path, count: int) -> Path:
    """A folder of that many photos: the same again and again, by other names."""
    files = [file for file in sorted(photos.rglob("*")) if file.is_file()]
    for number, file in enumerate(itertools.islice(itertools.cycle(files), count)):
        folder = target / f"{number // len(files):04d}" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, folder / file.name)
        except OSError:  # another file system
            (folder / file.name).write_bytes(file.read_bytes())
    return target


def _row(one: Predicted, size: int) -> Results:
    parts = len(one.parts())
    last = one.driver[-1][1]
    at = [next((mb for n, mb in one.driver if n >= part * parts), last) for part in QUARTERS]
    return {
        "photos": one.manifest()["rows"],
        "seconds": one.seconds,
        "wall_ms": 1000 * one.seconds * sum(NODES) / size,
        "cpu_ms": 1000 * one.cpu / size,
        "bytes": sum(part.stat().st_size for part in one.parts()) / size,
        "driver_mb": at,
        "driver_peak_mb": max(mb for _, mb in one.driver),
        "actor_mb": max(one.actors, default=0.0),
    }


SECTIONS = {"overhead": overhead, "sizes": sizes}

if __name__ == "__main__":
    main()
