"""`pawprint serve`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.serve.settings import Settings

TOKEN = "PAWPRINT_TOKEN"


def serve(
    model: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Argument(metavar="[MODEL]", help="A run or a bundle; by default the starter."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for everyone who reaches it.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes; one uses every core already.")
    ] = 1,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="What the model is called in addresses.  [default: its folder's name]"),
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, max=100_000, help="Photos that may wait in a process.")
    ] = 64,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, max=3600, help="Seconds until a request is refused as too late."),
    ] = 10.0,
    max_body: Annotated[
        float, typer.Option(metavar="MIB", min=0.001, max=4096, help="The largest request.")
    ] = 32.0,
    max_files: Annotated[int, typer.Option(min=1, max=10_000, help="Photos in a request.")] = 32,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, max=100, help="The largest photo.")
    ] = 50.0,
    keep_alive: Annotated[
        int,
        typer.Option(
            min=1, max=3600, help="Seconds that a connection is kept; longer than a proxy keeps it."
        ),
    ] = 5,
    drain: Annotated[
        float,
        typer.Option(min=0, max=600, help="Seconds from SIGTERM, not ready, until the end begins."),
    ] = 1.0,
    token_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help=f"A file with the token that clients must show; or set {TOKEN}.",
        ),
    ] = None,
) -> None:
    """Answer over HTTP: a page for people, POST /predict and the Open Inference Protocol.

    Nothing that is sent is kept. Ctrl-C or SIGTERM ends it, after what is under way.
    """
    import pawprint.bundle as bundle
    from pawprint import starter
    from pawprint.errors import PawprintError
    from pawprint.serve.settings import MIB, Settings

    if max_files > queue:
        raise PawprintError(
            f"--max-files {max_files} do not fit into --queue {queue}; let more wait, or take fewer"
        )
    if name is not None and not re.fullmatch(r"[^/\x00-\x20\x7f]+", name):
        raise PawprintError(f"--name {name!r} fits into no address; expected one word without /")
    folder = bundle.find(model or starter.BUNDLE)
    settings = Settings(
        model=os.fspath(folder),
        name=name or _name(folder),
        workers=workers,
        queue=queue,
        seconds=timeout,
        body_bytes=int(max_body * MIB),
        files=max_files,
        pixels=int(max_megapixels * 1e6),
        keep_alive=keep_alive,
        drain=drain,
        token=_token(token_file),
    )
    _serve(settings, host, port)


def _name(folder: Path) -> str:
    """What a model is called: its folder, without what all runs call theirs."""
    from pawprint import starter

    if folder == starter.BUNDLE:
        return starter.NAME
    folder = folder.resolve()
    return (folder.parent if folder.name == "model" else folder).name or "model"


def _token(file: Path | None) -> str | None:
    from pawprint.errors import PawprintError

    if file is None:
        found = os.environ.get(TOKEN)
        where = TOKEN
    else:
        where = os.fspath(file)
        try:
            found = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PawprintError(f"{file} cannot be read for the token ({error})") from None
    if found is None:
        return None
    if not found.isascii() or not found.isprintable() or " " in found or not found:
        raise PawprintError(f"{where} holds no token; expected one word of ASCII characters")
    return found


def _serve(settings: Settings, host: str, port: int) -> None:
    from pawprint.errors import MissingExtra

    try:
        from pawprint.serve import server
    except ModuleNotFoundError as error:
        if (error.name or "pawprint").partition(".")[0] == "pawprint":
            raise
        raise MissingExtra("the service", error.name, "serve") from None
    listener = server.bind(host, port)
    address, taken = listener.getsockname()[:2]

    def ready() -> None:
        typer.echo(f"model        {settings.name} ({settings.model})")
        typer.echo(f"address      http://{_shown(address)}:{taken}/")
        if (seen := _seen_by_others(address)) is not None:
            typer.echo(f"for others   http://{seen}:{taken}/")
        typer.echo("Ctrl-C ends it, after what is under way")
        sys.stdout.flush()

    if not _is_loopback(address):
        _warn(address, settings.token is not None)
    server.serve(settings, listener, ready)


def _shown(address: str) -> str:
    """An address as this computer's browser takes it."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"[{here}]" if ":" in here else here


def _seen_by_others(address: str) -> str | None:
    """Where others on the network find this computer, if it listens on all its addresses."""
    import socket

    if address not in ("0.0.0.0", "::"):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent; it only says which way it would go
        except OSError:
            return None
        found: str = probe.getsockname()[0]
        return found


def _is_loopback(address: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _warn(address: str, token: bool) -> None:
    """Say plainly who can come in."""
    everyone = "any address of this computer" if address in ("0.0.0.0", "::") else address
    who = "who shows the token" if token else "who reaches it; set a token with --token-file"
    print(
        f"warning: listening on {everyone}, unencrypted, open to everyone {who}. For more than a "
        "network you trust put a proxy with TLS before it",
        file=sys.stderr,
    )
