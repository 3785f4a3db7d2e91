"""Starting and ending a service: its port, its worker processes, and its last requests."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from pawprint import bundle
from pawprint.errors import OutputError
from pawprint.serve.app import create
from pawprint.serve.bodies import SLOWEST
from pawprint.serve.connection import Connection
from pawprint.serve.metrics import SHARED_FOLDER
from pawprint.serve.settings import Settings

_BACKLOG = 2048
_START_SECONDS = 60


def bind(host: str, port: int) -> socket.socket:
    """Take a port; nobody is let in yet.

    Args:
        host: a name or an address of this computer.
        port: 0 for any that is free.

    Raises:
        OutputError: it is taken, not allowed, or no address of this computer.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            if os.name != "nt":  # where it would let others listen, too
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except BaseException:
            found.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise OutputError(
            f"port {port} of {host} cannot be used ({getattr(error, 'strerror', None) or error}); "
            "name another with --port or --host"
        ) from None
    return found


def serve(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer until SIGTERM or Ctrl-C, and then finish what is under way.

    Args:
        settings: how.
        listener: a port, as `bind` took it.
        ready: called once requests are answered.

    Raises:
        BundleError: the model cannot be opened.
    """
    with ExitStack() as stack:
        stack.enter_context(listener)
        if settings.workers > 1:
            bundle.read(settings.model)  # a fault is told once, not by each worker
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pawprint-serve-"))
            os.environ[SHARED_FOLDER] = folder
            stack.callback(os.environ.pop, SHARED_FOLDER, None)
        config = Config(
            partial(_app, settings),
            factory=True,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            workers=settings.workers,
            timeout_keep_alive=settings.keep_alive,
            timeout_graceful_shutdown=_last_seconds(settings),
        )
        try:
            if settings.workers > 1:
                _Workers(config, [listener], ready).run()
            else:
                _Worker(config, ready).run([listener])
        except KeyboardInterrupt:  # how uvicorn hands the signal on, once all is answered
            pass


def _app(settings: Settings) -> Any:
    """The application; a worker's ends with the process that made it, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_it() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=end_with_it, daemon=True).start()
    return create(settings)


def _last_seconds(settings: Settings) -> int:
    """That a request under way may still take when the service ends."""
    body = settings.patience + settings.body_bytes / SLOWEST
    return int(min(body, 60) + settings.seconds) + 1


class _Worker(Server):
    """A server that tells when it is ready."""

    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Workers(Multiprocess):
    """Servers that tell when all are ready; one that dies is started anew."""

    def __init__(self, config: Config, sockets: list[socket.socket], ready: Any) -> None:
        super().__init__(config, sockets)
        self._ready = ready

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS) for process in self.processes):
            self._ready()
        else:
            print(f"not all workers were ready within {_START_SECONDS} s", file=sys.stderr)
