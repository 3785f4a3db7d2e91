"""Zip and tar archives, read in place: nothing is ever extracted to where a user could find it.

An archive comes from somewhere else, so it is taken for hostile until checked. A member's name
only ever serves as a key and never reaches the file system; even so, an archive whose names try to
leave it is refused whole. Links and devices are listed and never followed. Sizes are believed only
up to the caps of `Limits`.
"""

import bz2
import gzip
import os
import re
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Generic, TypeVar, cast

from pawprint.data.wording import os_reason, shown
from pawprint.errors import ArchiveError, PhotoError, SourceError

MAX_MEMBERS = 2_000_000
MAX_PHOTO_BYTES = 256 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**30
MAX_RATIO = 200
RATIO_FREE_BYTES = 50_000_000
MAX_DEPTH = 64

_CHUNK = 2**20
_TAR_HEADER_BYTES = 2**20
_LOCAL_HEADER = 30
_CODE_TABLES = 4096  # packed bytes that may come before the first unpacked one
LINK = "is a link"
NO_FILE = "is a pipe or device, not a file"
_DRIVE = re.compile("[A-Za-z]:")
_Place = TypeVar("_Place")
_SUFFIXES = {".zip": "zip", ".tar": "tar", ".tgz": "gzip", ".gz": "gzip"}
# What zipfile, tarfile and gzip let out on damaged input; RuntimeError: chained tar headers.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error)
_DAMAGED_TOO = (EOFError, LookupError, OverflowError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a source is believed and read.

    Args:
        members: members of an archive, or files and folders of a folder.
        photo_bytes: bytes of one photo.
        unpacked_bytes: bytes that a `.tar.gz` may become.
        ratio: how many times its packed size a zip member may become.
        ratio_free_bytes: a zip member up to this size may have any ratio.
        depth: folders within folders.
    """

    members: int = MAX_MEMBERS
    photo_bytes: int = MAX_PHOTO_BYTES
    unpacked_bytes: int = MAX_UNPACKED_BYTES
    ratio: int = MAX_RATIO
    ratio_free_bytes: int = RATIO_FREE_BYTES
    depth: int = MAX_DEPTH


def _kind(path: str, file: BinaryIO) -> str:
    """Tell the kind of archive by content, and by name only where the content has no mark."""
    head = file.read(512)
    suffix = os.path.splitext(path)[1].lower()
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if suffix != ".tar" and zipfile.is_zipfile(file):
        return "zip"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise SourceError(
        f"{shown(path)} is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive; give a "
        "folder or such an archive of photos/cat/*.jpg, photos/dog/*.jpg"
    )


def _gunzip(path: str, packed: BinaryIO, limits: Limits) -> BinaryIO:
    """Unpack to a temporary file that has no name, so that members can be read in any order."""
    packed.seek(0)
    unpacked = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # handed on
    total = 0
    try:
        with gzip.GzipFile(fileobj=packed) as stream:
            while chunk := stream.read(_CHUNK):
                total += len(chunk)
                if total > limits.unpacked_bytes:
                    raise ArchiveError(
                        f"{shown(path)} unpacks to more than {limits.unpacked_bytes:,} bytes, the "
                        "cap for a .tar.gz; unpack it yourself and give the folder"
                    )
                try:
                    unpacked.write(chunk)
                except OSError as error:
                    what = f"{shown(path)} cannot be unpacked to {tempfile.gettempdir()}"
                    how = "make room or set TMPDIR to a folder that has it"
                    raise SourceError(f"{what} ({os_reason(error)}); {how}") from error
        unpacked.flush()
    except BaseException:
        unpacked.close()
        raise
    return unpacked


class Archive(ABC, Generic[_Place]):
    """The checked members of an archive; of several with one name the last counts, as in unzip.

    `path` is where it lies, `files` has the names that `read` takes, `folders` the folders with an
    entry of their own, and `odd` the members that are never read, with the reason.
    """

    def __init__(self, path: str, file: BinaryIO, limits: Limits) -> None:
        self.files: dict[str, _Place] = {}
        self.folders: dict[str, None] = {}
        self.odd: dict[str, str] = {}
        self.path = path
        self._file = file
        self._limits = limits
        self.status = os.fstat(file.fileno())  # of the file itself, also where it was unpacked
        self._size = self.status.st_size
        self._count = 0
        self._lock = threading.Lock()
        self._list()

    def read(self, name: str, count: int | None = None) -> bytes:
        """Read one member, from any thread.

        Args:
            name: one of `files`.
            count: only so many bytes of its beginning, not held against its checksum.

        Returns:
            Its bytes; all of them, as many as declared, when no count is given.

        Raises:
            PhotoError: there is no such member, or it is damaged or over a cap.
        """
        place = self.files.get(name)
        if place is None:
            raise PhotoError(name, f"is not in {shown(self.path)}")
        try:
            return self._read(name, place) if count is None else self._head(name, place, count)
        except (zlib.error, OSError, EOFError, struct.error) as error:
            raise PhotoError(name, f"cannot be read ({error}); is the archive damaged?") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @abstractmethod
    def _list(self) -> None: ...

    @abstractmethod
    def _read(self, name: str, place: _Place) -> bytes: ...

    @abstractmethod
    def _head(self, name: str, place: _Place, count: int) -> bytes: ...

    def _at(self, offset: int, count: int) -> bytes:
        """Give up to `count` bytes; fewer only at the end of the file."""
        if hasattr(os, "pread"):
            data = os.pread(self._file.fileno(), count, offset)
            if len(data) == count or offset + len(data) >= self._size:
                return data
        with self._lock:  # Windows, and the rare file system that gives less than asked
            self._file.seek(offset)
            return self._file.read(count)

    def _name(self, raw: str, *, backslash: bool) -> str:
        """Count a member and give its name without `.` and doubled `/`, or refuse the archive."""
        self._count += 1
        if self._count > self._limits.members:
            raise ArchiveError(
                f"{shown(self.path)} has more than {self._limits.members:,} members, the cap; "
                "unpack it yourself and give the folder of a part of it"
            )
        slashed = raw.replace("\\", "/")
        parts = slashed.split("/")
        if "\0" in raw or slashed.startswith("/") or _DRIVE.match(raw) or ".." in parts:
            raise self._unsafe(f"member '{shown(raw)}' has a name that leads out of the archive")
        if len(parts) > self._limits.depth:
            raise self._unsafe(f"member '{shown(raw)}' lies over {self._limits.depth} folders deep")
        parts = parts if backslash else raw.split("/")
        return "/".join(part for part in parts if part not in ("", "."))

    def _add(self, name: str, mode: int, place: _Place) -> None:
        """Take a member as what its Unix mode says it is, in place of one of the same name."""
        self.files.pop(name, None)
        self.odd.pop(name, None)
        if stat.S_ISDIR(mode):
            self.folders[name] = None
        elif not stat.S_ISREG(mode):
            self.odd[name] = LINK if stat.S_ISLNK(mode) else NO_FILE
        elif name:
            self.files[name] = place

    def _unsafe(self, what: str) -> ArchiveError:
        return ArchiveError(
            f"{shown(self.path)} is not safe to read: {what}; pack the photos again with an "
            "ordinary tool"
        )

    def _check_size(self, name: str, size: int) -> None:
        cap = self._limits.photo_bytes
        if size > cap:
            raise PhotoError(name, f"has {size:,} bytes, more than the cap of {cap:,}")


class _Zip(Archive[zipfile.ZipInfo]):
    def _list(self) -> None:
        with zipfile.ZipFile(self._file) as directory:
            infos = directory.infolist()
        for info in infos:
            # zipfile cuts the name at a NUL; the original still has it.
            raw = info.orig_filename if "\0" in info.orig_filename else info.filename
            name = self._name(raw, backslash=True)
            if info.flag_bits & 0x2041:  # encrypted; strongly; with its directory
                raise ArchiveError(
                    f"{shown(self.path)} is encrypted (member '{shown(raw)}'); unpack it with "
                    "its password and give the folder"
                )
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR):  # a name tells folders
                mode = stat.S_IFDIR if raw.endswith(("/", "\\")) else stat.S_IFREG
            self._add(name, mode, info)
        if sum(info.compress_size for info in infos) > self._size:
            raise self._unsafe("its members overlap")

    def _read(self, name: str, place: zipfile.ZipInfo) -> bytes:
        """Read without zipfile: faster, and never more than the declared bytes."""
        size, packed_size = place.file_size, place.compress_size
        self._check_size(name, max(size, packed_size))
        if size > max(self._limits.ratio_free_bytes, self._limits.ratio * packed_size):
            times = f"more than {self._limits.ratio} times its packed size"
            raise PhotoError(name, f"would unpack to {size:,} bytes, {times}; no photo does that")
        photo = _unpack(name, place.compress_type, self._packed(name, place, packed_size), size)
        if len(photo) != size:
            relation = "more" if len(photo) > size else "fewer"
            raise PhotoError(name, f"has {relation} bytes than the {size:,} declared")
        if zlib.crc32(photo) != place.CRC:
            raise PhotoError(name, "does not match its checksum; is the archive damaged?")
        return photo

    def _head(self, name: str, place: zipfile.ZipInfo, count: int) -> bytes:
        if place.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return self._read(name, place)[:count]
        few = min(place.compress_size, count + _CODE_TABLES)
        packed = self._packed(name, place, few)
        return _unpack(name, place.compress_type, packed, count)[: min(count, place.file_size)]

    def _packed(self, name: str, place: zipfile.ZipInfo, count: int) -> bytes:
        """Give the first bytes of a member as they are packed."""
        # One read gets header and data nearly always: the header's extra field is short.
        guess = _LOCAL_HEADER + len(place.orig_filename) + 64 + count
        block = self._at(place.header_offset, guess)
        if block[:4] != b"PK\x03\x04":
            raise PhotoError(name, "is not where the archive says; is the archive damaged?")
        begin = _LOCAL_HEADER + sum(struct.unpack_from("<HH", block, 26))
        packed = block[begin : begin + count]
        return packed if len(packed) == count else self._at(place.header_offset + begin, count)


def _unpack(name: str, method: int, packed: bytes, size: int) -> bytes:
    """Unpack one byte more than declared at most, which shows a member that holds more."""
    if method == zipfile.ZIP_STORED:
        return packed
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    if method == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, size + 1)
    raise PhotoError(name, f"is packed by method {method}, which is not read; use deflate or store")


class _HeaderReader:
    """The file as tarfile sees it: a long-name header that claims gigabytes is not read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        """Read a header's bytes."""
        if not 0 <= count <= _TAR_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        return self._file.read(count)


class _Tar(Archive[tuple[int, int]]):
    def _list(self) -> None:
        self._file.seek(0)
        reader = cast(IO[bytes], _HeaderReader(self._file))
        tar = tarfile.TarFile(fileobj=reader, encoding="utf-8", errors="surrogateescape")
        last = -1
        for member in tar:
            # A negative size sends tarfile back to headers it has read, without end.
            if member.size < 0 or member.offset <= last:
                raise tarfile.ReadError(f"a member of {member.size} bytes")
            last = member.offset
            vars(tar)["members"].clear()  # tarfile would keep them all
            name = self._name(member.name, backslash=False)
            if member.issparse():
                raise self._unsafe(f"member '{shown(name)}' is a sparse file")
            link = member.issym() or member.islnk()
            mode = stat.S_IFLNK if link else stat.S_IFDIR if member.isdir() else stat.S_IFIFO
            if member.isreg():
                mode = stat.S_IFREG
            self._add(name, mode, (member.offset_data, member.size))
        # tarfile takes a broken header for the end, and would lose all that follows.
        self._file.seek(tar.offset)
        if self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"no header at byte {tar.offset:,}")

    def _read(self, name: str, place: tuple[int, int]) -> bytes:
        offset, size = place
        self._check_size(name, size)
        photo = self._at(offset, size)
        if len(photo) != size:
            raise PhotoError(name, f"breaks off after {len(photo):,} of {size:,} bytes")
        return photo

    def _head(self, name: str, place: tuple[int, int], count: int) -> bytes:
        return self._at(place[0], min(place[1], count))


