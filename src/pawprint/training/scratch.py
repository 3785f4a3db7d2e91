"""Features that are read many times, in a file of this machine that nobody else sees."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import OutputError


class Scratch:
    """Rows of float16 features in a file without a name, gone with this object.

    Args:
        folder: that the file is in.
        rows: how many there will be.
        features: of each.

    Raises:
        OutputError: there is no room, or the folder cannot be written.
    """

    def __init__(self, folder: Path, rows: int, features: int) -> None:
        self._folder, self.features = folder, features
        self._bytes = 2 * features  # a row
        self._size = rows * self._bytes
        with self._told():
            if shutil.disk_usage(folder).free < self._size:
                raise OSError("there is no room")
            file = tempfile.TemporaryFile(dir=folder, prefix="pawprint-", buffering=0)  # noqa: SIM115
        self._number = file.fileno()
        self.close = weakref.finalize(self, file.close)

    def write(self, values: NDArray[np.float16], row: int) -> None:
        """Write rows, the first of them to a place; shape (n, ...).

        Raises:
            OutputError: they cannot be written.
        """
        data, start = np.ascontiguousarray(values).data.cast("B"), row * self._bytes
        with self._told():
            done = 0
            while done < len(data):  # at most 2 GiB a call
                done += os.pwrite(self._number, data[done:], start + done)

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Some rows, float16, shape (stop - start, features); several threads may read at once.

        Raises:
            OutputError: they cannot be read.
        """
        values = np.empty((stop - start, self.features), np.float16)
        self.read_into(values, start)
        return values

    def read_into(self, values: NDArray[np.float16], start: int) -> None:
        """Fill an array with the rows from a place on."""
        data, begin = values.data.cast("B"), start * self._bytes
        with self._told():
            done = 0
            while done < len(data):
                count = os.preadv(self._number, [data[done:]], begin + done)
                if not count:
                    raise OSError("the file of features became shorter")
                done += count

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._folder} cannot hold {self._size / 2**30:.1f} GiB of features "
                f"({error.strerror or error}); make room, or set PAWPRINT_CACHE to a larger disk"
            ) from error
