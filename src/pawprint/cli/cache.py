"""`pawprint cache`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pawprint.data.rows import CacheEntry

app = typer.Typer(
    help="Look at the cache of features, glances, hashes and downloads, or clear it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_FETCHED = ("downloads", "tfds")  # folders of the cache that are expensive to have again


@app.command()
def info() -> None:
    """List what the cache holds."""
    from pawprint.data import rows
    from pawprint.data.cache import cache_folder

    entries = rows.entries()
    fetched = {name: _bytes(cache_folder() / name) for name in _FETCHED}
    total = sum(entry.bytes for entry in entries) + sum(fetched.values())
    typer.echo(f"{cache_folder()}: {_size(total)}")
    for name, held in fetched.items():
        if held:
            typer.echo(f"  {name:<16}  {_size(held):>9}")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        size = _size(entry.bytes)
        typer.echo(f"  {entry.photos:>9,} photos  {size:>9}  last used {used}  {_what(entry)}")


@app.command()
def clear(
    downloads: Annotated[
        bool, typer.Option("--downloads", help="Also what was downloaded or exported from tfds.")
    ] = False,
) -> None:
    """Remove all that was computed from the cache; it is computed again when needed."""
    import shutil

    from pawprint.data import rows
    from pawprint.data.cache import cache_folder

    freed = rows.clear()
    for name in _FETCHED if downloads else ():
        freed += _bytes(cache_folder() / name)
        shutil.rmtree(cache_folder() / name, ignore_errors=True)
    typer.echo(f"{cache_folder()}: {_size(freed)} freed")


def _what(entry: CacheEntry) -> str:
    """What the rows of an entry are, in words."""
    key = entry.key
    if entry.kind == "glances":
        return f"what a check saw, decoded for {key['near']} px"
    if entry.kind == "reads":
        return f"hashes of the files of {key['source']}"
    network = f"{key['backbone']} after {key['cut']}" if "backbone" in key else key["cut"]
    return f"{network}, {key['size']} px {key['policy']}, {key.get('computed_by', 'as decoded')}"


def _bytes(folder: Path) -> int:
    """How much the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
