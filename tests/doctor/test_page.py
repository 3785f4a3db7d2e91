"""The page of findings: all of it there, nothing in it to load or to run, whole or not at all."""

from __future__ import annotations

import base64
import io
import os
from collections import Counter, defaultdict
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pawprint.data.sources import open_source
from pawprint.doctor.findings import KINDS, Checkup, Finding, Level
from pawprint.doctor.page import write_page
from pawprint.errors import OutputError, PhotoError

GROUPS = ("leak", "label-conflict", "duplicate", "near-duplicate")
WORDS = ("unreadable", "empty", "not-an-image", "too-large", "not-used")
CLASSES = ("split", "imbalance", "class-name")
HOSTILE = '<script>alert(\'x\')</script> " onerror="alert(1)" & 猫 שלום\n\udc80.jpg'


class Page(HTMLParser):
    """What a browser would make of a page: elements, and the text of each section."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.texts = defaultdict(str)
        self._open, self._section = [], ""
        self.feed(text)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag in ("header", "nav", "section", "footer"):
            self._section = dict(attributes).get("id", tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.texts[self._section] += data

    def text(self, section):
        return " ".join(self.texts[section].split())

    def all(self, tag, key):
        return [attributes[key] for name, attributes in self.elements if name == tag]


def checkup(*findings, photos=None):
    return Checkup("pets", photos or {"cat": {"all": 30}, "dog": {"all": 30}}, findings, 1.25)


def no_photo(path):
    raise AssertionError(f"{path} is not to be read")


def written(folder, checkup, read=no_photo):
    path = folder / "check.html"
    write_page(path, checkup, read)
    assert [entry.name for entry in folder.iterdir()] == ["check.html"]
    return Page(path.read_bytes().decode("utf-8"))


@pytest.fixture
def source(photos):
    with open_source(photos) as source:
        yield source


@pytest.fixture
def good(source):
    """The paths of photos that can be decoded."""
    return [photo.path for photo in source.photos if "extra" not in photo.path]


@pytest.fixture
def read(source):
    by_path = {photo.path: photo for photo in source.photos}
    return lambda path: source.read(by_path[path])


def pictures(page):
    for address in page.all("img", "src"):
        kind, data = address.split(",")
        assert kind == "data:image/jpeg;base64"
        yield Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_every_kind_has_its_section_the_worst_first(tmp_path, good, read):
    def found(kind):
        if kind in CLASSES:
            return Finding(kind, f"detail of {kind}")
        many = 2 if kind in GROUPS else 1
        return Finding(kind, f"detail of {kind}", tuple(good[:many]), tuple(good[1:many]))

    page = written(tmp_path, checkup(*map(found, KINDS)), read)
    assert page.all("section", "id") == list(KINDS)
    links = [link for link in page.all("a", "href") if link != "#contents"]
    assert links == [f"#{kind}" for kind in KINDS]
    rows = page.text("contents").lower()
    for name, kind in KINDS.items():
        section = page.text(name)
        heading = f"{kind.title[0].upper()}{kind.title[1:]} {kind.level.title()} 1 found"
        assert section.startswith(heading)
        assert kind.advice in section
        assert f"detail of {name}" in section
        assert f"{kind.title} {kind.level} 1".lower() in rows
    seen = len(KINDS) - len(WORDS) - len(CLASSES)
    assert len(list(pictures(page))) == seen + len(GROUPS)
    assert all(max(picture.size) == 160 for picture in pictures(page))
    levels = Counter(kind.level for kind in KINDS.values())
    told = [f"{levels[level]} {level}s" for level in Level]
    assert f"There are {told[0]}, {told[1]} and {told[2]}." in page.text("header")


def test_a_photo_in_several_findings_is_read_once(tmp_path, good, read):
    asked = []

    def noted(path):
        asked.append(path)
        return read(path)

    kinds = ("dark", "blurred", "turned")
    found = [Finding(kind, "", (path,)) for kind in kinds for path in good[:10]]
    page = written(tmp_path, checkup(*found, Finding("duplicate", "", tuple(good[:2]))), noted)
    assert sorted(asked) == sorted(good[:10])
    assert len(page.all("img", "src")) == 32


def test_what_cannot_be_seen_is_listed_and_not_read(tmp_path):
    found = [Finding(kind, f"why {kind}", (f"cat/{kind}.jpg",)) for kind in WORDS]
    page = written(tmp_path, checkup(*found))
    for kind in WORDS:
        assert f"cat/{kind}.jpg why {kind}" in page.text(kind)
    assert page.all("img", "src") == []


def test_of_copies_those_to_leave_out_are_marked(tmp_path, good, read):
    group = tuple(good[:3])
    page = written(tmp_path, checkup(Finding("leak", "in train and test", group, group[1:])), read)
    names = [os.path.join(*Path(path).parts[-2:]) for path in group]
    mark = "would be left out"
    assert page.text("leak").endswith(
        f"in train and test {names[0]} {names[1]} {mark} {names[2]} {mark}"
    )
    assert page.all("img", "alt") == names
    assert sum(attributes.get("class") == "out" for _, attributes in page.elements) == 2


def test_photos_are_counted_by_class_and_side(tmp_path):
    photos = {"cat": {"validation": 20, "train": 1080, "test": 0}, "dog": {"train": 7}}
    page = written(tmp_path, checkup(Finding("empty", "0 bytes", ("a.jpg",)), photos=photos))
    assert "1,107 photos in 2 classes can be used." in page.text("header")
    table = page.text("contents").partition("Photos that can be used ")[2]
    assert table.startswith("Class Train Validation Test All cat 1,080 20 0 1,100 dog 7 0 0 7")
    assert table.endswith("All 1,087 20 0 1,107")


def test_many_classes_are_folded_away(tmp_path):
    page = written(tmp_path, checkup(photos={f"kind {n}": {"all": n} for n in range(200)}))
    assert "All 200 classes" in page.text("header")
    assert [tag for tag, _ in page.elements].count("details") == 1


def test_no_findings_are_told_plainly(tmp_path):
    page = written(tmp_path, checkup())
    assert "60 photos in 2 classes can be used. There are no findings." in page.text("header")
    assert page.all("section", "id") == []


def test_no_photos_at_all_are_told_plainly(tmp_path):
    nothing = Checkup("pets", {}, (Finding("empty", "0 bytes", ("a.jpg",)),), 0.0)
    page = written(tmp_path, nothing)
    assert "No photo can be used. There is 1 error, no warnings and no notes." in page.text(
        "header"
    )


def test_a_hundred_of_a_kind_are_shown_and_the_rest_counted(tmp_path, good, read):
    dark = [Finding("dark", f"light {n}", (good[n % 40],)) for n in range(1334)]
    unused = [Finding("not-used", "no photo", (f"{n}.txt",)) for n in range(90)]
    unused.append(Finding("not-used", "files of no kind", ("notes",), count=500))
    page = written(tmp_path, checkup(*dark, *unused), read)
    assert len(page.all("img", "src")) == 100
    assert "light 99 " in page.text("dark")
    assert "light 100 " not in page.text("dark")
    more = "and 1,234 more: pawprint check SOURCE --json lists all"
    assert page.text("dark").endswith(more)
    assert "590 found" in page.text("not-used")
    assert "more" not in page.text("not-used")


def test_what_is_told_of_a_kind_is_shown_besides_its_photos(tmp_path, good, read):
    told = Finding("near-duplicate", "7 pairs were not compared", count=0)
    page = written(tmp_path, checkup(told))
    assert "7 pairs were not compared" in page.text("near-duplicate")
    group = Finding("near-duplicate", "2 of them", tuple(good[:2]))
    page = written(tmp_path, checkup(*[group] * 105, told), read)
    text = page.text("near-duplicate")
    assert "105 found" in text
    assert "7 pairs were not compared" in text
    assert "and 5 more: " in text
    assert len(page.all("img", "src")) == 200


def test_twelve_photos_of_a_group_are_shown(tmp_path, good, read):
    asked = []

    def noted(path):
        asked.append(path)
        return read(path)

    page = written(tmp_path, checkup(Finding("duplicate", "the same", tuple(good[:15]))), noted)
    assert page.all("img", "alt") == [os.path.join(*Path(path).parts[-2:]) for path in good[:12]]
    assert sorted(asked) == sorted(good[:12])
    assert "and 3 more: pawprint check SOURCE --json lists all" in page.text("duplicate")


def test_a_photo_that_cannot_be_shown_has_a_tile_that_says_why(tmp_path, good, read):
    def changed(path):
        if path == "cat/gone.jpg":
            raise PhotoError(path, "cannot be read (no such file or directory)")
        return b"overwritten since" if path == "cat/other.jpg" else read(path)

    found = [Finding("dark", "light 3", (p,)) for p in ("cat/gone.jpg", good[0], "cat/other.jpg")]
    page = written(tmp_path, checkup(*found), changed)
    assert len(page.all("img", "src")) == 1
    text = page.text("dark")
    assert "No thumbnail cannot be read (no such file or directory) cat/gone.jpg light 3" in text
    assert "No thumbnail it is no image that can be read" in text


def test_a_hostile_name_is_only_text(tmp_path, good, read):
    name = f"photos/cat/{HOSTILE}"
    found = [
        Finding("dark", HOSTILE, (name,)),
        Finding("duplicate", HOSTILE, (name, f"photos/dog/{'x' * 5000}.jpg"), (name,)),
        Finding("empty", HOSTILE, (f"photos/dog/{HOSTILE}",)),
        Finding("class-name", HOSTILE),
    ]
    odd = Checkup(HOSTILE, {HOSTILE: {HOSTILE: 1}}, tuple(found), 0.0)
    page = written(tmp_path, odd, lambda path: read(good[0]))
    expected = HOSTILE.replace("\n", "\\n").replace("\udc80", "\\udc80")
    for section in ("header", "dark", "duplicate", "empty", "class-name"):
        assert " ".join(expected.split()) in page.text(section)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "link", "form"}
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert f"cat/{expected}" in page.all("img", "alt")
    assert max(map(len, page.all("img", "alt"))) < 300


def test_a_long_explanation_is_not_cut(tmp_path):
    words = " ".join(f"word{n}" for n in range(100))
    page = written(tmp_path, checkup(Finding("split", f"{words} {'x' * 5000} end")))
    assert f"{words} xxx" in page.text("split")
    assert page.text("split").endswith("xxx end")
    assert len(page.text("split")) < 1500


def test_nothing_is_loaded_from_anywhere(tmp_path, good, read):
    page = written(tmp_path, checkup(Finding("dark", "", (good[0],))), read)
    assert all(link.startswith("#") for link in page.all("a", "href"))
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.all("img", "src"))
    text = (tmp_path / "check.html").read_text("utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not any(part in text for part in ("http:", "https:", "url(", "@import"))
    assert text.startswith('<!doctype html>\n<html lang="en">')


def test_paths_are_told_from_the_folder_above_the_last(tmp_path):
    def names(*paths):
        page = written(tmp_path, checkup(*(Finding("empty", ":", (path,)) for path in paths)))
        base = page.text("header").partition("Files are named from ")[2]
        return base, page.text("empty").partition("delete it. ")[2].removesuffix(" :").split(" : ")

    assert names("/a/b/cat/1.jpg", "/a/b/cat/2.jpg") == ("/a/b/", ["cat/1.jpg", "cat/2.jpg"])
    assert names("p/cat/1.jpg", "p/cab/1.jpg") == ("p/", ["cat/1.jpg", "cab/1.jpg"])
    assert names("p/cat/1.jpg", "q/cat/1.jpg") == ("", ["p/cat/1.jpg", "q/cat/1.jpg"])
    assert names("/a/p/1.jpg", "/a/p/cat/1.jpg") == ("/a/", ["p/1.jpg", "p/cat/1.jpg"])
    assert names("1.jpg") == ("", ["1.jpg"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/check.html", r"cannot be written \(no such file or directory\); name a file"),
        ("a file/check.html", r"cannot be written \(not a directory\); name a file"),
        ("a folder", r"is a folder; name a file in it, such as .*a folder.check\.html"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path, name, reason):
    (tmp_path / "a file").write_bytes(b"kept")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(OutputError, match=f"{name} {reason}"):
        write_page(tmp_path / name, checkup(), no_photo)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a file", "a folder"]
    assert (tmp_path / "a file").read_bytes() == b"kept"


def test_a_page_replaces_the_one_before_only_when_it_is_whole(tmp_path):
    path = tmp_path / "check.html"
    path.write_bytes(b"the one before")
    with pytest.raises(AssertionError, match=r"a\.jpg is not to be read"):
        write_page(path, checkup(Finding("dark", "", ("a.jpg",))), no_photo)
    assert path.read_bytes() == b"the one before"
    assert len(list(tmp_path.iterdir())) == 1
    written(tmp_path, checkup())
