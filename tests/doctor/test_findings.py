"""Findings: every kind has its words, the worst come first, and a person may name several."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pawprint.data.copies import Copies
from pawprint.data.glance import GLANCE
from pawprint.data.reading import Fault
from pawprint.doctor.examine import examine
from pawprint.doctor.findings import KINDS, Checkup, Finding, Level, counts, kinds_of, told
from pawprint.errors import SourceError

NONE = np.empty(0, GLANCE)


def test_every_kind_says_what_it_is_and_what_to_do() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name == name.lower().replace(" ", "-")
        assert kind.title
        assert not kind.title.endswith(".")
        assert kind.advice.endswith(".")
        assert Finding(name, "").level is kind.level


def test_kinds_are_in_the_order_of_their_levels() -> None:
    levels = [list(Level).index(kind.level) for kind in KINDS.values()]
    assert levels == sorted(levels)
    assert set(levels) == {0, 1, 2}


def of_level(*levels: Level) -> set[str]:
    return {name for name, kind in KINDS.items() if kind.level in levels}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["leak"], {"leak"}),
        ([" Leak ", "BLANK"], {"leak", "blank"}),
        (["unreadable"], {"unreadable", "empty", "not-an-image", "too-large"}),
        (["empty"], {"empty"}),
        (["error"], of_level(Level.ERROR)),
        (["warning"], of_level(Level.ERROR, Level.WARNING)),
        (["note"], set(KINDS)),
        (["error", "dark"], of_level(Level.ERROR) | {"dark"}),
        ([], set()),
    ],
)
def test_kinds_may_be_named_one_by_one_or_by_level(names: list[str], expected: set[str]) -> None:
    assert kinds_of(names) == expected


@pytest.mark.parametrize("name", ["leaks", "", "errors", "all"])
def test_a_kind_that_is_none_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(SourceError, match=f"^'{name}' is no kind of finding; expected") as caught:
        kinds_of(["leak", name])
    for known in (*Level, *KINDS):
        assert known in str(caught.value)


def test_findings_are_counted_by_files_the_worst_first() -> None:
    findings = [
        Finding("not-used", "", ("a",), count=500),
        Finding("dark", "", ("a",)),
        Finding("leak", "", ("a", "b", "c")),
        Finding("dark", "", ("b",)),
        Finding("near-duplicate", "", count=0),
    ]
    assert list(counts(findings).items()) == [("leak", 1), ("dark", 2), ("not-used", 500)]
    assert counts([]) == {}


def test_a_checkup_is_told_as_plain_values() -> None:
    finding = Finding("leak", "the same bytes", ("a", "b"), ("b",))
    photos = {"cat": {"train": 3, "test": 1}, "dog": {"train": 4}}
    found = Checkup("pets", photos, (finding,), 1.23456)
    assert found.count == 8
    assert json.loads(json.dumps(found.to_dict())) == {
        "source": "pets",
        "photos": photos,
        "counts": {"leak": 1},
        "findings": [
            {
                "kind": "leak",
                "level": "error",
                "detail": "the same bytes",
                "paths": ["a", "b"],
                "leave_out": ["b"],
                "count": 1,
                "advice": KINDS["leak"].advice,
            }
        ],
        "seconds": 1.235,
    }
    assert told([]) == []


def test_faults_are_findings_of_their_kind_and_can_go() -> None:
    faults = [
        Fault("c.txt", "no photo", 7),
        Fault("b.jpg", "breaks off", kind="unreadable"),
        Fault("d.jpg", "a leak", kind="no such kind"),
        Fault("a.jpg", "0 bytes", kind="empty"),
        Fault("a2.jpg", "breaks off", kind="unreadable"),
    ]
    assert examine([], NONE, Copies(), faults) == (
        Finding("unreadable", "breaks off", ("b.jpg",), ("b.jpg",)),
        Finding("unreadable", "breaks off", ("a2.jpg",), ("a2.jpg",)),
        Finding("empty", "0 bytes", ("a.jpg",), ("a.jpg",)),
        Finding("not-used", "no photo", ("c.txt",), count=7),
        Finding("not-used", "a leak", ("d.jpg",)),
    )


def test_pairs_that_were_not_compared_are_told() -> None:
    found = examine([], NONE, Copies(unsettled=12_345), [])
    (finding,) = found
    assert finding.kind == "near-duplicate"
    assert finding.detail.startswith("12,345 pairs and more")
    assert counts(found) == {"near-duplicate": 1}


def test_nothing_is_found_in_nothing() -> None:
    assert examine([], NONE, Copies(), []) == ()
