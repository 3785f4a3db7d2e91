"""What all pages share: nothing given is markup, nothing missing is passed over."""

from __future__ import annotations

import jinja2
import pytest

from pawprint.errors import PhotoError
from pawprint.pages.template import template
from pawprint.pages.thumbnails import thumbnails
from pawprint.pages.words import percent, percents, told


def test_what_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="checkup"):
        template("pawprint.doctor", "page.html.j2").render()


def test_a_template_that_is_not_there_is_an_error():
    with pytest.raises(jinja2.TemplateNotFound):
        template("pawprint.doctor", "none.html.j2")


def test_what_is_given_is_escaped():
    macros = template("pawprint.pages", "macros.html.j2").module
    assert "<script>" not in macros.badge("<script>")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.00"), (0.979869, "97.99"), (0.99996, "99.99"), (1.0, "100"), (1.5, "150.00")],
)
def test_only_the_whole_is_called_100_percent(share, text):
    assert percent(share) == f"{text}\xa0%"
    assert percents((0.5, share)) == f"50.00 to {text}\xa0%"


def test_a_sentence_keeps_its_spaces_and_loses_what_cannot_be_printed():
    assert told("7\xa0% of two  a\tb\udc80") == "7\xa0% of two  a\\tb\\udc80"
    assert len(told("x" * 5000)) < 300


def test_photos_that_cannot_be_shown_tell_why(photos):
    good = next(path for path in sorted(photos.rglob("cat_00*.jpg")) if path.stat().st_size)

    def read(path):
        if path == "gone":
            raise PhotoError(path, "is gone")
        return good.read_bytes()

    made = thumbnails([str(good), "gone"], read)
    assert made["gone"].reason == "is gone"
    assert made[str(good)].address.startswith("data:image/jpeg;base64,")
