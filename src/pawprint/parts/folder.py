"""A job's folder: which parts are there, whole, and what they say of themselves."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow
from pyarrow import parquet

from pawprint.data.wording import os_reason, shown
from pawprint.errors import OutputError, SourceError
from pawprint.parallel import map_chunks
from pawprint.parts.listing import Input, Listed, Listing
from pawprint.parts.patience import another_day
from pawprint.parts.places import Place
from pawprint.parts.schema import VERSION, About

JOB, LISTING, PARTS, MANIFEST = "job.json", "listing.parquet", "parts", "manifest.json"
NETWORK = "network.onnx"  # in the plan of a job that computes features
_NAME = re.compile(r"part-(\d{6,})\.parquet")
_LOOKING = 16  # parts looked at at once: of a store each takes a while
GROUP = 1024  # rows a row group, so that readers need not hold a whole part


@dataclass(frozen=True)
class JobFolder:
    """The folder of a job that has begun.

    Args:
        place: where.
    """

    place: Place

    @cached_property
    def job(self) -> dict[str, Any]:
        """What `job.json` says.

        Raises:
            SourceError: there is none, or it is none of this version.
        """
        try:
            text = (self.place / JOB).read()
            said = json.loads(text)
            if not isinstance(said, dict) or said.get("schema_version") != VERSION:
                raise ValueError
        except FileNotFoundError:
            raise SourceError(
                f"{self.place} has no {JOB}; expected a folder that pawprint embed or predict "
                "--out wrote"
            ) from None
        except OSError as error:
            raise SourceError(f"{self.place / JOB} cannot be read ({os_reason(error)})") from None
        except ValueError:
            raise SourceError(f"{self.place / JOB} is not one that this pawprint wrote") from None
        return said

    @property
    def plan(self) -> Place:
        """The folder of what computes, and of the listing: of the command that began the job."""
        return self.place / str(self.job["plan"])

    @cached_property
    def listing(self) -> Listing:
        """Every input.

        Raises:
            SourceError: it is gone, damaged or of another job.
        """
        try:
            found = Listing(self.plan / LISTING)
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise self._no_listing(error) from None
        if found.listed != Listed(self.job["inputs"], self.job["listing"]):
            raise self._no_listing(ValueError("it is of another job"))
        return found

    def inputs(self, number: int) -> list[Input]:
        """The inputs of a part.

        Raises:
            SourceError: the listing is damaged.
        """
        try:
            return self.listing.inputs(number)
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise self._no_listing(error) from None

    def _no_listing(self, error: Exception) -> SourceError:
        begin = "begin a new job in another folder"
        if isinstance(error, OSError) and another_day(error):
            why, advice = os_reason(error), f"run the same command again, or {begin}"
        else:
            why, advice = str(error)[:120], f"where it is missing or damaged {begin}"
        return SourceError(f"{self.plan / LISTING} cannot be read ({shown(why)}); {advice}")

    def part(self, number: int) -> Place:
        """A part's file."""
        return self.place / PARTS / f"part-{number:06d}.parquet"

    def write_part(self, number: int, table: pyarrow.Table, about: About) -> None:
        """Write a part, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        buffer = io.BytesIO()
        parquet.write_table(
            about.add_to(table),
            buffer,
            compression="zstd",
            use_dictionary=["label", "split", "error"],
            row_group_size=GROUP,
            write_page_checksum=True,
        )
        self.part(number).write(buffer.getvalue())

    def look(self, number: int) -> About | None:
        """What a part says of itself; None where it is not there, not whole, or of another job.

        Raises:
            OSError: nobody can say.
        """
        try:
            metadata = self._metadata(number)
        except (FileNotFoundError, ValueError):  # ArrowInvalid is one, too
            return None
        about = About.of(metadata.metadata)
        if about is None or (about.job, about.part) != (self.job["digest"], number):
            return None
        return about if about.rows == metadata.num_rows == self.listing.rows(number) else None

    def _metadata(self, number: int) -> Any:
        """The metadata of a part's file.

        Raises:
            FileNotFoundError: there is none.
            OSError: nobody can say.
            pyarrow.ArrowInvalid: it is damaged.
        """
        try:
            with self.part(number).reading() as file:
                return parquet.ParquetFile(file).metadata
        except FileNotFoundError:
            raise
        except OSError:  # of the store, or of the part? Its bytes tell
            content = self.part(number).read()
        try:
            return parquet.ParquetFile(io.BytesIO(content)).metadata
        except OSError as error:
            raise pyarrow.ArrowInvalid(str(error)) from None

    def there(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, About | None]]:
        """Look at parts, many at once; by default at all that there should be.

        Raises:
            OSError: nobody can say.
        """
        asked = range(self.listing.parts) if numbers is None else list(numbers)
        named = self._named()

        def look(some: Sequence[int]) -> list[tuple[int, About | None]]:
            return [(number, self.look(number) if number in named else None) for number in some]

        for looked in map_chunks(look, asked, size=1, workers=_LOOKING):
            yield from looked

    def _named(self) -> set[int]:
        """The numbers of parts that have a file."""
        folder = self.place / PARTS
        if not folder.exists():
            return set()
        matches = (_NAME.fullmatch(name) for name, is_folder in folder.entries() if not is_folder)
        return {int(match[1]) for match in matches if match}

    def manifest(self) -> dict[str, Any] | None:
        """What `manifest.json` says; None where there is none that can be read.

        Raises:
            OSError: nobody can say.
        """
        try:
            said = json.loads((self.place / MANIFEST).read())
        except (FileNotFoundError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one of the files that people read.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            (self.place / name).write(json.dumps(values, indent=2, ensure_ascii=False).encode())
        except OSError as error:
            raise unwritable(self.place, error) from None


def digest_of(values: dict[str, Any]) -> str:
    """A job's digest: of everything that its results follow from."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def unwritable(place: Place, error: OSError) -> OutputError:
    """The error for a folder of results that cannot be written."""
    return OutputError(
        f"{place} cannot be written ({os_reason(error)}); make room or give access and run the "
        "same command again, which goes on from the parts that are there"
    )
