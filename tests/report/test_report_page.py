"""The report page: what there is is on it, what there is not is left out, and all of it is text."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from pawprint.errors import OutputError, PhotoError, RunError
from pawprint.evaluation.evaluate import evaluate_source
from pawprint.pages.words import percent
from pawprint.report.contents import Judged
from pawprint.report.of_run import of_run
from pawprint.report.page import page
from pawprint.report.run_files import read_run
from pawprint.report.worries import worries_of
from pawprint.report.write import write_evaluation, write_report

HOSTILE = '<script>alert(\'x\')</script>" onerror="alert(1)" & 猫'
ALWAYS = ["figures", "confusion", "mistakes", "uncertain", "data", "stages", "time", "again"]
VOID = ("meta", "img", "br")


class Read(HTMLParser):
    """What a browser would make of a page: elements, and the text of each section."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], {}
        self._open, self._section = [], ""
        self.feed(text)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("header", "main", "nav", "section", "footer"):
            self._section = dict(attributes).get("id", tag)
        if tag in ("td", "th", "span"):
            self.handle_data(" ")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.texts[self._section] = self.texts.get(self._section, "") + data

    def text(self, section):
        return " ".join(self.texts[section].split())

    def all(self, tag, key):
        return [held[key] for name, held in self.elements if name == tag and key in held]


def shown(folder, **options):
    path = write_report(folder, **options)
    return Read(path.read_text("utf-8"))


def jpegs(read):
    for address in read.all("img", "src"):
        kind, data = address.split(",")
        if kind == "data:image/jpeg;base64":
            yield Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def changed(folder, name, **values):
    path = folder / name
    held = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(held | values), "utf-8")


def test_a_run_of_training_has_its_page(run):
    read = shown(run.path, out=run.path.parent / "two.html")
    told = percent(run.figures.accuracy).replace("\xa0", " ")
    assert f"How right {told} of {run.figures.count} photos" in read.text("main")
    assert {"figures", "data", "again"} <= set(read.all("section", "id"))


def test_the_first_screen_says_how_right_on_how_many_how_sure_and_what_to_worry_about(make_run):
    text = shown(make_run()).text("main")
    assert "90.00 % of 40 photos are answered rightly, none of which it was trained on." in text
    assert "95 % interval 80.00 to 95.00 %: of 1,000 new photos like these, expect 800" in text
    assert "Warning 40 photos are few to judge by" in text
    assert "Among the photos: 2 nearly the same picture." in text
    assert "Note 1 file could not be used." in text


def test_folds_are_told(make_run):
    folder = make_run(more={"metrics.json": {"folds": 5}})
    read = shown(folder)
    assert "each by one of 5 networks that had not seen it." in read.text("main")
    assert "Validation, 5 folds" in read.text("figures")


def test_what_there_is_not_is_left_out(make_run):
    read = shown(make_run())
    assert read.all("section", "id") == ALWAYS
    links = read.all("a", "href")
    assert [link[1:] for link in links if link != "#top"][-len(ALWAYS) :] == ALWAYS


def test_all_that_there_is_is_told(full_run):
    read = shown(full_run)
    more = ["before", "calibration", "unknown", "suspects"]
    assert sorted(read.all("section", "id")) == sorted([*ALWAYS, *more])
    assert "90.0% right of 40 after, 85.0% before" in read.text("before")
    assert "Chance alone could do that (p = 0.6250)." in read.text("before")
    assert (
        "Balanced accuracy mean over the classes of the share that is found 90.00 %"
        in read.text("figures")
    )
    assert "Dog is the answer from a probability of 37.50 % on" in read.text("figures")
    assert "too sure of itself: its logits are divided by a temperature of 1.250" in read.text(
        "calibration"
    )
    assert "8.00 % 31.25 %" in read.text("calibration")
    assert "off by 31.25 % on average" in read.text("main")
    assert (
        "1.00 % of ordinary photos may be refused so. Of 400 photos, 6 were (1.50 %)."
        in read.text("unknown")
    )
    assert "3 photos relabelled and 1 excluded, as corrections.csv says." in read.text("data")
    assert "1 of 7" in read.text("suspects")
    assert "by 5 folds. Expect about 5 of all 200 labels to be wrong." in read.text("suspects")
    assert "labelled cat, which has 1.00 %; dog has 98.00 %" in read.text("suspects")
    assert "7 labels of 200 may be wrong" in read.text("main")
    assert "Stage 2 overfits" in read.text("main")
    assert "pawprint train 'my photos' --recipe tiny" in read.text("again")


def test_stages_tell_what_became_of_them(make_run):
    text = shown(make_run()).text("stages")
    assert "Stage 1: the head, by logistic regression Strength 1 of 1 tried" in text
    assert "Stage 2: the head and the last 100 layers Undone 2 epochs; validation 90.00 %" in text
    assert "Undone: 90.0% right of 40 after, 85.0% before" in text


