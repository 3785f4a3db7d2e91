"""What came of trying an export, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawprint.export.verification import Share

if TYPE_CHECKING:
    from pawprint.export.export import Exported

_CLASSES = 20  # told one by one


def table(exported: Exported) -> list[tuple[str, str]]:
    """Give rows of a name and what is to be said.

    Args:
        exported: the export.
    """
    found = exported.verification
    never = ""
    if found.never_unknown:
        never = f"; {found.never_unknown:,} that the model calls unknown get a class"
    rows = [
        ("tried on", found.photos),
        ("labels", f"{_part(found.labels)} the same as the model's{never}"),
        (
            "differences",
            f"in a probability at most {found.largest_difference:.2g}, on average "
            f"{found.mean_difference:.2g}",
        ),
    ]
    if found.unknown is not None:
        both = f"{found.unknown.count:,} of {found.unknown.of:,} are unknown to both"
        rows.append(
            ("unknown", f"{both}; novelties differ by at most {found.novelty_difference:.2g}")
        )
    if found.before is not None and found.after is not None:
        rows.append(("right", f"{_part(found.after)}; the model {_part(found.before)}"))
    if exported.precision != "float32":
        for one in found.classes[:_CLASSES]:
            rows.append((f"  {one.label}", f"{_part(one.after)}; the model {_part(one.before)}"))
    rows.append(
        ("speed", f"{found.milliseconds:.2f} ms a photo, decoding excluded ({found.runtime})")
    )
    return rows


def told(exported: Exported) -> list[str]:
    """The same as sentences.

    Args:
        exported: the export.
    """
    return [f"{name.strip()}: {text}" for name, text in table(exported)]


def _part(share: Share) -> str:
    low, high = share.interval
    return (
        f"{share.part:.2%} ({share.count:,} of {share.of:,}; 95% interval {low:.2%} to {high:.2%})"
    )
