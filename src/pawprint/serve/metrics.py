"""What a service counts, in Prometheus' format; with several workers, over all of them."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# Where workers keep what all of them count; the library reads it once, when it is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
_PHOTOS = (1, 2, 4, 8, 16, 32)

# When each figure began: twice the lines, for nobody.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one worker.

    Args:
        queue_limit: photos that may wait.
    """

    def __init__(self, queue_limit: int) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "pawprint_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "pawprint_request_seconds",
            "From a request's head to its answer's last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.refusals = Counter(
            "pawprint_refusals",
            "Requests refused, by the code that they were told.",
            ["code"],
            registry=self._registry,
        )
        self.photos = Counter(
            "pawprint_photos",
            "Photos answered, unknown and unreadable.",
            ["outcome"],
            registry=self._registry,
        )
        self.batch = Histogram(
            "pawprint_batch_size",
            "Photos that came in one request.",
            buckets=_PHOTOS,
            registry=self._registry,
        )
        self.waited = Histogram(
            "pawprint_queue_seconds",
            "That a photo waited.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.unwanted = Counter(
            "pawprint_unwanted_photos",
            "Photos not computed, as the client had gone or the deadline was past.",
            registry=self._registry,
        )
        self.queue = Gauge(
            "pawprint_queue_photos",
            "Photos that wait.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        limit = Gauge(
            "pawprint_queue_limit",
            "Photos that may wait.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        limit.set(queue_limit)
        for outcome in ("answered", "unknown", "unreadable"):
            self.photos.labels(outcome)
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """What a scrape is answered."""
        folder = os.environ.get(SHARED_FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        _forget_the_dead(Path(folder))
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone, folder)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)


def _forget_the_dead(folder: Path) -> None:
    """Leave the queues of workers out that are no more."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(re.findall("[0-9]+", path.stem)[-1])
        if not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir():
            with contextlib.suppress(FileNotFoundError):  # another worker was first
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