def test_plots_say_what_they_show(make_run):
    alts = [alt.replace("\xa0", " ") for alt in shown(make_run()).all("img", "alt") if ":" in alt]
    assert alts == [
        "ROC curve: the area under it is 0.9500",
        "Epoch by epoch: 2 epochs; training accuracy from 80.00 % to 80.00 %, validation "
        "accuracy from 90.00 % to 90.00 %",
        "Strength of the head: of 1 strengths, 1 was chosen, with the log loss 0.3000; the worst "
        "had 0.3000",
    ]


def test_a_run_without_plots_has_them_drawn_for_its_page(make_run, listener):
    folder = make_run()
    before = {alt for alt in shown(folder).all("img", "alt") if ":" in alt}
    shutil.rmtree(folder / "plots")
    found = {alt for alt in shown(folder, progress=listener).all("img", "alt") if ":" in alt}
    assert {alt.split(":")[0] for alt in found - before} == {"Precision against recall"}
    assert before < found
    assert listener.said == []
    assert not (folder / "plots").exists()


def test_plots_that_the_files_do_not_give_are_left_out_and_told(full_run, listener):
    shutil.rmtree(full_run / "plots")  # of whose calibration no bins are told
    read = shown(full_run, progress=listener)
    assert not any(link.startswith("data:image/svg") for link in read.all("img", "src"))
    assert listener.said == ["the page is without plots: no photos to draw: bins (0,)"]


def test_many_classes_have_their_worst_pairs_and_the_plot(make_run):
    classes = [f"kind {number:02}" for number in range(40)]
    read = shown(make_run(classes=classes))
    text = read.text("confusion")
    assert text.count("kind") == 2 * 15
    assert "kind 00 kind 01 2 10.00 %" in text
    assert any(alt.startswith("Confusion matrix: 720 of 800") for alt in read.all("img", "alt"))
    assert "All 40 classes" in read.text("figures")


def test_the_surest_mistakes_and_the_closest_answers_come_first(make_run):
    folder = make_run()
    read = shown(folder)
    answers = read_run(folder).answers
    wrong = [a for a in answers if a.predicted != a.label]
    assert f"mistakes {len(wrong)} Back up" in read.text("mistakes")
    first = max(wrong, key=lambda a: max(a.probabilities))
    tile = f"show? {first.predicted} 99.00 % labelled {first.label} "
    assert tile + "/".join(first.path.split("/")[-2:]) in read.text("mistakes")
    closest = min(answers, key=lambda a: max(a.probabilities))
    at = read.text("uncertain").index("/".join(closest.path.split("/")[-2:]))
    others = [a.path.split("/")[-1] for a in answers if a is not closest]
    assert all(name not in read.text("uncertain")[:at] for name in others)
    assert all(max(picture.size) <= 160 for picture in jpegs(read))


def test_heat_maps_stand_beside_their_photos(make_run, source):
    asked = []

    def explain(data, name, label):
        asked.append((name, label))
        return None if len(asked) == 1 else data

    folder = make_run()
    read = shown(folder, explain=explain)
    answered = {answer.path: answer.predicted for answer in read_run(folder).answers}
    assert all(answered[name] == label for name, label in asked)
    heats = [alt for alt in read.all("img", "alt") if alt.startswith("What the answer rests on")]
    assert len(heats) == len(asked) - 1
    assert "Beside it, what the answer rests on." in read.text("mistakes")
    assert all(max(picture.size) <= 160 for picture in jpegs(read))


def test_a_photo_that_cannot_be_explained_says_why(make_run):
    def explain(data, name, label):
        raise PhotoError(name, "has no heat")

    assert "No thumbnail has no heat" in shown(make_run(), explain=explain).text("mistakes")


@pytest.mark.parametrize("place", ["", "no/such/place"])
def test_a_source_that_is_gone_is_told(make_run, listener, place):
    read = shown(make_run(place=place), progress=listener)
    assert list(jpegs(read)) == []
    assert "its source is gone; name it with --source" in read.text("mistakes")
    assert len(listener.said) == 1


def test_photos_are_found_where_they_are_now(make_run, photos, tmp_path):
    folder = make_run(place="no/such/place")
    (tmp_path / "moved").symlink_to(photos)
    read = shown(folder, source=tmp_path / "moved")
    assert "No thumbnail" not in read.text("mistakes")


def test_a_photo_that_changed_is_not_shown(make_run):
    folder = make_run()
    path = folder / "manifest.csv"
    path.write_text(re.sub(r"[0-9a-f]{64}", "0" * 64, path.read_text("utf-8")), "utf-8")
    read = shown(folder)
    assert list(jpegs(read)) == []
    assert "the file was changed after the training" in read.text("mistakes")


