"""Which photos train and which are held out. Knows labels and keys, never pixels.

What must stay on one side has one key: a photo's content hash, that of the first of its copies, or
the name of its group. A key's place follows from itself and the seed alone: each is drawn from a
keyed hash, and those whose draw is below the fraction are held out. So photos that are added later
move none of the old ones, and classes keep their proportions as well as chance keeps them; where a
class is so small that chance fails it, and there alone, the nearest draws make up for it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence

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
    counts, by_class = _counted(labels, keys)
    totals = Counter(labels)
    least = {label: total * fraction / 2 for label, total in totals.items()}
    most = {
        label: min(2 * total * fraction, (total + total * fraction) / 2)
        for label, total in totals.items()
    }
    out: set[str] = set()
    held: Counter[str] = Counter()
    for drawn, key in sorted((draw(key, f"{seed}:{purpose}"), key) for key in counts):
        own = counts[key]
        wanted = drawn < fraction or any(held[c] < max(1, least[c]) for c in own)
        # What is too large for one of its classes trains; a smaller one may fit.
        if wanted and all(held[label] + count <= most[label] for label, count in own.items()):
            out.add(key)
            held.update(own)
    for label in sorted(label for label in totals if not held[label]):
        smallest = _smallest(label, by_class, counts, out)
        if smallest is not None:
            out.add(smallest)
            held.update(counts[smallest])
    return [key in out for key in keys]


def _smallest(
    label: str,
    by_class: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]],
    out: Container[str],
) -> str | None:
    """The smallest key of a class that can be held out and leave some of each class to train."""
    for key in sorted(by_class[label], key=lambda key: (sum(counts[key].values()), key)):
        if all(any(k != key and k not in out for k in by_class[own]) for own in counts[key]):
            return key
    return None


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
    counts, by_class = _counted(labels, keys)
    count = min(folds, *map(len, by_class.values()))
    fold_of: dict[str, int] = {}
    photos, of_class = [0] * count, {label: [0] * count for label in by_class}
    # Classes of few keys first, before the others have settled where those go that they share.
    for label in sorted(by_class, key=lambda label: (len(by_class[label]), label)):
        for key in sorted(by_class[label], key=lambda key: draw(key, str(seed))):
            if key in fold_of:
                continue
            # To where fewest of the class are, and of those to where fewest photos are.
            place = of_class[label]
            fold = min(range(count), key=lambda fold: (place[fold], photos[fold], fold))
            fold_of[key] = fold
            for own, number in counts[key].items():
                of_class[own][fold] += number
                photos[fold] += number
    return [fold_of[key] for key in keys]


def _counted(
    labels: Sequence[str], keys: Sequence[str]
) -> tuple[dict[str, Counter[str]], dict[str, list[str]]]:
    """The photos of each key by class; and the keys of each class, of which two are needed."""
    one = {label: Counter([label]) for label in set(labels)}  # shared: most keys are of one photo
    counts: dict[str, Counter[str]] = {}
    for label, key in zip(labels, keys, strict=True):
        counts[key] = counts[key] + one[label] if key in counts else one[label]
    by_class: dict[str, list[str]] = {label: [] for label in sorted(set(labels))}
    for key, own in counts.items():
        for label in own:
            by_class[label].append(key)
    for label, of_class in by_class.items():
        if len(of_class) < 2:
            raise SourceError(
                f"class {label!r} has {len(of_class)} different photo(s) or group(s); at least 2 "
                "that can be read and are no copies of each other are needed, one to train on and "
                "one to validate with: add photos, or remove the class folder (in a recipe, "
                'data.duplicates = "exact" takes only the same bytes for copies, and without '
                "data.group_by each photo is by itself)"
            )
    return counts, by_class


def draw(key: str, salt: str) -> float:
    """A number that follows from a key and the salt alone, evenly between 0 and 1."""
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64
