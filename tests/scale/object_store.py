"""An object store that speaks as much of S3 as pyarrow asks of it, and fails where it is told to.

It holds one bucket in memory and checks no signatures. Tests have it in their own process
(``from .object_store import Store``); a benchmark wants it in another, and runs this file:
``python tests/scale/object_store.py FOLDER`` serves the files of a folder, prints the address
in one line, and ends when its input does.

Streams that write to a store of the same process have to be closed: one that is merely dropped
sends its rest while it keeps Python from running, and so from answering.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import re
import sys
import threading
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "bucket"
# From a method, a key and how often such a request has come by now (from 1): None to answer as one
# should; an int, the HTTP status to refuse with; a float, the seconds to wait before the answer;
# "drop" to close the connection without one; "cut" to close it in the middle of the answer.
# Methods are those of HTTP, and LIST for a listing, whose key is its prefix.
Fault = int | float | str | None
Faults = Callable[[str, str, int], Fault]
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


class Item(NamedTuple):
    """An object: its bytes, their tag, and when it was put, in seconds since 1970."""

    data: bytes
    etag: str
    modified: float


class Store:
    """A store that answers while its context lasts; after that its port refuses connections.

    Args:
        faults: which requests go wrong, and how; asked by one thread at a time.
        page: how many names one answer of a listing holds at most.
    """

    def __init__(self, faults: Faults | None = None, *, page: int = 1000) -> None:
        self.objects: dict[str, Item] = {}  # by key; `put` and `remove` change it
        self.names: list[str] = []  # the same keys, in order
        self.requests: Counter[tuple[str, str]] = Counter()  # by method and key, repeats too
        self.uploads: dict[str, dict[int, bytes]] = {}  # parts by number, of what is not complete
        self.tickets = itertools.count()  # names for uploads
        self.faults = faults
        self.page = page
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self._server = _Server(self)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Store:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def address(self, path: str = "", *, signed: bool = True) -> str:
        """What ``pyarrow.fs.FileSystem.from_uri`` takes, in any process of this machine.

        Args:
            path: a key, or the beginning of keys up to a slash.
            signed: with a key and a secret. Without, the client looks for some in its environment
                and, unless AWS_EC2_METADATA_DISABLED=true, in the network.
        """
        who = "key:secret@" if signed else ""
        where = f"scheme=http&endpoint_override=127.0.0.1:{self.port}"
        return f"s3://{who}{BUCKET}/{quote(path)}?{where}&region=us-east-1"

    def put(self, key: str, data: bytes) -> Item:
        """Keep an object, in place of what had its key."""
        item = Item(data, _etag(data), time.time())
        with self.lock:
            if key not in self.objects:
                insort(self.names, key)
            self.objects[key] = item
        return item

    def put_folder(self, folder: Path) -> None:
        """Keep every file of a folder under its path there."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(path.relative_to(folder).as_posix(), path.read_bytes())

    def remove(self, key: str) -> None:
        """Forget an object, if there is one."""
        with self.lock:
            if self.objects.pop(key, None):
                del self.names[bisect_left(self.names, key)]

    def count(self, method: str, key: str) -> Fault:
        """Count a request, and say what is to go wrong with it."""
        with self.lock:
            self.requests[method, key] += 1
            return self.faults and self.faults(method, key, self.requests[method, key])


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, store: Store) -> None:
        self.store = store
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *request: object) -> None:
        """A client may leave at any time; what else goes wrong is this file's fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*request)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _begin(self) -> None:
        """Take a request in, let its fault happen, and answer it."""
        self.store = self.server.store
        address = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(address.query, keep_blank_values=True).items()}
        bucket, _, self.key = unquote(address.path).removeprefix("/").partition("/")
        self.body = self._sent()
        method, key = self.command, self.key
        if method == "GET" and not key:
            method, key = "LIST", self.query.get("prefix", "")
        self.fault = self.store.count(method, key)
        if isinstance(self.fault, float):
            self.store.ended.wait(self.fault)
        if self.fault == "drop" or self.store.ended.is_set():
            self.close_connection = True
        elif isinstance(self.fault, int):
            self._refuse(self.fault)
        elif bucket != BUCKET:
            self._refuse(404, "NoSuchBucket")
        elif not self.key:
            self._of_bucket(method)
        elif "uploads" in self.query or "uploadId" in self.query:
            self._of_upload(method, self.query.get("uploadId"))
        else:
            self._of_object(method)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _begin  # noqa: N815

    def _sent(self) -> bytes:
        """The body, out of the chunks of HTTP and those of signatures that it may come in."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = _joined(self.rfile)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed = "aws-chunked" in self.headers.get("Content-Encoding", "")
        return _joined(io.BytesIO(body)) if signed else body

    def _of_bucket(self, method: str) -> None:
        if method == "LIST":
            with self.store.lock:
                self._answer(self._listing())
        elif method == "HEAD":
            self._answer(b"", {"x-amz-bucket-region": "us-east-1"})
        elif method == "POST" and "delete" in self.query:
            for key in ElementTree.fromstring(self.body).iterfind("{*}Object/{*}Key"):
                self.store.remove(key.text or "")
            self._answer(_xml("DeleteResult"))
        else:
            self._refuse(501, "NotImplemented")

    def _of_upload(self, method: str, upload: str | None) -> None:
        store = self.store
        if upload is None:
            upload = str(next(store.tickets))
            store.uploads[upload] = {}
            self._answer(_xml("InitiateMultipartUploadResult", UploadId=upload))
        elif upload not in store.uploads:
            self._refuse(404, "NoSuchUpload")
        elif method == "PUT":
            store.uploads[upload][int(self.query["partNumber"])] = self.body
            self._answer(b"", {"ETag": _etag(self.body)})
        else:
            parts = store.uploads.pop(upload)
            if method == "DELETE":
                self._answer(b"", status=204)
            else:
                item = store.put(self.key, b"".join(parts[number] for number in sorted(parts)))
                self._answer(_xml("CompleteMultipartUploadResult", ETag=item.etag))

    def _of_object(self, method: str) -> None:
        source = self.headers.get("x-amz-copy-source")  # a bucket and a key
        key = unquote(source).removeprefix("/").partition("/")[2] if source else self.key
        item = self.store.objects.get(key)
        if method == "DELETE":
            self.store.remove(key)
            self._answer(b"", status=204)
        elif method == "PUT" and not source:
            self._answer(b"", {"ETag": self.store.put(key, self.body).etag})
        elif item is None:
            self._refuse(404)
        elif method == "PUT":
            self._answer(_xml("CopyObjectResult", ETag=self.store.put(self.key, item.data).etag))
        else:
            self._give(item)

    def _give(self, item: Item) -> None:
        """Answer with an object, or with the range of it that is asked for."""
        headers = {"ETag": item.etag, "Last-Modified": formatdate(item.modified, usegmt=True)}
        size = len(item.data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(item.data, headers)
            return
        start = int(asked[1])
        stop = min(int(asked[2]) + 1, size) if asked[2] else size
        if start >= stop:
            self._refuse(416, "InvalidRange")
        else:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            self._answer(item.data[start:stop], headers, 206)

    def _listing(self) -> bytes:
        """One page of the names that begin with a prefix; its token is the next page's first."""
        names, query = self.store.names, self.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        place = bisect_left(names, max(prefix, query.get("continuation-token", "")))
        room = min(self.store.page, int(query.get("max-keys", 1000)))
        found: list[str] = []
        while more := place < len(names) and names[place].startswith(prefix):
            if len(found) == room:
                break
            name = names[place]
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                item, place = self.store.objects[name], place + 1
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(item.modified))
                facts = {"Size": len(item.data), "ETag": item.etag, "LastModified": when}
                found.append(_tags(Contents=_tags(Key=escape(name), **facts)))
            else:
                common = name[: end + len(delimiter)]
                found.append(_tags(CommonPrefixes=_tags(Prefix=escape(common))))
                place = bisect_left(names, common[:-1] + chr(ord(common[-1]) + 1))
        token = {"NextContinuationToken": escape(names[place])} if more else {}
        ends = _tags(KeyCount=len(found), IsTruncated="true" if more else "false", **token)
        return _xml("ListBucketResult", "".join(found) + ends)

    def _refuse(self, status: int, code: str = "") -> None:
        code = code or _CODES.get(status, "Refused")
        self._answer(_xml("Error", Code=code, Message="as told"), status=status)

    def _answer(
        self, body: bytes, headers: dict[str, str] | None = None, status: int = 200
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.close_connection = self.close_connection or self.fault == "cut"
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.fault == "cut" else body)


def _joined(stream: BinaryIO | io.BufferedIOBase) -> bytes:
    """The data of chunks that each begin with a line of their size, up to one of none."""
    parts: list[bytes] = []
    while size := int(stream.readline().partition(b";")[0], 16):
        parts.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():  # what is said after the last of them
        pass
    return b"".join(parts)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _tags(**inside: object) -> str:
    return "".join(f"<{tag}>{text}</{tag}>" for tag, text in inside.items())


def _xml(root: str, text: str = "", **inside: object) -> bytes:
    return f'<?xml version="1.0"?>{_tags(**{root: text + _tags(**inside)})}'.encode()


def main() -> None:
    """Serve the files of a folder until the input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    with Store() as store:
        store.put_folder(parser.parse_args().folder)
        print(store.address(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
