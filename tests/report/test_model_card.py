"""The model card: metadata that can be read, numbers that agree, and names that do no harm."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import pawprint
from pawprint import bundle
from pawprint.bundle import Card, Unknown
from pawprint.data.images import Preprocessing
from pawprint.data.wording import shown
from pawprint.errors import BundleError
from pawprint.evaluation import calibration
from pawprint.evaluation.calibration import Calibration
from pawprint.evaluation.metrics import Figures, figures
from pawprint.report.model_card import NAME, model_card
from pawprint.testing import tiny_recipe
from pawprint.training.run import Run

ODD = [
    "plain",
    "a|b",
    "*bold* _it_ `code`",
    "ünï 😀 猫",
    "quote \" and ' \\ back",
    "two\nlines",
    "# head",
    "<b>&amp;</b>",
    "[link](http://x)",
    "a: b, - c",
    "{{ card }} {% raw %}",
    "~~no~~ ---",
    "\u2028\x00\x1b[31m",
]


def of(run: Run) -> str:
    return (run.model / NAME).read_text("utf-8")


def metrics(run: Run) -> Any:
    return json.loads((run.path / "metrics.json").read_text("utf-8"))["validation"]


def front_matter(text: str) -> list[tuple[int, str, str]]:
    """The lines between the two rules, each as its depth, key and value."""
    first, block, _ = text.split("---\n", 2)
    assert first == ""
    found = []
    for line in block.splitlines():
        # A plain word, a word of JSON (which is YAML), a number, or nothing.
        match = re.fullmatch(
            r'([ -]*)(?:(\w+|model-index):)? ?("(?:[^"\\]|\\.)*"|[\w. ()-]*)', line
        )
        assert match, line
        assert "\t" not in line
        found.append((len(match[1]), match[2] or "", match[3]))
    return found


def values(text: str, key: str) -> list[str]:
    return [value for _, name, value in front_matter(text) if name == key]


def measured(text: str) -> dict[str, float]:
    """The metrics of the model index, by type."""
    types, numbers = values(text, "type"), values(text, "value")
    assert types[:2] == ["image-classification", "imagefolder"]
    return dict(zip(types[2:], map(float, numbers), strict=True))


def plain(token: Token) -> str:
    """What a reader sees of a piece of text, none of it marked up."""
    assert {child.type for child in token.children or ()} <= {"text", "text_special", "softbreak"}
    return "".join(child.content for child in token.children or ())


def rendered(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text.split("---\n", 2)[2])


def cells(text: str) -> list[list[str]]:
    """The table of classes as a reader sees it."""
    tokens = rendered(text)
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            rows[-1].append(plain(token))
    return rows


def parts(classes: Sequence[str], seed: int = 0) -> tuple[Figures, Calibration]:
    random = np.random.default_rng(seed)
    truth = np.arange(5 * len(classes)) % len(classes)
    given = random.dirichlet(np.ones(len(classes)), len(truth))
    return figures(truth, given, classes), calibration.calibrate(truth, given)[0]


def card(classes: Sequence[str], source: str = "pets", **more: Any) -> Card:
    recipe = tiny_recipe().model_dump() | more.pop("recipe", {})
    counts = dict.fromkeys(classes, 4)
    return Card(
        classes=tuple(classes),
        preprocessing=Preprocessing(size=64),
        metrics={},
        training={
            "source": source,
            "recipe": recipe,
            "dataset": "f" * 64,
            "photos": {"train": counts, "validation": dict.fromkeys(classes, 1)},
            "backbone_weights": "0" * 64,
        },
        versions={"pawprint": "9.9"},
        created="2026-01-02T03:04:05+00:00",
        **more,
    )


@pytest.fixture(params=["run", "run_of_three"])
def any_run(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    return found


# of a run


def test_the_metadata_is_what_hubs_ask_for(any_run: Run) -> None:
    text = of(any_run)
    assert values(text, "pipeline_tag") == ["image-classification"]
    assert values(text, "license") == ["unknown"]
    keys = [key for depth, key, _ in front_matter(text) if depth == 0]
    assert keys == [
        *("pipeline_tag", "library_name", "license", "tags", "metrics", "model-index"),
    ]
    assert values(text, "split") == ["validation"]
    assert json.loads(values(text, "name")[0]) == any_run.record["source"]


def test_its_numbers_are_those_of_the_run(any_run: Run) -> None:
    text, found = of(any_run), metrics(any_run)
    numbers = measured(text)
    f1 = [row["f1"] for row in found["classes"]]
    assert numbers["accuracy"] == pytest.approx(found["accuracy"], abs=1e-6)
    assert numbers["roc_auc"] == pytest.approx(found["roc_auc"], abs=1e-6)
    if None not in f1:
        assert numbers["f1"] == pytest.approx(np.mean(f1), abs=1e-6)
    flat = " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())
    low, high = (100 * end for end in found["accuracy_interval"])
    assert f"**{found['accuracy']:.2%}".replace("%", " %") in flat
    assert f"(95 % interval {low:.2f} to {high:.2f} %)" in flat
    assert f"{found['count']} photos** that it was not trained on" in flat
    fitted = found["calibration"]
    assert f"calibration error {fitted['after']['ece']:.4f} ({fitted['before']['ece']:.4f}" in flat
    assert f"Brier score {fitted['after']['brier']:.4f}" in flat
    unknown = any_run.record["unknown"]
    assert f"({unknown['refused']} of {unknown['photos']} were" in flat
    total = sum(sum(side.values()) for side in any_run.record["photos"].values())
    assert f"{total} photos of {any_run.record['source']} (fingerprint" in flat
    assert any_run.record["fingerprint"][:16] in flat


def test_its_table_has_a_row_a_class(any_run: Run) -> None:
    header, *rows = cells(of(any_run))
    assert header == ["class", "photos", "precision", "recall", "F1"]
    for row, found in zip(rows, metrics(any_run)["classes"], strict=True):
        assert row[:2] == [found["label"], str(found["count"])]
        for cell, key in ((row[2], "precision"), (row[3], "recall")):
            share = found[key]
            assert cell == ("-" if share is None else _percent(share))


def _percent(share: float) -> str:
    return (
        "100\N{NO-BREAK SPACE}%"
        if share == 1
        else f"{share:.2%}".replace("%", "\N{NO-BREAK SPACE}%")
    )


def test_it_tells_how_to_answer_with_the_network_alone(run: Run, run_of_three: Run) -> None:
    for one, two_classes in ((run, True), (run_of_three, False)):
        text, found = of(one), one.classifier().card
        assert f"p ** (1 / {found.temperature:.4f})" in text
        assert ("the second class from 0.5000 on" in text) == two_classes


# sealed


@pytest.mark.parametrize("place", [0, 400, -2])
def test_a_byte_that_was_changed_is_refused(own_bundle: Path, place: int) -> None:
    path = own_bundle / NAME
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{NAME} was changed after it was written"):
        pawprint.load(own_bundle)


def test_a_bundle_without_its_card_is_refused(own_bundle: Path) -> None:
    (own_bundle / NAME).unlink()
    with pytest.raises(BundleError, match=rf"{NAME} is missing"):
        bundle.read(own_bundle)


# odd names


def test_odd_class_names_are_shown_as_they_are() -> None:
    text = model_card(card(ODD), *parts(ODD))
    _, *rows = cells(text)
    assert [row[0].strip() for row in rows] == [shown(name).strip() for name in ODD]
    assert {len(row) for row in rows} == {5}
    tokens = [token for token in rendered(text) if token.type == "inline"]
    listed = next(t for t in tokens if t.content.startswith("Tells 13 classes"))
    assert ", ".join(map(shown, ODD)) in plain(listed)
    headings = [t.content for t in rendered(text) if t.type == "inline" and t.level == 1]
    assert "How right it is" in headings


@pytest.mark.parametrize("name", ODD)
def test_odd_names_of_source_and_recipe_do_no_harm(name: str) -> None:
    classes = ["cat", "dog"]
    text = model_card(card(classes, name, recipe={"name": name}), *parts(classes))
    assert json.loads(values(text, "name")[0]) == shown(name)
    # Halves of a character outside of the basic plane are two characters to YAML.
    assert not re.search(r"\\u[dD][89a-fA-F]", text.split("---\n", 2)[1])
    tokens = rendered(text)
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1"] + ["h2"] * 4
    heading = tokens[next(n for n, t in enumerate(tokens) if t.type == "heading_open") + 1]
    assert plain(heading) == shown(name).strip()
    inline = [token for token in tokens if token.type == "inline"]
    trained = next(token for token in inline if "Trained by pawprint 9.9" in token.content)
    assert f"with the recipe {shown(name)} on" in plain(trained)
    made_of = next(token for token in inline if "10 photos of" in token.content)
    assert shown(name) in "".join(child.content for child in made_of.children or ())
    text.encode("utf-8")


# what there may not be


def test_without_refusals_it_says_that_all_is_answered() -> None:
    classes = ["cat", "dog"]
    text = model_card(card(classes), *parts(classes))
    assert "also for one of something else" in text
    assert "novelty" not in text
    refusing = card(classes, unknown=Unknown(refuses=0.05, photos=1234, refused=61))
    text = model_card(refusing, *parts(classes))
    assert "(61 of\n1,234 were" in text
    assert "`novelty`" in text


def test_folds_and_mirrors_are_told() -> None:
    classes = ["cat", "dog"]
    assert "folds" not in model_card(card(classes), *parts(classes))
    text = model_card(card(classes, mirror=True), *parts(classes), 5)
    assert "They were judged in 5 folds" in text
    assert "averages with the mirror image and applies" in text


def test_what_could_not_be_measured_is_left_out() -> None:
    """All photos of one class: no ROC AUC; and a class that has none, no recall."""
    truth, given = np.zeros(4, np.int64), np.array([[0.9, 0.1]] * 4)
    found = figures(truth, given, ["cat", "dog"])
    text = model_card(card(["cat", "dog"]), found, calibration.calibrate(truth, given)[0])
    assert "roc_auc" not in measured(text)
    assert measured(text)["accuracy"] == 1
    assert cells(text)[2] == ["dog", "0", "-", "-", "-"]
    assert "nan" not in text.lower()
    assert "None" not in text
