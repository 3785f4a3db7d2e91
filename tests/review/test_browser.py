"""The page in a real browser: by keyboard and by button, and for whoever cannot see or aim well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pawprint.data import corrections
from pawprint.review.server import Server

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 860}
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a review's page, once its first photo is there."""
    contexts, faults = [], []

    def opening(server: Server, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": DESK, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(server.address)
        settled(page)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert faults == []


def settled(page: Any) -> None:
    """Wait until all that was asked for is on the page."""
    page.wait_for_selector('main[aria-busy="false"]')


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        settled(page)


def kept(server: Server) -> list[tuple[str, str, str]]:
    rows = corrections.read(server.session.file)
    return [(row.path.partition("_")[2], row.verdict, row.label) for row in rows]


def check_accessible(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_all_is_done_by_keyboard_and_kept_at_once(server: Server, opened: Any) -> None:
    page = opened(server)
    assert page.inner_text("#claim") == "Labelled cat; the model says dog, 98\u00a0%"
    assert page.inner_text("#place") == "1 of 4"
    told = page.inner_text("#about")
    assert told.startswith("4 labels of 1,234 may be wrong, the worst first, as judged by a model")
    assert told.endswith("; expect about 3 to be wrong.")
    press(page, "r")
    assert page.inner_text("#place") == "2 of 4"
    first, second = (f"000{number}.jpg" for number in (1, 2))
    assert kept(server) == [(first, "relabel", "dog")]
    press(page, "k", "x")
    assert kept(server) == [(first, "relabel", "dog"), (second, "keep", ""), (first, "exclude", "")]
    assert page.inner_text("#progress") == "1 kept, 1 relabelled, 1 excluded"
    assert "excluded. 4 of 4. Labelled dog; the model says cat" in page.inner_text("#said")
    press(page, "u")  # this one has no verdict, so the last one is taken back
    assert page.inner_text("#place") == "3 of 4"
    assert kept(server) == [(first, "relabel", "dog"), (second, "keep", "")]
    press(page, "ArrowLeft", "ArrowLeft")
    assert page.inner_text("#verdict") == "relabelled dog"
    assert page.get_attribute("#relabel", "aria-pressed") == "true"
    press(page, "u")
    assert page.is_hidden("#verdict")
    assert kept(server) == [(second, "keep", "")]


def test_the_end_says_how_to_train_and_a_reload_goes_on(server: Server, opened: Any) -> None:
    page = opened(server)
    press(page, "k", "ArrowRight", "k", "r")
    assert page.inner_text("#outcome") == "This is the end of the list"
    assert page.inner_text("#sum") == "2 kept, 1 relabelled, 0 excluded, 1 without a verdict."
    assert page.inner_text("#command") == server.session.command
    assert page.evaluate("document.activeElement.id") == "outcome"
    press(page, "k", "r", "x", "ArrowRight")  # there is nothing to say it of
    assert len(kept(server)) == 3
    page.reload()
    settled(page)
    assert page.inner_text("#place") == "2 of 4"
    press(page, "x")
    press(page, "ArrowRight", "ArrowRight")
    assert page.inner_text("#outcome") == "Every suspect has a verdict"
    assert page.is_hidden("#first-open")


def test_buttons_do_the_same(server: Server, opened: Any) -> None:
    page = opened(server)
    for name in ("Relabel dog", "Keep cat", "Exclude"):
        page.get_by_role("button", name=name).click()
        settled(page)
    assert [verdict for _, verdict, _ in kept(server)] == ["relabel", "keep", "exclude"]
    page.get_by_role("button", name="Back").click()
    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert len(kept(server)) == 2
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Go to the first without a verdict").click()
    settled(page)
    assert page.inner_text("#place") == "3 of 4"


def test_keys_of_the_browser_and_keys_switched_off_do_nothing(server: Server, opened: Any) -> None:
    page = opened(server)
    press(page, "Control+k", "Alt+r", "q", "3", "Enter")
    page.uncheck("#letters")
    press(page, "k", "r", "x", "ArrowRight")
    assert page.inner_text("#place") == "1 of 4"
    assert not server.session.file.exists()


def test_the_photo_that_was_judged_is_shown(server: Server, opened: Any) -> None:
    page = opened(server)
    for number in range(4):
        photo = page.locator("#frame img")
        assert photo.get_attribute("src") == f"photo/{number}"
        assert photo.evaluate("image => image.complete && image.naturalWidth > 100")
        assert page.inner_text("#name") in photo.get_attribute("alt") + " (train)"
        press(page, "ArrowRight")


def test_a_photo_that_has_changed_has_a_reason_and_gets_no_verdict(
    write_run: Any, suspect: Any, session_of: Any, serve: Any, some: list[Path], opened: Any
) -> None:
    run = write_run(suspect(some[0], sha256="0" * 64), suspect(some[1]))
    server = serve(session_of(run))
    page = opened(server)
    assert "cannot be shown: the file has changed since the training" in page.inner_text("#frame")
    assert page.get_attribute("#keep", "aria-disabled") == "true"
    check_accessible(page)
    press(page, "k", "r", "x")
    assert not server.session.file.exists()
    press(page, "ArrowRight", "k")
    assert len(kept(server)) == 1


def test_among_a_few_classes_each_has_a_button_and_a_digit(
    write_run: Any, suspect: Any, session_of: Any, serve: Any, some: list[Path], opened: Any
) -> None:
    classes = ("cat", "dog", HOSTILE)
    server = serve(session_of(write_run(*map(suspect, some), classes=classes)))
    page = opened(server)
    press(page, "3", "2", "2")
    page.get_by_role("button", name=HOSTILE).click()
    settled(page)
    assert [row[1:] for row in kept(server)] == [
        ("relabel", HOSTILE),
        ("relabel", "dog"),
        ("keep", ""),  # it is a dog
        ("relabel", HOSTILE),
    ]
    press(page, "ArrowLeft")
    assert page.inner_text("#verdict") == f"relabelled {HOSTILE}"
    assert page.title().startswith("4 of 4 ")
    check_accessible(page)


def test_among_many_classes_one_is_chosen_from_a_list(
    write_run: Any, suspect: Any, session_of: Any, serve: Any, some: list[Path], opened: Any
) -> None:
    classes = ("cat", "dog", *(f"kind {number}" for number in range(10, 40)))
    server = serve(session_of(write_run(*map(suspect, some), classes=classes)))
    page = opened(server)
    page.focus("#other")
    press(page, "k", "3")  # typed into the list, they are no verdict
    assert not server.session.file.exists()
    page.get_by_label("Another class").select_option("kind 23")
    page.get_by_role("button", name="Relabel", exact=True).click()
    settled(page)
    assert [row[1:] for row in kept(server)] == [("relabel", "kind 23")]
    check_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_in_anybody_s_way(
    server: Server, opened: Any, size: dict[str, int], scheme: str
) -> None:
    page = opened(server, viewport=size, color_scheme=scheme, reduced_motion="reduce")

    def check() -> None:
        check_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    check()
    press(page, "r", "k", "ArrowLeft")
    check()
    press(page, *["ArrowRight"] * 3)
    assert page.is_visible("#end")
    check()


def test_a_long_name_does_not_widen_a_phone_s_page(
    write_run: Any, suspect: Any, session_of: Any, serve: Any, some: list[Path], opened: Any
) -> None:
    long = "golden-retriever" * 8
    row = suspect(some[0], path=f"photos/{'x' * 200}.jpg", given=long, suggested="cat")
    server: Server = serve(session_of(write_run(row, classes=("cat", "dog", long))))
    page = opened(server, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_focus_is_seen_and_stays_where_it_is(server: Server, opened: Any) -> None:
    page = opened(server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "keep"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(page, "Enter", "Enter")
    assert page.evaluate("document.activeElement.id") == "keep"
    assert len(kept(server)) == 2


def test_a_verdict_that_cannot_be_saved_is_told(server: Server, opened: Any) -> None:
    page = opened(server)
    server.session.file.write_text("my notes\n")
    press(page, "k")
    assert "Not saved: " in page.inner_text("#fault")
    assert "begins with 'my notes'" in page.inner_text("#fault")
    assert page.inner_text("#place") == "1 of 4"
    server.session.file.unlink()
    press(page, "k")
    assert page.is_hidden("#fault")
    assert page.inner_text("#place") == "2 of 4"


def test_a_review_that_ended_is_told(server: Server, opened: Any) -> None:
    page = opened(server)
    page.route("**/verdict/*", lambda route: route.abort())  # as when nobody listens
    press(page, "k")
    assert "no longer answers: start it again" in page.inner_text("#fault")
    assert page.inner_text("#place") == "1 of 4"


def test_only_this_computer_is_asked(server: Server, opened: Any) -> None:
    page = opened(server)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    settled(page)
    press(page, "k", "ArrowRight")
    assert asked
    assert all(url.startswith((server.address, "data:,")) for url in asked)
