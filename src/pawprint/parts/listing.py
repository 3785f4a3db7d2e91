"""The listing: every input of a job, in order, in one file whose row groups are the parts."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow
from pyarrow import parquet

from pawprint.parts.patience import patiently
from pawprint.parts.places import Place
from pawprint.progress import SILENT, Progress

SCHEMA = pyarrow.schema(
    [("path", "string"), ("label", "string"), ("split", "string"), ("error", "string")]
)
_DIGEST = "pawprint.listing"


@dataclass(frozen=True, slots=True)
class Input:
    """One photo that is to be answered for.

    Args:
        path: its name in the source.
        label: its class, where the source gives one.
        split: "train", "validation" or "test", where the source gives splits.
        error: why it cannot even be asked for, if so.
    """

    path: str
    label: str | None = None
    split: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Listed:
    """What a listing holds.

    Args:
        inputs: how many.
        digest: SHA-256 over their paths, in order, in hexadecimal.
    """

    inputs: int
    digest: str


def write_listing(
    to: Place, inputs: Iterable[Input], part_size: int, progress: Progress = SILENT
) -> Listed:
    """Write a listing; never more than a part of it is in memory.

    Args:
        to: the file.
        inputs: any number of them.
        part_size: inputs a part.
        progress: where to show how it goes.

    Raises:
        OSError: it cannot be written.
    """
    iterator, digest, count = iter(inputs), hashlib.sha256(), 0
    with progress.step("Listing photos", None) as advance:
        some = list(itertools.islice(iterator, part_size))
        if not some:
            return Listed(0, digest.hexdigest())  # nothing is written of nothing
        with (
            to.writing() as file,
            parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer,
        ):
            while some:
                for one in some:
                    digest.update(one.path.encode() + b"\n")
                columns = [[getattr(one, name) for one in some] for name in SCHEMA.names]
                writer.write_table(pyarrow.table(columns, SCHEMA), row_group_size=part_size)
                count += len(some)
                advance(len(some))
                some = list(itertools.islice(iterator, part_size))
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest()})
    return Listed(count, digest.hexdigest())


class Listing:
    """A listing that is read part by part.

    Args:
        place: the file.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = patiently(self._open)

    def _open(self) -> parquet.ParquetFile:
        return parquet.ParquetFile(self._place.reading())

    @property
    def listed(self) -> Listed:
        """What it holds, as it says itself."""
        metadata = self._file.metadata
        digest = (metadata.metadata or {}).get(_DIGEST.encode(), b"")
        return Listed(int(metadata.num_rows), digest.decode("ascii", "replace"))

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return int(self._file.num_row_groups)

    def rows(self, part: int) -> int:
        """How many inputs a part has."""
        return int(self._file.metadata.row_group(part).num_rows)

    def inputs(self, part: int) -> list[Input]:
        """The inputs of a part, in order.

        Raises:
            OSError: they cannot be read.
        """
        table = patiently(lambda: self._read(part))
        return [Input(**row) for row in table.to_pylist()]

    def _read(self, part: int) -> pyarrow.Table:
        try:
            return self._file.read_row_group(part)
        except OSError:  # what a broken connection leaves of a file is not to be trusted
            self._file = self._open()
            return self._file.read_row_group(part)
