"""The application of one worker: its routes, and what they are described as."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from importlib import metadata, resources
from types import FrameType
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from pawprint.data.images import FORMAT_NAMES
from pawprint.export.stated import NOVELTY, OUTPUT
from pawprint.serve import description, forms
from pawprint.serve import inference_protocol as protocol
from pawprint.serve.gate import Gate
from pawprint.serve.metrics import CONTENT_TYPE
from pawprint.serve.pool import Wanted, step_back
from pawprint.serve.refusals import ClientGone, Refusal
from pawprint.serve.service import Service, to_json, to_refusal
from pawprint.serve.settings import Settings

_PAGE = {
    "/": ("pawprint.serve", "page.html", "text/html"),
    "/base.css": ("pawprint.pages", "base.css.j2", "text/css"),
    "/page.css": ("pawprint.serve", "page.css", "text/css"),
    **{
        f"/{name}.js": ("pawprint.serve", f"{name}.js", "text/javascript")
        for name in ("page", "photos", "cards", "camera")
    },
}
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; "
    "img-src 'self' blob: data:; script-src 'self'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
_HEALTH = ("/v2/health/live", "/v2/health/ready")
_RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")  # curl's last


def create(settings: Settings) -> ASGIApp:
    """Make a worker's application.

    Args:
        settings: how it behaves.

    Raises:
        BundleError: its model cannot be opened.
    """
    service = Service(settings)
    app = FastAPI(
        lifespan=partial(_lifespan, service),
        docs_url=None,  # those pages load from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        title="pawprint",
        version=metadata.version("pawprint"),
        description=description.ABOUT,
    )
    _explain_errors(app, service)
    _add_predict(app, service)
    _add_protocol(app, service)
    _add_about(app, service)
    _add_page(app)
    return Gate(app, service, open_to_all={*_PAGE, "/model", *_HEALTH})


@contextlib.asynccontextmanager
async def _lifespan(service: Service, app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Begin once the network answers; end after what is under way."""
    await asyncio.to_thread(service.answers.warm)
    later = threading.Thread(target=_warm_heatmaps, args=(service,), name="heatmaps")
    later.start()
    if threading.current_thread() is threading.main_thread():  # of a process of its own
        _drain_first(service)
        _quiet_decoders()
    yield {"settings": service.settings, "service": service}
    service.pool.close()
    later.join()  # the engine does not bear to be left while it compiles


def _warm_heatmaps(service: Service) -> None:
    step_back()
    service.answers.warm_heatmaps()


def _drain_first(service: Service) -> None:
    """On SIGTERM say first that no more should come, and end some seconds later.

    Those who send requests here look at readiness now and then, and until then go on sending.
    """
    loop = asyncio.get_running_loop()
    end: Any = signal.getsignal(signal.SIGTERM)

    def begin(number: int, frame: FrameType | None) -> None:
        if service.draining:
            return
        service.draining = True
        later = partial(loop.call_later, service.settings.drain, end, number, None)
        loop.call_soon_threadsafe(later)

    signal.signal(signal.SIGTERM, begin)


def _quiet_decoders() -> None:
    """Keep what libraries of C say of photos out of the log, which a client could fill.

    Some write a line for every damaged row. Python's own standard error stays what it was.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        return
    sys.stderr.flush()
    sys.stderr = open(kept, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    faulthandler.enable(sys.stderr)  # a crash leaves a word
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _explain_errors(app: FastAPI, service: Service) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return to_refusal(service, error)

    async def gone(_: Request, error: Exception) -> Response:
        return Response(status_code=499)  # to nobody; counted

    async def not_here(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            refusal = Refusal(
                "method_not_allowed", "not with this method", headers=dict(error.headers or {})
            )
        else:
            refusal = Refusal("not_found", "there is nothing here; /openapi.json says what is")
        return to_refusal(service, refusal)

    async def malformed(_: Request, error: Exception) -> Response:
        return to_refusal(service, Refusal("bad_request", "expected heatmap=true or heatmap=false"))

    async def unexpected(_: Request, error: Exception) -> Response:
        message = "something went wrong here; the log of the service says what"
        return to_refusal(service, Refusal("internal", message))

    from fastapi.exceptions import RequestValidationError

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(ClientGone, gone)
    app.add_exception_handler(HTTPException, not_here)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(Exception, unexpected)


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post("/predict", **description.PREDICT)
    async def predict(
        request: Request,
        heatmap: Annotated[
            bool, Query(description="Add a drawing of what each answer rests on.")
        ] = False,
    ) -> Response:
        async with service.bodies.read(request.headers, request.receive) as body:
            data = body.data
            if body.encoding:
                (data,) = await service.work(request, [lambda wanted: body.unpacked()])
            with service.bodies.hold(len(data) if body.encoding else 0):
                photos = _photos(data, request.headers.get("content-type", ""), service.settings)
                service.metrics.batch.observe(len(photos))
                row = partial(service.answers.row, heatmap=heatmap)
                work = [partial(row, photo, name) for name, photo in photos]
                rows = await service.work(request, work)
        if all(row["error"] is not None for row in rows):
            which = "the photo" if len(rows) == 1 else f"none of the {len(rows)} photos"
            cannot = "cannot" if len(rows) == 1 else "can"
            message = f"{which} {cannot} be read; the predictions say why"
            raise Refusal("unreadable", message, predictions=rows)
        return to_json({"predictions": rows})


def _photos(data: bytes, content_type: str, settings: Settings) -> list[forms.Named]:
    """The photos of a body, by its type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return forms.photos(data, content_type, settings)
    if kind and not kind.startswith(_RAW):
        raise Refusal(
            "unsupported_media_type",
            "expected a photo's bytes as they are, or multipart/form-data with files",
        )
    if not data:
        raise Refusal("no_photo", "the body is empty; expected a photo's bytes")
    return [("<body>", data)]


