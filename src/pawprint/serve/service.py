"""What all routes of a worker share: the model, the queue, the limits, and how they answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from pawprint.serve.answers import Answers
from pawprint.serve.bodies import Bodies
from pawprint.serve.metrics import Metrics
from pawprint.serve.pool import Pool, Work, step_back
from pawprint.serve.refusals import ClientGone, Refusal
from pawprint.serve.settings import Settings

Result = TypeVar("Result")

PLACE = "pawprint.place"  # of a scope: what the gate keeps for the request

_DEADLINE = "pawprint.deadline"  # of a scope: by the event loop's clock, from its first work on

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Service:
    """One worker's service.

    Args:
        settings: how it behaves.

    Raises:
        BundleError: its model cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.queue)
        with ThreadPoolExecutor(1, initializer=step_back) as thread:  # the engine's come from it
            self.answers = thread.submit(Answers, settings, self.metrics).result()
        self.bodies = Bodies(settings)
        self.pool = Pool(settings.threads, settings.queue, self.metrics)
        self.draining = False

    async def work(self, request: Request, work: Sequence[Work[Result]]) -> list[Result]:
        """Have work done for a request, within the deadline and while its client is there.

        Raises:
            Refusal: as `overloaded` or `deadline_exceeded`.
            ClientGone: the client went away.
        """
        place = request.scope.get(PLACE)
        if place is not None:
            place.free()
        late = asyncio.get_running_loop().time() + self.settings.seconds
        try:
            async with asyncio.timeout_at(request.scope.setdefault(_DEADLINE, late)):
                return await _while_there(request.receive, self.pool.run(work))
        except TimeoutError:
            raise Refusal(
                "deadline_exceeded",
                f"it was not answered within {self.settings.seconds:g} s; send again in 1 s, with "
                "fewer photos at once",
                retry_after=1,
            ) from None


async def _while_there(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Await work unless the client goes first; its body must be read."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        working.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def to_json(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON in which nothing can be taken for HTML.

    >>> to_json({"path": "<b>"}).body
    b'{"path":"\\\\u003cb\\\\u003e"}'
    """
    text = json.dumps(values, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
    return Response(text, status, headers, media_type="application/json")


def to_refusal(service: Service, refusal: Refusal) -> Response:
    """Answer a request that is refused."""
    service.metrics.refusals.labels(refusal.code).inc()
    return to_json(refusal.body, refusal.status, refusal.headers)
