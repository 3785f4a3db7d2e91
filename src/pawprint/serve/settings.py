"""What a service is told at its start: the model, and how much of anything it takes on."""

from __future__ import annotations

from dataclasses import dataclass

from pawprint.parallel import cores

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """How a service behaves; every worker process has the same.

    Args:
        model: the bundle's folder.
        name: of the model, in addresses.
        workers: processes, each with the network, a queue and threads of its own.
        queue: photos that may wait in one worker; more are refused.
        seconds: from a request's last byte until it is refused rather than answered late.
        body_bytes: the largest body, as sent and as unpacked.
        files: photos in a request.
        fields: other fields in a form.
        pixels: of a photo.
        patience: seconds for a request's head, and for a body beside the time that its bytes take
            at the slowest rate.
        connections: at once, in one worker.
        keep_alive: seconds that a connection is kept for another request.
        drain: seconds from SIGTERM, with readiness false, until no more connections are taken.
        token: what clients must show, or None.
    """

    model: str
    name: str
    workers: int = 1
    queue: int = 64
    seconds: float = 10.0
    body_bytes: int = 32 * MIB
    files: int = 32
    fields: int = 16
    pixels: int = 50_000_000
    patience: float = 10.0
    connections: int = 1000
    keep_alive: int = 5
    drain: float = 1.0
    token: str | None = None

    @property
    def streams(self) -> int:
        """Photos that one worker's network computes at once."""
        return max(1, cores() // self.workers)

    @property
    def threads(self) -> int:
        """That decode and ask the network in one worker: while one waits, another computes."""
        return self.streams + 1

    @property
    def held_bytes(self) -> int:
        """Of all bodies that one worker holds at once."""
        return 8 * self.body_bytes