def test_hostile_names_are_only_text(make_run):
    classes = [HOSTILE, "dog"]
    more = {
        "run.json": {
            "source": HOSTILE,
            "recipe": HOSTILE,
            "command": HOSTILE,
            "fingerprint": HOSTILE,
            "notes": [HOSTILE],
            "versions": {HOSTILE: HOSTILE},
            "seconds": {HOSTILE: 1.0},
            "findings": {HOSTILE: 3},
        },
        "metrics.json": {"decision": {"rule": HOSTILE, "threshold": 0.4}},
    }
    folder = make_run(classes=classes, more=more)
    (folder / "left_out.csv").write_text(f'path,reason\n"{HOSTILE.replace(chr(34), "")}",x\n')
    recipe = folder / "recipe.toml"
    recipe.write_text(f"name = '''{HOSTILE.replace(chr(39), '')}'''\n", "utf-8")
    read = shown(folder)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "iframe", "object", "link", "form", "svg"}
    assert not any(key.startswith("on") for _, held in read.elements for key in held)
    for section in ("header", "figures", "confusion", "mistakes", "again"):
        assert HOSTILE in read.text(section)


def test_nothing_is_loaded_from_anywhere(full_run):
    path = write_report(full_run)
    text = path.read_text("utf-8")
    read = Read(text)
    assert all(link.startswith("#") for link in read.all("a", "href"))
    kinds = ("data:image/jpeg;base64,", "data:image/svg+xml;base64,")
    assert all(link.startswith(kinds) for link in read.all("img", "src"))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not any(part in text for part in ("http:", "https:", "url(", "@import"))
    ids = [held["id"] for _, held in read.elements if "id" in held]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in read.all("a", "href")} <= set(ids)


def test_it_is_written_whole_where_it_was_asked_for(make_run, tmp_path):
    folder = make_run()
    before = sorted(path.name for path in folder.iterdir())
    assert write_report(folder) == folder / "report.html"
    assert write_report(folder) == folder / "report.html"
    assert sorted([*before, "report.html"]) == sorted(path.name for path in folder.iterdir())
    assert write_report(folder, out=tmp_path / "猫.html").stat().st_size > 10_000
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        write_report(folder, out=tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(folder, out=tmp_path / "no" / "a.html")
    with pytest.raises(RunError, match="is not a folder"):
        write_report(tmp_path / "none", out=tmp_path / "a.html")


def test_an_evaluation_has_its_page(classifier, source, tmp_path):
    found = evaluate_source(classifier, source)
    path = write_evaluation(
        found,
        source,
        tmp_path / "evaluation.html",
        model="runs/pets",
        command="pawprint evaluate runs/pets other",
    )
    read = Read(path.read_text("utf-8"))
    assert "runs/pets on photos" in read.text("header")
    told = percent(found.figures.accuracy).replace("\xa0", " ")
    assert f"{told} of {found.figures.count} photos are answered rightly. " in read.text("main")
    count = sum(fault.count for fault in found.faults)
    assert f"{count} files could not be used." in read.text("main")
    assert {"figures", "calibration", "uncertain", "data", "again"} <= set(
        read.all("section", "id")
    )
    assert not {"stages", "time", "before"} & set(read.all("section", "id"))
    assert len(list(jpegs(read))) >= 24
    assert "pawprint evaluate runs/pets other" in read.text("again")
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        write_evaluation(found, source, tmp_path, model="runs/pets")


def test_no_photo_is_no_mistake(make_run):
    files = read_run(make_run())
    report = of_run(replace(files, answers=()))
    assert report.galleries == ()
    assert "mistakes" not in Read(page(report)).all("section", "id")


def test_what_is_good_worries_nobody(make_run, full_run):
    found = read_run(make_run()).metrics.validation.figures
    good = replace(found, accuracy_interval=(0.88, 0.92))
    assert list(worries_of(Judged(good))) == []
    chance = replace(good, accuracy_interval=(0.49, 0.55))
    assert [worry.text for worry in worries_of(Judged(chance))] == [
        "Not clearly better than always answering cat, which would be right on 50.00\xa0%."
    ]
    calibration = read_run(full_run).metrics.validation.calibration
    assert len(list(worries_of(Judged(good, calibration)))) == 1
    unsure = replace(calibration, after=replace(calibration.after, ece=0.2))
    assert list(worries_of(Judged(good, unsure))) == []  # as 40 photos may be by chance
    weak = replace(good, classes=(good.classes[0], replace(good.classes[1], recall=0.5)))
    assert [worry.text for worry in worries_of(Judged(weak))] == [
        "Of 20 photos of dog, only 50.00\xa0% are found."
    ]