def _add_protocol(app: FastAPI, service: Service) -> None:
    settings, card = service.settings, service.answers.card

    def check(name: str, version: str = protocol.VERSION) -> None:
        if (name, version) != (settings.name, protocol.VERSION):
            raise Refusal("not_found", "no such model is served here; GET /model names the one")

    @app.get("/v2", **description.PROTOCOL)
    async def server() -> Response:
        about = {"name": "pawprint", "version": app.version}
        return to_json({**about, "extensions": ["binary_tensor_data"]})

    @app.get("/v2/health/live", **description.PROTOCOL)
    async def live() -> Response:
        return to_json({"live": True})

    @app.get("/v2/health/ready", **description.READY)
    async def ready() -> Response:
        return to_json({"ready": not service.draining}, 503 if service.draining else 200)

    @app.get("/v2/models/{name}/versions/{version}", **description.MODEL)
    @app.get("/v2/models/{name}", **description.MODEL)
    async def model(name: str, version: str = protocol.VERSION) -> Response:
        check(name, version)
        return to_json(protocol.metadata(name, card))

    @app.get("/v2/models/{name}/versions/{version}/ready", **description.MODEL)
    @app.get("/v2/models/{name}/ready", **description.MODEL)
    async def model_ready(name: str, version: str = protocol.VERSION) -> Response:
        check(name, version)
        ready = not service.draining
        return to_json({"name": name, "ready": ready}, 200 if ready else 503)

    @app.post("/v2/models/{name}/versions/{version}/infer", **description.INFER)
    @app.post("/v2/models/{name}/infer", **description.INFER)
    async def infer(request: Request, name: str, version: str = protocol.VERSION) -> Response:
        check(name, version)
        async with service.bodies.read(request.headers, request.receive) as body:
            json_length = request.headers.get(protocol.JSON_LENGTH)

            def parse(wanted: Wanted) -> protocol.Asked:
                return protocol.parse(body.unpacked(), json_length, card, settings.files)

            (asked,) = await service.work(request, [parse])
            service.metrics.batch.observe(len(asked.pixels))
            with service.bodies.hold(asked.pixels.nbytes):
                found = await service.work(
                    request, [partial(service.answers.outputs, each) for each in asked.pixels]
                )
        tensors = {OUTPUT: np.array([given for given, _ in found], np.float32)}
        if card.unknown is not None:
            tensors[NOVELTY] = np.array([[new] for _, new in found], np.float32)
        return _tensors(*protocol.answer(name, asked, tensors))


def _tensors(said: dict[str, Any], binary: bytes) -> Response:
    if not binary:
        return to_json(said)
    text = json.dumps(said, allow_nan=False).encode()
    headers = {protocol.JSON_LENGTH: str(len(text))}
    return Response(text + binary, headers=headers, media_type="application/octet-stream")


def _add_about(app: FastAPI, service: Service) -> None:
    settings, card = service.settings, service.answers.card

    @app.get("/model", **description.ABOUT_MODEL)
    async def about() -> Response:
        limits = {
            "body_bytes": settings.body_bytes,
            "files": settings.files,
            "pixels": settings.pixels,
            "queue": settings.queue,
            "seconds": settings.seconds,
        }
        return to_json(
            {
                "name": settings.name,
                "classes": card.classes,
                "size": card.preprocessing.size,
                "unknown": card.unknown is not None,
                "heatmap": service.answers.classifier.has_heatmaps,
                "formats": FORMAT_NAMES,
                "version": app.version,
                "token": settings.token is not None,
                "limits": limits,
            }
        )

    @app.get("/metrics", **description.METRICS)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI) -> None:
    for path, (package, name, kind) in _PAGE.items():
        response = partial(
            Response,
            (resources.files(package) / name).read_bytes(),
            headers=_PAGE_HEADERS,
            media_type=kind,
        )
        app.add_route(path, _giving(response), include_in_schema=False)


def _giving(response: Any) -> Any:
    async def give(_: Request) -> Response:
        found: Response = response()
        return found

    return give
