"""Ray: what is left of results when workers, nodes and the command itself are killed.

A cluster on this machine (benchmarks/cluster.py): a head without a CPU, where the command runs, and
two nodes with one. Everything is killed with SIGKILL, at moments spread over the job. What is left
is compared with what the local engine computed undisturbed: all parts, all columns, bit for bit.

actors:  a worker's process, again and again; each time one that has come up since.
node:    all processes of a node, for good: the other has to do its work.
renewed: the same, and some seconds later another node joins.
driver:  the command itself; how long its workers outlive it; then the same command again. Parts
         that were there must be the same files as before.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import common
from cluster import Cluster, kill
from common import Table, say, workplace
from predict import train
from scale import Predicted, photos_of, same_rows

NODES = (0, 1, 1)  # CPUs of each
_LOOK_EVERY = 0.1  # seconds
_REJOINS_AFTER = 5.0  # seconds
_GONE_LIMIT = 60.0  # seconds, for workers whose command was killed

Results = dict[str, Any]


def main() -> None:
    parser = common.options(__doc__)
    add = parser.add_argument
    add("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    add("--model", type=Path, help="a run or bundle; by default a run is trained first")
    add("--train-photos", type=int, default=4000, help="that it is trained on (default 4000)")
    add("--folder", type=Path, help="of photos; by default those of the shared folder")
    add("--photos", type=int, default=16_000, help="of the shared folder (default 16000)")
    add("--part-size", type=int, default=256, help="photos a part (default 256)")
    add("--kills", type=int, default=10, help="of workers (default 10)")
    add("--limit", type=float, default=1800, help="seconds for a job to end (default 1800)")
    add("--seed", type=int, default=0, help="of what is killed (default 0)")
    chosen = parser.parse_args()
    if unknown := set(chosen.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    random.seed(chosen.seed)
    table, results = Table(last="goal"), Results()
    with workplace() as place:
        model = (chosen.model or train(place, chosen.train_photos)).resolve()
        disturbed = Disturbed(table, model, photos_of(chosen, place), place, chosen)
        for name in chosen.sections or SECTIONS:
            say(f"{name} ...")
            with Cluster(NODES) as cluster:
                results[name] = SECTIONS[name](disturbed, cluster)
    results["ray"] = metadata.version("ray")
    common.finish("scale_faults", table, results)


class Disturbed:
    """Jobs that are disturbed, and the one that was not.

    Args:
        table: for the figures.
        model: a run or bundle.
        photos: the folder of photos.
        place: for results.
        chosen: options.
    """

    def __init__(
        self, table: Table, model: Path, photos: Path, place: Path, chosen: argparse.Namespace
    ) -> None:
        self.table, self.chosen = table, chosen
        self._model, self._photos, self._place = model, photos, place
        self.quiet = self.begin("local").finish()
        self.parts = len(self.quiet.parts())

    def begin(self, name: str, cluster: Cluster | None = None) -> Predicted:
        """Begin a job, or go on with it."""
        out = self._place / name
        return Predicted(self._model, self._photos, out, self.chosen.part_size, cluster)

    def until(self, job: Predicted, parts: int) -> None:
        """Follow a job until it has so many parts, or has ended."""
        begun = time.perf_counter()
        while job.look() and len(job.parts()) < parts:
            if time.perf_counter() > begun + self.chosen.limit:
                job.process.kill()
                raise SystemExit(f"hangs with {len(job.parts())} parts\n{job.said()[-2000:]}")
            time.sleep(_LOOK_EVERY)

    def end(self, job: Predicted, name: str) -> Results:
        """Follow a job to its end, and compare."""
        self.until(job, self.parts + 1)
        job.finish()
        manifest, expected = job.manifest(), self.quiet.manifest()
        counted = all(manifest[key] == expected[key] for key in ("rows", "errors", "labels"))
        same, count = same_rows(self.quiet.out, job.out)
        paths, distinct = paths_of(job.out)
        add = self.table.add
        add(f"{name}: rows", f"{paths:,} of {distinct:,} paths", "each once", paths == distinct)
        inputs = expected["inputs"]
        add(f"{name}: photos", f"{distinct:,} of {inputs:,}", "all", distinct == inputs and counted)
        add(f"{name}: parts as undisturbed", f"{same} of {count}", "all", same == count)
        add(f"{name}: seconds", f"{job.seconds:.1f} (undisturbed, local {self.quiet.seconds:.1f})")
        found = {"rows": paths, "paths": distinct, "same": same, "parts": count}
        return {**found, "seconds": job.seconds}


def paths_of(out: Path) -> tuple[int, int]:
    """Rows of a result, and how many paths they have; counted in a process of its own."""
    code = (
        "import sys; from pyarrow import parquet\n"
        "paths = parquet.read_table(sys.argv[1], columns=['path'])['path'].to_pylist()\n"
        "print(len(paths), len(set(paths)))"
    )
    command = [common.PYTHON, "-c", code, str(out / "parts")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(found[0]), int(found[1])


def actors(disturbed: Disturbed, cluster: Cluster) -> Results:
    """Kill workers, one after the other."""
    job, killed = disturbed.begin("actors", cluster), set[int]()
    kills, at = disturbed.chosen.kills, []
    for number in range(kills):
        disturbed.until(job, 1 + number * disturbed.parts // (kills + 1))
        while job.look() and not (here := set(cluster.actors()) - killed):
            time.sleep(_LOOK_EVERY)
        if job.process.poll() is None:
            victim = random.choice(sorted(here))
            kill(victim)
            killed.add(victim)
            at.append(len(job.parts()))
    found = disturbed.end(job, "workers killed")
    disturbed.table.add("workers killed", f"{len(at)}", f"{kills}", len(at) == kills)
    return {**found, "killed_at_parts": at}


def node(disturbed: Disturbed, cluster: Cluster, *, renewed: bool = False) -> Results:
    """Kill a node in the middle."""
    name = "node renewed" if renewed else "node killed for good"
    job = disturbed.begin("renewed" if renewed else "node", cluster)
    disturbed.until(job, disturbed.parts // 3)
    working = [one for one in cluster.nodes if one.actors()]
    at = len(job.parts())
    cluster.kill(working[-1])
    if renewed:
        time.sleep(_REJOINS_AFTER)
        cluster.add(1)
    found = disturbed.end(job, name)
    disturbed.table.add(f"{name}: when", f"{at} of {disturbed.parts} parts were there")
    return {**found, "killed_at_parts": at, "nodes_that_worked": len(working)}


def renewed(disturbed: Disturbed, cluster: Cluster) -> Results:
    """Kill a node in the middle, and start another."""
    return node(disturbed, cluster, renewed=True)


def driver(disturbed: Disturbed, cluster: Cluster) -> Results:
    """Kill the command in the middle, and run it again."""
    job = disturbed.begin("driver", cluster)
    disturbed.until(job, disturbed.parts // 2)
    job.process.kill()
    job.process.wait()
    begun = time.perf_counter()
    while cluster.actors() and time.perf_counter() < begun + _GONE_LIMIT:
        time.sleep(_LOOK_EVERY)
    outlived = time.perf_counter() - begun
    before = {part: part.stat() for part in job.parts()}
    left = [file for file in (job.out / "parts").iterdir() if file not in before]
    found = disturbed.end(disturbed.begin("driver", cluster), "command killed")
    kept = 0
    for part, was in before.items():
        with contextlib.suppress(OSError):
            now = part.stat()
            kept += (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)
    add = disturbed.table.add
    add("command killed: its workers outlive it", f"{outlived:.1f} s", "", None)
    add("command killed: parts kept", f"{kept} of {len(before)}", "all", kept == len(before))
    add("command killed: parts computed anew", f"{found['parts'] - kept}")
    add("command killed: half-written files left", f"{len(left)}")
    return {**found, "outlived": outlived, "there": len(before), "kept": kept, "left": len(left)}


SECTIONS = {"actors": actors, "node": node, "renewed": renewed, "driver": driver}

if __name__ == "__main__":
    main()
