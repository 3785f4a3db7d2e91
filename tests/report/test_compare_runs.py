"""Runs beside each other: only photos that judged both, by what they contain, held to scipy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from pawprint.errors import RunError
from pawprint.evaluation.paired import Comparison
from pawprint.report.compare_runs import Pairs, compare_runs
from pawprint.report.run_files import read_run

CLASSES = ["cat", "dog"]

Row = tuple[str, str, str, float]  # hash, split, label, probability of the second class
Make = Callable[..., Path]


def judged(seed: int, photos: Sequence[int], *, split: str = "validation") -> list[Row]:
    """So many photos as a run answers them, about three in four rightly."""
    random = np.random.default_rng(seed)
    rows = []
    for number in photos:
        right = random.random() < 0.75
        sure = random.uniform(0.55, 0.99)
        is_dog = number % 2 == 1
        rows.append(
            (f"{number:064x}", split, CLASSES[is_dog], sure if right == is_dog else 1 - sure)
        )
    return rows


@pytest.fixture
def answering(make_run: Make) -> Make:
    """Write a run with some answers; its photos have names of its own."""

    def write(name: str, rows: Sequence[Row], classes: Sequence[str] = CLASSES) -> Path:
        folder = make_run(name, classes=list(classes))
        manifest = [["path", "label", "split", "sha256"]]
        answers: list[list[object]] = [["path", "split", "label", "predicted", *classes]]
        for number, (sha256, split, label, second) in enumerate(rows):
            path, predicted = f"{name}/{number}.jpg", classes[second >= 0.5]
            manifest.append([path, label, split, sha256])
            given = [1 - second, second] if len(classes) == 2 else [1.0] + [0.0] * 2
            answers.append([path, split, label, predicted, *given])
        for file, lines in (("manifest.csv", manifest), ("predictions.csv", answers)):
            with (folder / file).open("w", encoding="utf-8", newline="") as opened:
                csv.writer(opened).writerows(lines)
        return folder

    return write


def against(*folders: Path) -> Comparison:
    found = compare_runs(folders)[-1].against_first
    assert found is not None
    return found


# the figures


def test_the_figures_are_those_of_scipy_and_scikit_learn(answering: Make) -> None:
    one, two = judged(0, range(80)), judged(1, range(80))
    found = against(answering("one", one), answering("two", two))
    truth = np.array([label == "dog" for _, _, label, _ in one])
    given = [np.array([row[3] for row in rows]) for rows in (one, two)]
    right = [(values >= 0.5) == truth for values in given]
    assert found.count == 80
    for share, values, loss in (
        (found.right_before, given[0], found.log_loss_before),
        (found.right_after, given[1], found.log_loss_after),
    ):
        assert share / 80 == accuracy_score(truth, values >= 0.5)
        assert loss == pytest.approx(log_loss(truth, values))
    lost, won = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert (found.only_before, found.only_after) == (lost, won)
    assert lost != won
    assert found.p_value == pytest.approx(binomtest(int(lost), int(lost + won)).pvalue)
    low, high = found.interval
    assert low < (won - lost) / 80 < high


def test_answers_count_not_the_likelier_class(answering: Make) -> None:
    """A threshold of its own makes them differ."""
    rows = judged(0, range(40))
    one, two = answering("one", rows), answering("two", rows)
    path = two / "predictions.csv"
    path.write_text(path.read_text("utf-8").replace(",dog,cat,", ",dog,dog,"), "utf-8")
    found = against(one, two)
    assert found.right_after > found.right_before
    assert found.log_loss_after == found.log_loss_before


def test_a_run_against_itself_has_no_difference(answering: Make) -> None:
    run = answering("one", judged(0, range(20)))
    first, second = compare_runs([run, run])
    assert first.against_first is None
    found = second.against_first
    assert found is not None
    assert (found.only_before, found.only_after, found.p_value) == (0, 0, 1.0)
    assert replace(second, against_first=None) == first


def test_a_row_tells_what_the_run_measured(answering: Make, make_run: Make) -> None:
    plain = make_run("plain", more={"run.json": {"recipe": "other", "seconds": {}}})
    two, one, again = compare_runs([answering("two", judged(0, range(9))), plain, str(plain)])
    assert (two.recipe, two.seconds, two.photos, two.accuracy) == ("tiny", 4.5, 40, 0.9)
    assert (two.low, two.high) == pytest.approx((0.8, 0.95))
    assert (one.run, one.recipe, one.seconds) == (str(plain), "other", 0.0)
    assert one == again


# which photos


def test_only_photos_that_judged_both_are_compared(answering: Make) -> None:
    """As with other seeds: 20 of each run's 50 photos are the other's, too."""
    one, two = judged(0, range(50)), judged(1, range(69, 29, -1))
    found = against(answering("one", one), answering("two", two))
    common = {row[0] for row in one} & {row[0] for row in two}
    assert found.count == len(common) == 20
    for rows, right in ((one, found.right_before), (two, found.right_after)):
        there = [row for row in rows if row[0] in common]
        assert right == sum(CLASSES[row[3] >= 0.5] == row[2] for row in there)


def test_a_photo_that_was_relabelled_is_left_out(answering: Make) -> None:
    one, two = judged(0, range(30)), judged(1, range(30))
    for place in (4, 5, 6):
        sha256, split, label, given = two[place]
        two[place] = (sha256, split, "cat" if label == "dog" else "dog", given)
    assert against(answering("one", one), answering("two", two)).count == 27


def test_photos_that_were_held_out_or_in_folds_judge_and_test_photos_do_not(
    answering: Make,
) -> None:
    one = judged(0, range(20)) + judged(0, range(20, 30), split="test")
    two = judged(1, range(5), split="fold 1") + judged(1, range(5, 30), split="fold 2")
    assert against(answering("one", one), answering("two", two)).count == 20
    assert against(answering("three", two), answering("four", one)).count == 20


def test_copies_within_a_run_all_count(answering: Make) -> None:
    one = judged(0, [1, 2, 3])
    assert against(answering("one", one), answering("two", [*one, one[0]])).count == 4


def test_no_photo_in_common_is_none(answering: Make) -> None:
    one, two = answering("one", judged(0, range(9))), answering("two", judged(0, range(9, 18)))
    assert [row.against_first for row in compare_runs([one, two])] == [None, None]
    none = answering("none", [])
    assert [row.against_first for row in compare_runs([one, none, two])] == [None] * 3


def test_each_is_compared_with_the_first(answering: Make) -> None:
    folders = [answering(name, judged(seed, range(30))) for seed, name in enumerate("abc")]
    rows = compare_runs(folders)
    assert [row.run for row in rows] == list(map(str, folders))
    assert rows[1].against_first == against(folders[0], folders[1])
    assert rows[2].against_first == against(folders[0], folders[2])


def test_pairs_say_which_of_the_others_they_are(answering: Make) -> None:
    run = read_run(answering("one", judged(0, [3, 4, 5])))
    hashes = [f"{number:064x}" for number in (9, 5, 8, 3)]
    found = Pairs.of(run, hashes)
    assert found.places == [1, 3]
    by_hash = {run.hashes[answer.path]: answer for answer in run.answers}
    expected = [by_hash[hashes[1]], by_hash[hashes[3]]]
    assert found.probabilities.tolist() == [list(one.probabilities) for one in expected]
    assert [CLASSES[number] for number in found.predicted] == [one.predicted for one in expected]
    assert Pairs.of(run, ["f" * 64]).places == []


# what cannot be compared


def test_fewer_than_two_are_refused(answering: Make) -> None:
    run = answering("one", judged(0, range(9)))
    with pytest.raises(RunError, match=r"^1 run to compare; name two or more$"):
        compare_runs([run])
    with pytest.raises(RunError, match="name two or more"):
        compare_runs([])


def test_other_classes_are_refused_by_name(answering: Make) -> None:
    one = answering("one", judged(0, range(9)))
    other = answering("other", [("a" * 64, "validation", "fox", 0.0)], ["cat", "dog", "fox"])
    with pytest.raises(RunError) as error:
        compare_runs([one, one, other])
    assert f"{other} tells cat, dog, fox apart and {one} cat, dog; only runs" in str(error.value)


@pytest.mark.parametrize("gone", ["predictions.csv", "manifest.csv", "metrics.json", "run.json"])
def test_a_run_that_is_not_whole_is_refused_by_name(answering: Make, gone: str) -> None:
    one, two = answering("one", judged(0, range(9))), answering("two", judged(0, range(9)))
    (two / gone).unlink()
    with pytest.raises(RunError, match=gone.replace(".", r"\.")) as error:
        compare_runs([one, two])
    assert str(two) in str(error.value)


def test_answers_of_photos_that_the_manifest_lacks_are_refused(answering: Make) -> None:
    one, two = answering("one", judged(0, range(9))), answering("two", judged(0, range(9)))
    manifest = two / "manifest.csv"
    manifest.write_text("".join(manifest.read_text("utf-8").splitlines(True)[:-1]), "utf-8")
    with pytest.raises(RunError, match=r"manifest\.csv|predictions\.csv"):
        compare_runs([one, two])


def test_a_number_that_is_none_is_refused(answering: Make) -> None:
    one, two = answering("one", judged(0, range(9))), answering("two", judged(0, range(9)))
    metrics = json.loads((two / "metrics.json").read_text("utf-8"))
    metrics["validation"]["accuracy"] = float("nan")
    (two / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    with pytest.raises(RunError, match="NaN is not a number"):
        compare_runs([one, two])
