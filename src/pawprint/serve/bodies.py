"""Reading a request's body: to the byte of its limit, in memory only, and not for ever."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.types import Receive

from pawprint.serve.refusals import ClientGone, Refusal
from pawprint.serve.settings import Settings

SLOWEST = 32 * 1024  # bytes a second that a body must come with, beside its first patience

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass
class Body:
    """A body that was read whole.

    Args:
        data: as it was sent.
        encoding: what it is packed with; nothing, or a key of what `unpacked` knows.
        limit: of its bytes, unpacked too.
    """

    data: bytes
    encoding: str
    limit: int

    def unpacked(self) -> bytes:
        """The body itself; takes a while for a large one, so not for the event loop.

        Raises:
            Refusal: it is not what its encoding says, or larger than the limit.
        """
        if not self.encoding:
            return self.data
        packed = zlib.decompressobj(_WINDOWS[self.encoding])
        try:
            found = packed.decompress(self.data, self.limit + 1)
        except zlib.error:
            raise _damaged(self.encoding) from None
        if len(found) > self.limit:
            raise too_large(self.limit)
        if not packed.eof or packed.unused_data:
            raise _damaged(self.encoding)
        return found


class Bodies:
    """Reads bodies, and knows how much of them is held.

    Args:
        settings: with the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._held = settings, 0

    @asynccontextmanager
    async def read(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[Body]:
        """Read a request's body; it counts as held until the context is left.

        Args:
            headers: the request's.
            receive: what gives its body.

        Raises:
            Refusal: it is too large, too slow, packed in an unknown way, or all bodies together
                are too large.
            ClientGone: it broke off.
        """
        limit = self._settings.body_bytes
        encoding = _encoding(headers.get("content-encoding", ""))
        length = headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,18}", length) or int(length) > limit:
            raise too_large(limit)
        chunks: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self._settings.patience) as clock:
                    await self._fill(chunks, receive, clock)
            except TimeoutError:
                raise _too_slow(self._settings.patience) from None
            yield Body(chunks[0] if len(chunks) == 1 else b"".join(chunks), encoding, limit)
        finally:
            self._held -= sum(map(len, chunks))

    @contextmanager
    def hold(self, length: int) -> Iterator[None]:
        """Count what was made of a body as held, too, until the context is left.

        Args:
            length: in bytes.

        Raises:
            Refusal: all bodies together are too large.
        """
        if self._held + length > self._settings.held_bytes:
            raise _too_much_held()
        self._held += length
        try:
            yield
        finally:
            self._held -= length

    async def _fill(self, chunks: list[bytes], receive: Receive, clock: asyncio.Timeout) -> None:
        limit, taken = self._settings.body_bytes, 0
        first = clock.when()
        assert first is not None
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            chunks.append(chunk)
            taken += len(chunk)
            self._held += len(chunk)
            if taken > limit:
                raise too_large(limit)
            if self._held > self._settings.held_bytes:
                raise _too_much_held()
            clock.reschedule(first + taken / SLOWEST)


def too_large(limit: int) -> Refusal:
    """The refusal of a body over its limit."""
    return Refusal(
        "body_too_large",
        f"the body has more than {limit:,} bytes; send fewer or smaller photos at once",
    )


def _too_slow(patience: float) -> Refusal:
    return Refusal(
        "too_slow",
        f"the body came with fewer than {SLOWEST:,} bytes a second after its first {patience:g} s; "
        "send smaller photos, or from nearer",
    )


def _too_much_held() -> Refusal:
    return Refusal(
        "overloaded", "too many large requests are being read; send again in 1 s", retry_after=1
    )


def _encoding(header: str) -> str:
    name = header.strip().lower()
    if name in ("", "identity"):
        return ""
    if name.removeprefix("x-") in _WINDOWS:
        return name.removeprefix("x-")
    raise Refusal(
        "unsupported_encoding",
        "the body is packed in a way that is not read; expected gzip, deflate or none",
        headers={"Accept-Encoding": "gzip, deflate"},
    )


def _damaged(encoding: str) -> Refusal:
    return Refusal("bad_request", f"the body is not one whole {encoding} stream, as it says it is")
