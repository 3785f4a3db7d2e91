"""Which photos train and which are held out. Knows labels and keys, never pixels.

What must stay on one side has one key: a photo's content hash, that of the first of its copies, or
the name of its group. A key's place follows from itself and the seed alone: each is drawn from a
keyed hash, and those whose draw is below the fraction are held out. So photos that are added later
move none of the old ones, and classes keep their proportions as well as chance keeps them; where a
class is so small that chance fails it, and there alone, the nearest draws make up for it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from pawprint.errors import SourceError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def assign(
    labels: Sequence[str],
    keys: Sequence[str],
    *,
    fraction: float = 0.2,
    seed: int = 0,
    purpose: str = VALIDATION,
) -> list[bool]:
    """Draw which photos are held out, class by class.

    >>> assign(["cat"] * 3 + ["dog"] * 3, ["a", "b", "b", "c", "d", "e"], fraction=0.4)
    [True, False, False, False, True, True]

    Args:
        labels: the class of each photo.
        keys: of each photo; those with the same key stay together, across classes too.
        fraction: the part of each class to hold out. It is between half and double of that, and at
            least one photo is on either side.
        seed: another seed gives another draw.
        purpose: another purpose does, too.

    Returns:
        Whether it is held out, for each photo in order.

    Raises:
        SourceError: a class has too few different photos to be on both sides.
    """
    groups, by_class = _grouped(labels, keys)
    salt = f"{seed}:{purpose}"
    held_out = [False] * len(labels)
    for label in sorted(set(labels)):
        ordered = _ordered(label, by_class[label], salt)
        total = sum(len(groups[key]) for _, key in ordered)
        wanted = total * fraction
        least, most = wanted / 2, min(2 * wanted, (total + wanted) / 2)
        out: list[str] = []
        held = 0
        for draw, key in ordered[:-1]:  # the last one always trains
            if draw >= fraction and out and held >= least:
                break
            if held + len(groups[key]) <= most:  # else it is a large group; a smaller one may fit
                out.append(key)
                held += len(groups[key])
        # Where none fits, the smallest.
        for key in out or [min((key for _, key in ordered[:-1]), key=lambda key: len(groups[key]))]:
            for index in groups[key]:
                held_out[index] = True
    return held_out


def assign_folds(
    labels: Sequence[str], keys: Sequence[str], *, folds: int, seed: int = 0
) -> list[int]:
    """Give every photo a fold, so that each class is spread evenly over them.

    >>> assign_folds(["cat"] * 3 + ["dog"] * 3, ["a", "b", "b", "c", "d", "e"], folds=2)
    [0, 1, 1, 1, 0, 0]

    Args:
        labels: the class of each photo.
        keys: of each photo; those with the same key stay together, across classes too.
        folds: how many, at least 2; fewer are made where a class has fewer different photos.
        seed: another seed gives another draw.

    Returns:
        The number of its fold for each photo, in order, from 0.

    Raises:
        SourceError: a class has too few different photos to be in two folds.
    """
    groups, by_class = _grouped(labels, keys)
    ordered = {
        label: [key for _, key in _ordered(label, by_class[label], str(seed))]
        for label in sorted(set(labels))
    }
    count = min(folds, *map(len, ordered.values()))
    fold_of, photos = [0] * len(labels), [0] * count
    for own in ordered.values():
        of_class = [0] * count
        for key in own:
            # To where fewest of the class are, and of those to where fewest photos are.
            fold = min(range(count), key=lambda fold: (of_class[fold], photos[fold], fold))
            of_class[fold] += len(groups[key])
            photos[fold] += len(groups[key])
            for index in groups[key]:
                fold_of[index] = fold
    return fold_of


def _grouped(
    labels: Sequence[str], keys: Sequence[str]
) -> tuple[dict[str, list[int]], dict[str, list[str]]]:
    """The photos of each key; and the keys of each class, by their first photo's."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    by_class: dict[str, list[str]] = defaultdict(list)
    for key, members in groups.items():
        by_class[labels[members[0]]].append(key)
    return groups, by_class


def _ordered(label: str, keys: Sequence[str], salt: str) -> list[tuple[float, str]]:
    """A class's keys in the order of their draws, each from 0 to 1."""
    if len(keys) < 2:
        raise SourceError(
            f"class {label!r} has {len(keys)} different photo(s) to itself; at least 2 that can be "
            "read and are no copies of each other are needed, one to train on and one to validate "
            'with: add photos or remove the class folder (data.duplicates = "exact" in a recipe '
            "takes only the same bytes for copies)"
        )
    return sorted((_draw(key, salt), key) for key in keys)


def _draw(key: str, salt: str) -> float:
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64
