"""`pawprint cache`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Look at the cache of features and downloads, or clear it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_FETCHED = ("downloads", "tfds")  # folders of the cache that are expensive to have again


@app.command()
def info() -> None:
    """List what the cache holds."""
    from pawprint.data.cache import cache_folder
    from pawprint.model import feature_store

    entries = feature_store.entries()
    fetched = {name: _bytes(cache_folder() / name) for name in _FETCHED}
    total = sum(entry.bytes for entry in entries) + sum(fetched.values())
    typer.echo(f"{cache_folder()}: {_size(total)}")
    for name, held in fetched.items():
        if held:
            typer.echo(f"  {name:<16}  {_size(held):>9}")
    for entry in entries:
        key = entry.key
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        network = f"{key['backbone']} after {key['cut']}" if "backbone" in key else key["cut"]
        typer.echo(
            f"  {entry.photos:>9,} photos  {_size(entry.bytes):>9}  last used {used}  {network}, "
            f"{key['size']} px {key['policy']}, {key.get('computed_by', 'as decoded')}"
        )


@app.command()
def clear(
    downloads: Annotated[
        bool, typer.Option("--downloads", help="Also what was downloaded or exported from tfds.")
    ] = False,
) -> None:
    """Remove all features from the cache; they are computed again when needed."""
    import shutil

    from pawprint.data.cache import cache_folder
    from pawprint.model import feature_store

    freed = feature_store.clear()
    for name in _FETCHED if downloads else ():
        freed += _bytes(cache_folder() / name)
        shutil.rmtree(cache_folder() / name, ignore_errors=True)
    typer.echo(f"{cache_folder()}: {_size(freed)} freed")


def _bytes(folder: Path) -> int:
    """How much the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
