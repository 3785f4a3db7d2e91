"""All findings about the photos of a source, from what was read and seen of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from pawprint.data.copies import Copies
from pawprint.data.reading import Fault, Read
from pawprint.doctor.classes import examine_classes
from pawprint.doctor.copies import examine_copies
from pawprint.doctor.findings import KINDS, Finding
from pawprint.doctor.photos import examine_photos


def examine(
    reads: Sequence[Read], glances: NDArray[Any], copies: Copies, faults: Sequence[Fault]
) -> tuple[Finding, ...]:
    """Find everything that is to be told about some photos.

    Args:
        reads: n photos that can be used, with the sides that the source gives.
        glances: `GLANCE`, shape (n,), of the same photos.
        copies: among these photos.
        faults: what cannot be used.

    Returns:
        The findings, in the order of `KINDS`: the worst first.
    """
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for fault in faults:
        kind = fault.kind if fault.kind in KINDS else "not-used"
        by_kind[kind].append(_of_fault(kind, fault))
    for finding in (
        *examine_copies(reads, glances, copies),
        *examine_classes(reads),
        *examine_photos(reads, glances),
    ):
        by_kind[finding.kind].append(finding)
    if copies.unsettled:
        told = f"{copies.unsettled:,} pairs and more that may be copies were not compared, for time"
        by_kind["near-duplicate"].insert(0, Finding("near-duplicate", told))
    return tuple(finding for kind in KINDS for finding in by_kind[kind])


def _of_fault(kind: str, fault: Fault) -> Finding:
    paths = (fault.path,)
    return Finding(
        kind, fault.reason, paths, () if kind in ("not-used", "excluded") else paths, fault.count
    )
