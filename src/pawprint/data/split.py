"""Which photos train and which are held out. Knows labels and content hashes, never pixels.

A photo's place follows from its own bytes and the seed: photos are put in order by a keyed hash of
their content and the first of each class are held out. Copies of one file have one hash, so they
cannot land on two sides, and what other photos there are hardly matters: adding some moves at most
those at the border.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from pawprint.errors import SourceError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def assign(
    labels: Sequence[str], hashes: Sequence[str], *, fraction: float = 0.2, seed: int = 0
) -> list[str]:
    """Give every photo a side, class by class in the same proportion.

    >>> assign(["cat"] * 3 + ["dog"] * 3, ["a", "b", "b", "c", "d", "e"], fraction=0.4)
    ['validation', 'train', 'train', 'train', 'validation', 'train']

    Args:
        labels: the class of each photo.
        hashes: the content hash of each photo; equal ones stay together, across classes too.
        fraction: the part of each class to hold out, rounded, at least one photo.
        seed: another seed gives another draw.

    Returns:
        `train` or `validation` for each photo, in order.

    Raises:
        SourceError: a class has too few different photos to be on both sides.
    """
    groups, by_class = _grouped(labels, hashes)
    sides = [TRAIN] * len(labels)
    for label in sorted(set(labels)):
        contents = _ordered(label, by_class[label], seed)
        wanted = sum(len(groups[content]) for content in contents) * fraction
        held = 0
        for content in contents[:-1]:  # the last one always trains
            if held and held + len(groups[content]) / 2 > wanted:
                break
            held += len(groups[content])
            for index in groups[content]:
                sides[index] = VALIDATION
    return sides


def assign_folds(
    labels: Sequence[str], hashes: Sequence[str], *, folds: int, seed: int = 0
) -> list[int]:
    """Give every photo a fold, so that each class is spread evenly over them.

    >>> assign_folds(["cat"] * 3 + ["dog"] * 3, ["a", "b", "b", "c", "d", "e"], folds=2)
    [0, 1, 1, 1, 0, 0]

    Args:
        labels: the class of each photo.
        hashes: the content hash of each photo; equal ones stay together, across classes too.
        folds: how many, at least 2; fewer are made where a class has fewer different photos.
        seed: another seed gives another draw.

    Returns:
        The number of its fold for each photo, in order, from 0.

    Raises:
        SourceError: a class has too few different photos to be in two folds.
    """
    groups, by_class = _grouped(labels, hashes)
    ordered = {label: _ordered(label, by_class[label], seed) for label in sorted(set(labels))}
    count = min(folds, *map(len, ordered.values()))
    fold_of, photos = [0] * len(labels), [0] * count
    for contents in ordered.values():
        of_class = [0] * count
        for content in contents:
            # To where fewest of the class are, and of those to where fewest photos are.
            fold = min(range(count), key=lambda fold: (of_class[fold], photos[fold], fold))
            of_class[fold] += len(groups[content])
            photos[fold] += len(groups[content])
            for index in groups[content]:
                fold_of[index] = fold
    return fold_of


def _grouped(
    labels: Sequence[str], hashes: Sequence[str]
) -> tuple[dict[str, list[int]], dict[str, list[str]]]:
    """The photos of each content; and the contents of each class, by their first photo's."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(hashes):
        groups[content].append(index)
    by_class: dict[str, list[str]] = defaultdict(list)
    for content, members in groups.items():
        by_class[labels[members[0]]].append(content)
    return groups, by_class


def _ordered(label: str, contents: Sequence[str], seed: int) -> list[str]:
    """A class's contents in the order of their draw."""
    if len(contents) < 2:
        raise SourceError(
            f"class {label!r} has {len(contents)} different photo(s) to itself; at least 2 "
            "that can be read are needed, one to train on and one to validate with: add "
            "photos or remove the class folder"
        )
    return sorted(contents, key=lambda content: _draw(content, seed))


def _draw(content: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{content}".encode()).digest()
