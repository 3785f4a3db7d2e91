"""`pawprint cache`."""

from __future__ import annotations

import time

import typer

app = typer.Typer(
    help="Look at the feature cache, or clear it.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def info() -> None:
    """List what the feature cache holds."""
    from pawprint.model import feature_store

    entries = feature_store.entries()
    typer.echo(f"{feature_store.cache_folder()}: {_size(sum(entry.bytes for entry in entries))}")
    for entry in entries:
        key = entry.key
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        network = f"{key['backbone']} after {key['cut']}" if "backbone" in key else key["cut"]
        typer.echo(
            f"  {entry.photos:>9,} photos  {_size(entry.bytes):>9}  last used {used}  {network}, "
            f"{key['size']} px {key['policy']}, {key.get('computed_by', 'as decoded')}"
        )


@app.command()
def clear() -> None:
    """Remove everything from the feature cache; it is computed again when needed."""
    from pawprint.model import feature_store

    typer.echo(f"{feature_store.cache_folder()}: {_size(feature_store.clear())} freed")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
