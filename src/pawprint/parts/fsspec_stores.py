"""File systems of fsspec as pyarrow's, with failures told apart from files that are not there.

pyarrow's own handler asks first whether something is a file, and fsspec answers no to that whatever
went wrong; fsspec remembers listings that other processes have changed since; and its errors are of
any class. Here nothing is asked first or remembered, and what went wrong is an OSError.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow
from fsspec.core import url_to_fs
from pyarrow import fs

_NOT_THERE = (404, 410)  # of HTTP


def open_store(address: str) -> tuple[Any, str]:
    """The file system of an address, and what it calls the address.

    Raises:
        ImportError: its package is not installed.
        OSError: it cannot be reached.
        TypeError: it wants to be told more.
        ValueError: fsspec knows no such address.
    """
    found, path = url_to_fs(address)
    return fs.PyFileSystem(_Handler(found)), str(path)


class _Handler(fs.FSSpecHandler):  # type: ignore[misc]
    """What differs from pyarrow's."""

    def get_file_info(self, paths: list[str]) -> list[Any]:
        self.fs.invalidate_cache()
        with _told():
            return list(super().get_file_info(paths))

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        self.fs.invalidate_cache()
        here = selector.base_dir.strip("/")  # folders are listed one by one, never recursively
        with _told():
            found = self.fs.ls(selector.base_dir, detail=True)
        if [one["name"].strip("/") for one in found if one["type"] != "directory"] == [here]:
            raise NotADirectoryError(selector.base_dir)
        inner = [one for one in found if one["name"].strip("/") != here]
        return [self._create_file_info(one["name"].rstrip("/"), one) for one in inner]

    def create_dir(self, path: str, recursive: bool) -> None:
        with _told():
            super().create_dir(path, recursive)

    def delete_file(self, path: str) -> None:
        with _told():
            self.fs.rm_file(path)

    def open_input_stream(self, path: str) -> Any:
        return self._open(path, "rb")

    def open_input_file(self, path: str) -> Any:
        self.fs.invalidate_cache()  # its size may be another by now
        return self._open(path, "rb")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return self._open(path, "wb")

    def _open(self, path: str, mode: str) -> Any:
        with _told():
            return pyarrow.PythonFile(_File(self.fs.open(path, mode)), mode=mode[0])


class _File(io.RawIOBase):
    """A file of fsspec whose failures are OSErrors."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> Any:
        with _told():
            return self._file.read(size)

    def write(self, data: Any) -> Any:
        with _told():
            return self._file.write(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _told():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            with _told():
                self._file.close()

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def seekable(self) -> bool:
        return bool(self._file.seekable())


@contextmanager
def _told() -> Iterator[None]:
    """Make an OSError of whatever a store raises.

    Raises:
        FileNotFoundError: it is not there.
        OSError: any other failure.
    """
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec's HTTP calls every failure so
        if type(cause).__module__.startswith("aiohttp") and not _says_not_there(cause):
            raise OSError(_words(cause)) from error
        raise
    except OSError:
        raise
    except Exception as error:
        raise OSError(_words(error)) from error


def _says_not_there(cause: Any) -> bool:
    return getattr(cause, "status", None) in _NOT_THERE


def _words(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
