"""A logistic head on features larger than memory, and beside it the head that fits in memory.

Rows are drawn, not computed from photos: hidden numbers, projected at random and cut off at zero,
of classes that overlap. They are kept as float16 in a scratch file and come back by plain reads,
so that the system's file cache, warm or not, is not counted as memory of the process. Every figure
of the whole is of a fresh process; its peak memory is the kernel's. A pass is as many rows as
there are. The comparison is made in one process, on a part that fits in memory; scikit-learn's
head ends its search sooner, which is where probabilities differ. MB are millions of bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import PYTHON, say
from processes import Measured, measure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_MB = 2000
_HIDDEN = 256  # numbers behind a row's features
_SHARPNESS = 8.0  # of what the hidden numbers tell of the class
_BLOCK = 10_000  # rows made at a time
_LIMIT = 3600  # seconds for one process


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="to fit on (default 2000000)")
    parser.add_argument("--features", type=int, default=1280, help="of a row (default 1280)")
    parser.add_argument("--classes", type=int, default=2, help="(default 2)")
    parser.add_argument("--held-out", type=int, default=50_000, help="rows (default 50000)")
    parser.add_argument("--part", type=int, default=40_000, help="to compare on (default 40000)")
    parser.add_argument("--folder", type=Path, help="for the scratch file; a temporary one if none")
    parser.add_argument("--work", choices=list(_WORK), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(_WORK[chosen.work](chosen)))
        return
    with tempfile.TemporaryDirectory(prefix="streamed-head-", dir=chosen.folder) as name:
        chosen.folder = name
        made = _process("make", chosen)
        say(f"{chosen.rows:,} rows made in {made.seconds:.0f} s")
        whole = _process("fit", chosen)
        say(f"fitted in {whole.seconds:.0f} s, {whole.peak_mb:,.0f} MB")
        beside = _process("compare", chosen)
    _report(chosen, whole, json.loads(whole.lines[-1]), json.loads(beside.lines[-1]))


def _process(work: str, chosen: argparse.Namespace) -> Measured:
    """This script again, for one piece of work: the process that measures must stay small."""
    options = {"--work": work} | {
        f"--{name.replace('_', '-')}": str(value)
        for name, value in vars(chosen).items()
        if name != "work"
    }
    words = [word for option in options.items() for word in option]
    return measure([PYTHON, __file__, *words], limit=_LIMIT)


def make(chosen: argparse.Namespace) -> dict[str, Any]:
    """Write the rows, those held out last."""
    import numpy as np

    random = np.random.default_rng(0)
    width, classes = chosen.features, chosen.classes
    projection = random.standard_normal((_HIDDEN, width), np.float32) / np.float32(_HIDDEN**0.5)
    shift = random.standard_normal(width, np.float32) / 2 - np.float32(0.3)
    straight, bent = random.standard_normal((2, _HIDDEN, classes), np.float32) / 16
    labels = []
    with (Path(chosen.folder) / "features.bin").open("wb") as file:
        for start in range(0, chosen.rows + chosen.held_out, _BLOCK):
            count = min(_BLOCK, chosen.rows + chosen.held_out - start)
            hidden = random.standard_normal((count, _HIDDEN), np.float32)
            told = _SHARPNESS * (hidden @ straight) + 2 * np.square(hidden @ bent)
            labels.append((told + random.gumbel(size=told.shape)).argmax(axis=1))
            file.write(np.maximum(hidden @ projection + shift, 0).astype(np.float16).tobytes())
    np.save(Path(chosen.folder) / "labels.npy", np.concatenate(labels))
    return {}


class Rows:
    """The first rows of the file, counted as they are read."""

    def __init__(self, chosen: argparse.Namespace, count: int) -> None:
        import numpy as np

        self.labels = np.load(Path(chosen.folder) / "labels.npy")[:count]
        self.features, self.read_rows, self._lock = chosen.features, 0, threading.Lock()
        self._file = os.open(Path(chosen.folder) / "features.bin", os.O_RDONLY)

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        import numpy as np

        with self._lock:
            self.read_rows += stop - start
        found = np.empty((stop - start, self.features), np.float16)
        begin = start * self.features * 2
        assert os.preadv(self._file, [found.data], begin) == found.nbytes
        return found


def fit(chosen: argparse.Namespace) -> dict[str, Any]:
    """Fit all rows by streaming."""
    import numpy as np

    from pawprint.model import streamed_head

    rows = Rows(chosen, chosen.rows)
    start = time.perf_counter()
    fitted = streamed_head.fit(rows)
    seconds = time.perf_counter() - start
    held, truth = _held_out(chosen)
    given = fitted.probabilities(held)
    return {
        "seconds": seconds,
        "passes": rows.read_rows / chosen.rows,
        "accuracy": float((given.argmax(axis=1) == truth).mean()),
        "log_loss": float(-np.log(given[np.arange(len(truth)), truth]).mean()),
        "strength": next(row["strength"] for row in fitted.choice if row["chosen"]),
    }


def compare(chosen: argparse.Namespace) -> dict[str, Any]:
    """Fit a part by streaming and in memory."""
    import numpy as np

    from pawprint.model import head, streamed_head

    rows = Rows(chosen, chosen.part)
    held, truth = _held_out(chosen)
    found: dict[str, Any] = {}
    start = time.perf_counter()
    streamed = streamed_head.fit(rows)
    found["streamed_seconds"] = time.perf_counter() - start
    labels = rows.labels
    order = head.spread(labels, 0)
    everything = rows.read(0, chosen.part).astype(np.float32)[order]
    start = time.perf_counter()
    in_memory = head.fit(everything, labels[order])
    found["in_memory_seconds"] = time.perf_counter() - start
    one, other = streamed.probabilities(held), in_memory.probabilities(held)
    for side, given in (("streamed", one), ("in_memory", other)):
        found[f"{side}_accuracy"] = float((given.argmax(axis=1) == truth).mean())
        found[f"{side}_log_loss"] = float(-np.log(given[np.arange(len(truth)), truth]).mean())
    found["largest_difference"] = float(np.abs(one - other).max())
    found["mean_difference"] = float(np.abs(one - other).mean())
    return found


_WORK = {"make": make, "fit": fit, "compare": compare}


def _held_out(chosen: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    import numpy as np

    rows = Rows(chosen, chosen.rows + chosen.held_out)
    features = rows.read(chosen.rows, len(rows.labels)).astype(np.float32)
    return features, rows.labels[chosen.rows :]


def _report(
    chosen: argparse.Namespace, process: Measured, whole: dict[str, Any], beside: dict[str, Any]
) -> None:
    table = common.Table()
    of = f"{chosen.rows:,} x {chosen.features:,}"
    table.add(f"{of}, {chosen.classes} classes", f"{whole['seconds']:.1f} s")
    table.add("passes over the rows", f"{whole['passes']:.1f}")
    table.add("CPU of the process", f"{process.cpu:.1f} s")
    peak = process.peak_mb
    table.add("peak memory", f"{peak:,.0f} MB", f"<= {MOST_MB:,} MB", peak <= MOST_MB)
    table.add("features on disk", f"{chosen.rows * chosen.features * 2 / 1e6:,.0f} MB")
    table.add(f"accuracy on {chosen.held_out:,} others", f"{whole['accuracy']:.2%}")
    for side in ("streamed", "in_memory"):
        accuracy, loss = beside[f"{side}_accuracy"], beside[f"{side}_log_loss"]
        found = f"{beside[f'{side}_seconds']:.1f} s, {accuracy:.2%}, log loss {loss:.4f}"
        table.add(f"{chosen.part:,} rows, {side.replace('_', ' ')}", found)
    largest, mean = beside["largest_difference"], beside["mean_difference"]
    table.add("their probabilities differ by", f"{mean:.5f}, at most {largest:.4f}")
    results = {"rows": chosen.rows, "features": chosen.features, "classes": chosen.classes}
    common.finish(
        "streamed_head",
        table,
        results | {"whole": {**whole, "peak_mb": round(peak), "cpu": process.cpu}, "part": beside},
    )


if __name__ == "__main__":
    main()
