"""Files and folders on any file system that pyarrow or fsspec opens, by their addresses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from pawprint.data.cache import replacing
from pawprint.data.wording import os_reason, shown
from pawprint.errors import MissingExtra, SourceError
from pawprint.parts import addresses
from pawprint.parts.patience import patiently

try:
    import pyarrow
    from pyarrow import fs
except ModuleNotFoundError as error:
    raise MissingExtra("results in parts", error.name, "scale") from None


_THIS_MACHINE = ("", "localhost")  # as file:// addresses name it


@dataclass(frozen=True)
class Place:
    """A file or folder somewhere.

    >>> place("s3://bucket/photos?region=eu-west-1") / "cat"
    Place(address='s3://bucket/photos?region=eu-west-1', inner='cat')

    >>> str(place("s3://key:secret@bucket/photos?region=eu-west-1"))
    's3://bucket/photos'

    Args:
        address: as people write it: a path on this machine, or an address such as `s3://...`.
        inner: the path from there, as its file system has it: names may hold what parts addresses.
    """

    address: str
    inner: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's file system, or one that is mounted."""
        return not addresses.is_address(self.address)

    @property
    def identity(self) -> str:
        """What tells it from other places: its address, without keys."""
        return self.address if self.is_local else addresses.identity(self.address)

    @property
    def filesystem(self) -> Any:
        """What opens it, of pyarrow."""
        return _opened(self.address)[0]

    @property
    def path(self) -> str:
        """What its file system calls it."""
        top = str(_opened(self.address)[1])
        return f"{top.rstrip('/')}/{self.inner}" if self.inner else top

    @property
    def local(self) -> Path:
        """Its path, where it is local."""
        return Path(self.path)

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        if self.inner:
            return Place(self.address, self.inner.rpartition("/")[0])
        if self.is_local:
            return Place(os.path.dirname(self.address))
        scheme, host, path, query = addresses.split(self.address)
        return Place(scheme + host + path.rpartition("/")[0] + query)

    def __truediv__(self, name: str) -> Place:
        return Place(self.address, f"{self.inner}/{name}" if self.inner else name)

    def __str__(self) -> str:
        top = self.address if self.is_local else addresses.without_keys(self.address)
        return f"{top.rstrip('/')}/{self.inner}" if self.inner else top

    def read(self, most: int | None = None) -> bytes:
        """A file's bytes, asked for several times where the store fails.

        Args:
            most: how many, if it may not be any number.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no file, or has more bytes.
        """
        return patiently(lambda: self._read(most))

    def _read(self, most: int | None) -> bytes:
        if self.is_local:
            return _bytes(self.local, most)
        with self.filesystem.open_input_stream(self.path) as stream:
            content = bytes(stream.read() if most is None else stream.read(most + 1))
        if most is not None and len(content) > most:
            raise ValueError(_too_large(most))
        return content

    def write(self, content: bytes) -> None:
        """Write a file, whole or not at all; one that is there is replaced.

        Raises:
            OSError: it cannot be written.
        """

        def write() -> None:
            with self.writing() as file:
                file.write(content)

        patiently(write)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A file to write to, which gets its name when it is whole.

        Raises:
            OSError: it cannot be written.
        """
        if self.is_local:
            self.local.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.local) as file:
                yield file
            return
        # An object store shows an object when it is closed. Of what broke off it shows a part,
        # too, which is no Parquet file then.
        with self._output() as stream:
            yield stream

    def _output(self) -> Any:
        """A stream to write to; folders are made where a file system wants them."""
        try:
            return self.filesystem.open_output_stream(self.path)
        except FileNotFoundError:
            self.parent.make()
            return self.filesystem.open_output_stream(self.path)

    def remove(self) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        if self.kind() == "file":
            patiently(lambda: self.filesystem.delete_file(self.path))

    def reading(self) -> Any:
        """A file to read from at any place, of pyarrow."""
        return patiently(lambda: self.filesystem.open_input_file(self.path))

    def exists(self) -> bool:
        """Whether there is anything.

        Raises:
            OSError: nobody can say.
        """
        return self.kind() != "nothing"

    def kind(self) -> str:
        """What it is: `file`, `folder` or `nothing`.

        Raises:
            OSError: nobody can say.
        """
        info = patiently(lambda: self.filesystem.get_file_info(self.path))
        kinds = {fs.FileType.Directory: "folder", fs.FileType.NotFound: "nothing"}
        return kinds.get(info.type, "file")

    def entries(self) -> list[tuple[str, bool]]:
        """What a folder holds, in order of names: each name, and whether it is a folder.

        Raises:
            OSError: it cannot be listed.
        """
        if self.is_local:
            with os.scandir(self.local) as scan:
                return sorted((entry.name, _is_folder(entry)) for entry in scan)
        found = patiently(lambda: self.filesystem.get_file_info(fs.FileSelector(self.path)))
        named = [(info.base_name, info.type == fs.FileType.Directory) for info in found]
        return sorted((name, is_folder) for name, is_folder in named if name)

    def make(self) -> None:
        """Make a folder, and those it is in.

        Raises:
            OSError: it cannot be made.
        """
        if self.is_local:
            self.local.mkdir(parents=True, exist_ok=True)
        else:
            patiently(lambda: self.filesystem.create_dir(self.path))


def place(address: str | os.PathLike[str]) -> Place:
    """The place of an address.

    Args:
        address: a path on this machine, or an address such as `s3://bucket/photos`, `gs://...` or
            `file:///...`.

    Raises:
        SourceError: nothing opens such an address.
    """
    given = os.fspath(address)
    if given.startswith("file://"):
        url = urlsplit(given)
        given = os.fsdecode(unquote_to_bytes(url.path)) if url.netloc in _THIS_MACHINE else ""
    if not given:
        raise SourceError(
            f"'{shown(os.fspath(address))}' names nothing on this machine; expected a folder, a "
            "file, or an address such as s3://bucket/photos or file:///photos"
        )
    if given != given.encode(errors="replace").decode():
        raise SourceError(f"{shown(given)} has a name that is not UTF-8; rename it")
    if addresses.has_broken_key(given):
        raise SourceError(
            f"{given.partition('://')[0]}://... has a key with / in it; write %2F in its place, or "
            "give keys by the environment variables of the store"
        )
    is_address = addresses.is_address(given)
    found = Place(addresses.tidy(given) if is_address else os.path.abspath(given))
    _opened(found.address)
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link that goes in circles is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _bytes(path: Path, most: int | None) -> bytes:
    """A local file's bytes; a pipe or a device is not waited for.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, or has more bytes, or its name is none.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if most is not None and status.st_size > most:
            raise ValueError(_too_large(most))
        return file.read()


def _too_large(most: int) -> str:
    return f"it has more bytes than the cap of {most:,}"


@lru_cache(1024)
def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and what that calls it."""
    if not addresses.is_address(address):
        return fs.LocalFileSystem(), address
    scheme, host, path, query = addresses.split(address)
    # One connection for all of a host; a file's name is not to be taken for escapes.
    system, root = _system(scheme + host + query)
    return system, root.rstrip("/") + path


@lru_cache(64)
def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and what it calls its top."""
    seen = addresses.without_keys(address)
    try:
        system, root = fs.FileSystem.from_uri(address)
        return system, str(root)
    except (pyarrow.ArrowInvalid, ImportError) as error:
        why = str(error)
    except OSError as error:
        raise SourceError(f"{seen} cannot be opened ({os_reason(error)})") from None
    try:
        from pawprint.parts.fsspec_stores import open_store

        return open_store(address)
    except (ImportError, ValueError, TypeError, OSError) as error:
        why += f"; {error}"
    raise SourceError(
        f"{seen} cannot be opened ({why.replace(address, seen)}); expected a folder, or an address "
        "that pyarrow or fsspec opens, such as s3://bucket/photos, and the package that fsspec "
        "wants for it"
    )
