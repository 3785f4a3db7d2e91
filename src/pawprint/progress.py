"""What a long step tells of itself: how far, how fast, how long still. Imports no other room.

Library functions take a `Progress` and say nothing unless given one; the command line gives a bar
on standard error when that is a terminal.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol


class Advance(Protocol):
    """Reports that some units of a step are done, and how things stand."""

    def __call__(self, done: int, /, note: str = "") -> None:
        """`note` is a few words to show until the next."""
        ...


_EVERY = 30.0  # seconds between lines, where there is no terminal


def _unheard(done: int, /, note: str = "") -> None:
    """An Advance that nobody listens to."""


class Progress(Protocol):
    """Something that shows how a long step goes."""

    def step(self, what: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """Open a step of `total` units, or of unknown length; the function reports units done."""
        ...

    def say(self, message: str) -> None:
        """Tell the user something that matters now, such as a cache that cannot be written."""
        ...

    def log(self, line: str) -> None:
        """Tell how far a long piece of work has come, one line at a time."""
        ...


class Silent:
    """Progress that shows nothing.

    >>> with Silent().step("Reading", 3) as advance:
    ...     advance(3)
    """

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Advance]:
        """Show nothing."""
        yield _unheard

    def say(self, message: str) -> None:
        """Say nothing."""

    def log(self, line: str) -> None:
        """Say nothing."""


class Terminal:
    """Bars with rate and time left on standard error; only messages when it is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._said: set[str] = set()

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Advance]:
        """Show a bar until the step ends; where there is no terminal, a line now and then."""
        if not sys.stderr.isatty():
            yield _Lines(what, total, self.log) if total else _unheard
            return
        from rich import progress

        columns: list[progress.ProgressColumn] = [
            progress.TextColumn("{task.description:<20}"),
            progress.BarColumn(),
        ]
        if total is None:
            columns.append(progress.TimeElapsedColumn())
        else:
            columns += [
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]}", style="progress.data.speed"),
                progress.TimeRemainingColumn(elapsed_when_finished=True),
                progress.TextColumn("{task.fields[note]}"),
            ]
        with progress.Progress(*columns, console=self._console) as bar:
            task = bar.add_task(what, total=total, rate="", note="")

            def advance(done: int, /, note: str = "") -> None:
                bar.update(task, advance=done, note=note or bar.tasks[0].fields["note"])
                elapsed = bar.tasks[0].elapsed
                if elapsed:
                    bar.update(task, rate=f"{bar.tasks[0].completed / elapsed:,.0f}/s")

            yield advance
            if total is None:
                bar.update(task, total=1, completed=1)

    def say(self, message: str) -> None:
        """Print one line, once."""
        if message in self._said:
            return
        self._said.add(message)
        self._console.print(f"note: {message}", highlight=False, markup=False, soft_wrap=True)

    def log(self, line: str) -> None:
        """Print the line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Lines:
    """An Advance that logs a line twice a minute, for steps that last so long."""

    def __init__(self, what: str, total: int, log: Callable[[str], None]) -> None:
        self._what, self._total, self._log = what, total, log
        self._done, self._begun = 0, time.monotonic()
        self._next = self._begun + _EVERY

    def __call__(self, done: int, /, note: str = "") -> None:
        """Count, and log when it is time."""
        self._done += done
        now = time.monotonic()
        if now >= self._next:
            rate = self._done / (now - self._begun)
            left = timedelta(seconds=round((self._total - self._done) / max(rate, 1e-9)))
            counts = f"{self._done:,} of {self._total:,}"
            self._log(f"{self._what}: {counts}, {rate:,.0f}/s, {left} left")
            self._next = now + _EVERY


SILENT = Silent()