def open_archive(path: str, limits: Limits | None = None) -> Archive[Any]:
    """Open a zip, tar or gzipped tar by its content and check every member's name.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "pets.zip")
    ...     with zipfile.ZipFile(path, "w") as made:
    ...         made.writestr("pets/cat/1.jpg", b"photo")
    ...     archive = open_archive(path)
    ...     list(archive.files), archive.read("pets/cat/1.jpg")
    ...     archive.close()
    (['pets/cat/1.jpg'], b'photo')

    Args:
        path: the archive.
        limits: the caps; the module's constants when not given.

    Returns:
        The open archive.

    Raises:
        SourceError: the file cannot be read or is no archive of these kinds.
        ArchiveError: the archive is damaged, encrypted or not safe to read.
    """
    limits = limits or Limits()
    try:
        file: BinaryIO = open(path, "rb")  # noqa: SIM115  # handed on to the archive
    except OSError as error:
        raise SourceError(f"{shown(path)} cannot be read ({os_reason(error)})") from error
    try:
        status = os.fstat(file.fileno())
        kind = _kind(path, file)
        if kind == "zip":
            return _Zip(path, file, limits)
        if kind == "gzip":
            with file:
                unpacked = _gunzip(path, file, limits)
            file = unpacked
        archive = _Tar(path, file, limits)
        archive.status = status
        return archive
    except BaseException as error:
        file.close()
        if isinstance(error, (*_DAMAGED, *_DAMAGED_TOO)):
            raise ArchiveError(
                f"{shown(path)} is a damaged archive ({shown(str(error))}); "
                "expected a complete .zip, .tar, .tar.gz or .tgz: download or pack it again"
            ) from error
        if isinstance(error, OSError):
            raise SourceError(f"{shown(path)} cannot be read ({os_reason(error)})") from error
        raise
