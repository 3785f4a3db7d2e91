"""Downloads into the cache: resumed after a break, checked, and whole or not there.

```
<folder>/<key of the address>/<name>        whole, and checked against what is known of it
                              <name>.part   what has come so far
                              <name>.json   which version of the file the part is of
                              .lock         held by the process that downloads
```

A server is not believed: it may break off, lie about the length, send another file or send without
end. An address is `https`; `http` is only taken on this machine itself.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from pawprint.data.cache import cache_folder, locked, replacing
from pawprint.data.wording import os_reason, shown
from pawprint.errors import DownloadError
from pawprint.progress import SILENT, Progress

MAX_BYTES = 64 * 2**30
WAITS = (0.5, 2.0, 8.0)  # seconds before each try after the first
TIMEOUT = 30.0  # seconds without a byte

_ADDRESS = re.compile("https?:/", re.IGNORECASE)
_HERE = ("localhost", "127.0.0.1", "::1")
_CHUNK = 2**18
_WORTH = 2**20  # a try that brought so many bytes earns all tries again
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_SAFE = "%/:?#[]@!$&'()*+,;=~"


class _Broken(Exception):
    """A try that failed in a way that another may not."""


@dataclass(frozen=True)
class _Version:
    """Which version of a file a part is of: what `If-Range` takes, and its bytes in all."""

    validator: str | None = None
    total: int | None = None


def is_address(text: str) -> bool:
    """Tell a web address from a path.

    >>> is_address("https://example.org/pets.zip"), is_address("photos/cat")
    (True, False)
    """
    return bool(_ADDRESS.match(text))


def downloads_folder() -> Path:
    """Where downloads are kept, within the cache."""
    return cache_folder() / "downloads"


def place(url: str, folder: Path) -> Path:
    """Where the file of an address is kept, be it there or not.

    >>> place("https://example.org/a/my%20pets.zip?x=1", Path("downloads")).name
    'my_pets.zip'

    Args:
        url: the address.
        folder: of all downloads.
    """
    key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    last = urllib.parse.unquote(url.split("#")[0].split("?")[0].rstrip("/").rsplit("/", 1)[-1])
    name = re.sub(r"[^A-Za-z0-9._-]", "_", last)[-100:].lstrip(".")
    return folder / key / (name or "download")


def downloaded(url: str, folder: Path, size: int | None = None) -> Path | None:
    """Find what an earlier download left, if it was whole.

    Args:
        url: the address.
        folder: of all downloads.
        size: in bytes, where it is known beforehand.
    """
    path = place(url, folder)
    whole = path.is_file() and (size is None or path.stat().st_size == size)
    return path if whole else None


def fetch(
    url: str,
    folder: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    offline: bool = False,
    progress: Progress = SILENT,
    cap: int = MAX_BYTES,
    waits: Sequence[float] = WAITS,
    timeout: float = TIMEOUT,
) -> Path:
    """Download a file, or find it where an earlier download left it.

    >>> fetch("https://example.org/pets.zip", Path("nowhere"), offline=True)
    Traceback (most recent call last):
    pawprint.errors.DownloadError: https://example.org/pets.zip was not downloaded yet, and ...

    Args:
        url: the address, https (or http on this machine itself).
        folder: of all downloads; is made.
        size: in bytes, where it is known beforehand.
        sha256: in hexadecimal, where it is known beforehand.
        offline: take only what is there.
        progress: where to show how it goes, in bytes.
        cap: the most bytes to take.
        waits: seconds before each try after the first that brings nothing.
        timeout: seconds to wait for an answer or the next bytes.

    Returns:
        The file. A download that was broken off, by whatever, goes on where it was.

    Raises:
        DownloadError: it is not to be had, not what it should be, or cannot be kept.
    """
    _check_address(url)
    if found := downloaded(url, folder, size):
        return found
    path = place(url, folder)
    if offline:
        raise DownloadError(
            f"{shown(url)} was not downloaded yet, and nothing is downloaded offline; run "
            "`pawprint datasets fetch` once with a connection, or give a local copy"
        )
    if size is not None and size > cap:
        raise DownloadError(f"{shown(url)} has {size:,} bytes, more than the cap of {cap:,}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        busy = f"another process is downloading {path.name}; waiting for it"
        with locked(path.parent / ".lock", lambda: progress.say(busy)):
            if not downloaded(url, folder, size):
                _Download(url, path, size, sha256, progress, cap, timeout).run(waits)
    except OSError as error:
        raise DownloadError(
            f"{shown(url)} cannot be kept in {folder} ({os_reason(error)}); make room there, or "
            "set PAWPRINT_CACHE to a folder that can be written and has room"
        ) from error
    return path


def _check_address(url: str, before: str = "") -> None:
    """Refuse what is no address to download from, or to be sent to by the one before."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise DownloadError(f"{shown(url)} is no address ({error})") from None
    if parts.username is not None or parts.password is not None:
        raise DownloadError(
            f"the address on {host} has a user name or password in it, which pawprint does not "
            "take; download the file yourself and give it"
        )
    if not host or any(c.isspace() or not c.isprintable() for c in url):
        raise DownloadError(f"{shown(url)} is no address; expected https://host/path/photos.zip")
    local = parts.scheme == "http" and host in _HERE and not before.lower().startswith("https:")
    if parts.scheme == "https" or local:
        return
    what = f"{shown(before)} leads to {shown(url)}, which" if before else shown(url)
    raise DownloadError(
        f"{what} is not https, so what comes could be changed on the way; give an https address, "
        "or download the file yourself and give it"
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow to a place that is as safe, and nowhere else."""
        _check_address(newurl, before=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Download:
    """One file on its way."""

    def __init__(
        self,
        url: str,
        path: Path,
        size: int | None,
        sha256: str | None,
        progress: Progress,
        cap: int,
        timeout: float,
    ) -> None:
        self._url = url
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.json")
        self._size = size
        self._sha256 = sha256
        self._progress = progress
        self._cap = cap
        self._timeout = timeout
        proxies = {k: v for k, v in urllib.request.getproxies().items() if k != "http"}
        self._opener = urllib.request.build_opener(_Redirects, urllib.request.ProxyHandler(proxies))

    def run(self, waits: Sequence[float]) -> None:
        """Try until the file is whole, or tries bring nothing more."""
        best, left = self._have(), list(waits)
        while True:
            try:
                self._try()
                return
            except _Broken as broken:
                have = self._have()
                if have >= best + _WORTH:
                    best, left = have, list(waits)
                if not left:
                    raise DownloadError(
                        f"{shown(self._url)} cannot be downloaded: {broken}; try again later"
                        + (f", it goes on after the {have:,} bytes that came" if have else "")
                    ) from None
                self._progress.say(f"{self._path.name}: {broken}; trying again")
                time.sleep(left.pop(0))

    def _fail(self, what: str) -> NoReturn:
        raise DownloadError(f"{shown(self._url)} {what}")

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _start_over(self) -> None:
        self._part.unlink(missing_ok=True)

    def _version(self) -> _Version:
        try:
            return _Version(**json.loads(self._note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return _Version()

    def _try(self) -> None:
        have, version = self._have(), self._version()
        if have and version.validator is None and self._sha256 is None:
            have = 0  # nothing would tell whether the rest is of the same file
        total = self._size or version.total
        if not have or have != total:
            self._receive(have, version)
        self._check(resumed=have > 0)
        os.replace(self._part, self._path)
        self._note.unlink(missing_ok=True)

    def _receive(self, have: int, version: _Version) -> None:
        request = urllib.request.Request(urllib.parse.quote(self._url, safe=_SAFE))
        request.add_header("User-Agent", "pawprint")
        if have:
            request.add_header("Range", f"bytes={have}-")
            if version.validator is not None:
                request.add_header("If-Range", version.validator)
        with self._open(request) as response:
            start, total = self._announced(response, have, version)
            self._check_total(total, start)
            if start == 0:
                self._part.write_bytes(b"")  # before the note: never a note of another version
                headers = response.headers
                etag = headers.get("ETag", "")
                strong = etag if etag.startswith('"') else headers.get("Last-Modified")
                with replacing(self._note) as file:
                    file.write(json.dumps(asdict(_Version(strong, total))).encode())
            self._copy(response, start, total)

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file
                self._start_over()
                raise _Broken("the server has not the rest of it") from None
            if error.code in _PASSING:
                raise _Broken(f"the server answers {error.code} {error.reason}") from None
            if 300 <= error.code < 400:
                self._fail("leads on without end, or to where it is not safe to follow; check it")
            self._fail(f"is not to be had: the server answers {error.code}; check the address")
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError | socket.gaierror):
                self._fail(
                    f"cannot be reached ({os_reason(reason)}); check the address and the "
                    "connection, or give a local copy"
                )
            raise _Broken(f"no connection ({_reason(reason)})") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"no answer ({_reason(error)})") from None

    def _announced(self, response: Any, have: int, version: _Version) -> tuple[int, int | None]:
        """The byte that the answer starts at, and the bytes of the whole file if it says so."""
        if response.status == 206:
            found = re.fullmatch(
                r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)",
                response.headers.get("Content-Range", "").strip(),
            )
            total = int(found[2]) if found and found[2] != "*" else None
            other = None not in (total, version.total) and total != version.total
            if not have or not found or int(found[1]) != have or other:
                self._start_over()
                raise _Broken("the server sent another part than asked for")
            return have, total
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch("[0-9]{1,18}", length) else None

    def _check_total(self, total: int | None, start: int) -> None:
        if total is None:
            return
        if self._size is not None and total != self._size:
            self._fail(
                f"has {total:,} bytes, and {self._size:,} were expected: it is not the file that "
                "is known by this address; give a local copy"
            )
        if total > self._cap:
            self._fail(f"has {total:,} bytes, more than the cap of {self._cap:,}")
        free = shutil.disk_usage(self._part.parent).free
        if total - start > free:
            self._fail(
                f"needs {total - start:,} bytes in {self._part.parent}, where {free:,} are free; "
                "make room, or set PAWPRINT_CACHE to a folder that has it"
            )

    def _copy(self, response: Any, start: int, total: int | None) -> None:
        have, most = start, self._cap if total is None else total
        step = self._progress.step(f"Downloading {self._path.name}", total)
        with step as advance, self._part.open("r+b") as file:
            file.seek(start)
            advance(start)
            while True:
                try:
                    data = response.read1(_CHUNK)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise _Broken(f"broke off after {have:,} bytes ({_reason(error)})") from None
                if not data:
                    break
                have += len(data)
                if have > most:
                    file.truncate(0)
                    self._fail(f"sends more than {most:,} bytes, and was broken off")
                file.write(data)
                advance(len(data))
            file.flush()
            os.fsync(file.fileno())
        if total is not None and have < total:
            raise _Broken(f"broke off after {have:,} of {total:,} bytes")

    def _check(self, *, resumed: bool) -> None:
        """Hold the whole part against what is known of the file."""
        have, wrong = self._have(), ""
        if self._size is not None and have != self._size:
            wrong = f"has {have:,} bytes, and {self._size:,} were expected"
        elif self._sha256 is not None:
            with self._part.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self._sha256:
                wrong = f"has the SHA-256 {found}, and {self._sha256} was expected"
        if not wrong:
            return
        self._start_over()
        if resumed:  # the part may have been the damaged one
            raise _Broken(f"{wrong}; starting over")
        self._fail(f"{wrong}: it is not the file that is known by this address; not kept")


def _reason(error: object) -> str:
    if isinstance(error, OSError):
        return os_reason(error)
    return shown(str(error)) or type(error).__name__
