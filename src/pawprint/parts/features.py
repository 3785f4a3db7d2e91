"""Features in parts, read again: never more than some rows of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from pawprint.data.wording import os_reason
from pawprint.errors import SourceError
from pawprint.parts.folder import GROUP, MANIFEST, JobFolder
from pawprint.parts.places import Place
from pawprint.parts.schema import FEATURES, matrix


@dataclass(frozen=True)
class Block:
    """Some rows that are read together.

    Args:
        part: the number of their part,
        group: of their row group in it,
        start: and of the first of them among all rows.
        rows: how many.
    """

    part: int
    group: int
    start: int
    rows: int

    @property
    def end(self) -> int:
        """The number behind the last."""
        return self.start + self.rows


class FeatureParts:
    """The results of a finished job that computed features.

    Args:
        place: its folder.

    Raises:
        SourceError: it is none, or not finished.
    """

    def __init__(self, place: Place) -> None:
        self.folder = JobFolder(place)
        self.job = self.folder.job
        if self.job["computes"]["what"] != FEATURES:
            raise SourceError(
                f"{place} holds {self.job['computes']['what']}; expected features, as pawprint "
                "embed writes them"
            )
        try:
            if not (place / MANIFEST).exists():
                raise SourceError(
                    f"{place} is not finished; run the same pawprint embed command again, which "
                    "goes on"
                )
            self.blocks = list(self._blocks())
        except OSError as error:
            raise SourceError(f"{place} cannot be read ({os_reason(error)})") from error
        self.rows = self.blocks[-1].end

    def _blocks(self) -> Iterator[Block]:
        start = 0
        for number, about in self.folder.there():
            if about is None:
                raise SourceError(
                    f"{self.folder.part(number)} is missing or damaged; run the same pawprint "
                    "embed command again, which computes it again"
                )
            for group, first in enumerate(range(0, about.rows, GROUP)):
                rows = min(GROUP, about.rows - first)
                yield Block(number, group, start, rows)
                start += rows

    def table(self, block: Block, columns: Sequence[str]) -> pyarrow.Table:
        """Some columns of a block.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            with self.folder.part(block.part).reading() as file:
                reader = parquet.ParquetFile(file, page_checksum_verification=True)
                found = reader.read_row_group(block.group, columns=list(columns))
            if lost := set(columns) - set(found.column_names):
                raise ValueError(f"part {block.part} has no column {', '.join(sorted(lost))}")
            return found
        except (OSError, ValueError) as error:  # ArrowInvalid, and names that are no text
            part = self.folder.part(block.part)
            raise SourceError(
                f"{part} cannot be read ({_why(error)}); where it is damaged, delete it and run "
                "the same pawprint embed command again, which computes it again"
            ) from error

    def tables(self, columns: Sequence[str]) -> Iterator[tuple[Block, pyarrow.Table]]:
        """Some columns of all blocks, in order."""
        for block in self.blocks:
            yield block, self.table(block, columns)

    def vectors(self, block: Block, column: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Features of some rows of a block that have some.

        Args:
            block: which.
            column: of features.
            rows: int, shape (n,), numbers within the block.

        Returns:
            float16, shape (n, size).
        """
        return matrix(self.table(block, [column]).column(column).take(pyarrow.array(rows)))


def _why(error: Exception) -> str:
    return os_reason(error) if isinstance(error, OSError) else str(error)
