"""The report page in a browser: for everyone, on a phone, in the dark, on paper and offline."""

from __future__ import annotations

import pytest

pytest.importorskip("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from pawprint.report.write import write_report

LONG = "a class with a name that has no end and no " + "break" * 20


@pytest.fixture(params=["full", "many"])
def address(request, full_run, make_run):
    """The page of a run with everything, or of one with many classes."""
    folder = full_run
    if request.param == "many":
        folder = make_run("many", classes=[LONG, *(f"kind {n}" for n in range(11))])
    return write_report(folder, explain=lambda data, name, label: data).as_uri()


@pytest.fixture
def opened(browser):
    """Open a page in a context of its own; the requests that it makes are noted."""
    contexts = []

    def open_page(address, width=1280, scheme="light"):
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
            )
        )
        page = contexts[-1].new_page()
        page.asked = []
        page.on("request", lambda asked: page.asked.append(asked.url))
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "light"), (1280, "dark")])
def test_axe_finds_nothing(opened, address, width, scheme):
    found = Axe().run(opened(address, width, scheme))
    assert found.violations_count == 0, found.generate_report()


def test_nothing_is_wider_than_the_screen(opened, address):
    page = opened(address)
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_no_request_leaves_the_page(opened, address):
    page = opened(address)
    assert [url for url in page.asked if not url.startswith("data:")] == [address]
    assert page.complaints == []
    broken = "[...document.images].filter(image => !image.naturalWidth).length"
    assert page.evaluate("document.images.length") > 40
    assert page.evaluate(broken) == 0


def test_the_first_screen_has_the_answer_and_the_worries(opened, address):
    page = opened(address)
    for text in ("How right", "What to worry about"):
        box = page.get_by_role("heading", name=text).bounding_box()
        assert box["y"] < 400


def test_the_contents_lead_to_the_sections(opened, address):
    page = opened(address)
    page.get_by_role("navigation").get_by_role("link", name="Doing it again").click()
    expect(page.get_by_role("heading", name="Doing it again")).to_be_in_viewport()
    page.get_by_text("The recipe, every default written out").click()
    expect(page.get_by_text('name = "tiny"')).to_be_visible()


def test_it_prints(opened, address):
    printed = opened(address).pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
