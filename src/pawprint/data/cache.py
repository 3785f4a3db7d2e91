"""Where caches lie, files that are whole or not there, and one process at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs

from pawprint.data.wording import os_reason
from pawprint.errors import OutputError
from pawprint.progress import SILENT, Progress

UNFINISHED = ".part-"  # how names of files begin that are not whole
_CHUNK = 2**20
_POLL = 0.2  # seconds between looks at a lock that another process holds


def cache_folder() -> Path:
    """Where caches lie: `PAWPRINT_CACHE`, or the user's cache folder."""
    named = os.environ.get("PAWPRINT_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("pawprint", False))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name and give it its own name when it is whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as file:
    ...         size = file.write(b"text")
    ...     os.listdir(folder)
    ['a.txt']

    Args:
        path: the file; one that is there is replaced.

    Raises:
        OSError: it cannot be written; nothing is left of it then.
    """
    temporary = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """As `replacing`, for a file that a person asked for.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({os_reason(error)}); name a file in a folder that is "
            "there, that you may write to and that has room"
        ) from error


def check_free(path: Path) -> None:
    """Refuse a name that something has already.

    Raises:
        OutputError: it has.
    """
    if os.path.lexists(path):
        raise OutputError(f"{path} exists already; name a file that does not")


def copy_out(path: Path, to: Path, progress: Progress = SILENT) -> None:
    """Copy a file out of the cache, so that what happens to the copy does not harm the cache.

    Args:
        path: the file.
        to: where to; must not exist.
        progress: where to show how it goes, in bytes.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    check_free(to)
    total = path.stat().st_size
    try:
        step = progress.step(f"Copying to {to.name}", total)
        with path.open("rb") as source, replacing(to) as file, step as advance:
            while data := source.read(_CHUNK):
                advance(file.write(data))
    except OSError as error:
        raise OutputError(
            f"{to} cannot be written ({os_reason(error)}); {total:,} bytes are needed in a folder "
            "that is there"
        ) from error


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock, which ends with the process that holds it, however that ends.

    Args:
        path: the lock's file, which stays.
        waiting: called once when another process holds the lock.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("ab") as file:
        told = False
        while not _take(file):
            if not told:
                waiting()
                told = True
            time.sleep(_POLL)
        yield  # closing the file lets go


def _take(file: BinaryIO) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
