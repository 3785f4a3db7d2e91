"""The page in a real browser: how photos come to it, what it says of them, and to whom."""

from __future__ import annotations

import base64
import csv
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pawprint.data.samples import write_samples

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 860}
HOSTILE = "<img src=x onerror=alert(1)>.jpg"
NBSP = "\N{NO-BREAK SPACE}"
# Answers that are no 200 are told by the browser, too; they are meant here.
EXPECTED = ("Failed to load resource: the server responded", "Failed to load resource: net::ERR_")


def payload(name: str, data: bytes) -> dict[str, Any]:
    """A file as Playwright chooses it."""
    return {"name": name, "mimeType": "", "buffer": data}


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two drawn cats and two drawn dogs, by name."""
    folder = tmp_path_factory.mktemp("drawings")
    write_samples(folder, 4)
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


@pytest.fixture(scope="module")
def stranger() -> bytes:
    """Noise, which is neither cat nor dog."""
    written = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("RGB").save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def mixture(drawings: dict[str, bytes], stranger: bytes) -> list[dict[str, Any]]:
    """A cat, a dog, a stranger and a text."""
    files = {**drawings, "noise.png": stranger, "notes.jpg": b"not a photo"}
    wanted = ("cat_0001.jpg", "dog_0001.jpg", "noise.png", "notes.jpg")
    return [payload(name, files[name]) for name in wanted]


class Opener:
    """Opens pages and notes what goes wrong on them, and whom they ask."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.faults: list[str] = []
        self.asked: list[str] = []
        self._contexts: list[Any] = []

    def __call__(self, server: Any, *, begin: str = "", **options: Any) -> Any:
        """Open the page; `begin` is a script to run before its own."""
        context = self.browser.new_context(**{"viewport": DESK, **options})
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        page.on("console", self._told)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("filechooser", lambda chooser: None)  # a key may come before one is listened for
        page.add_init_script(begin)
        page.goto(server.address)
        settled(page)
        return page

    def _told(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
            self.faults.append(message.text)

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def opened(browser: Any, served: Any) -> Iterator[Opener]:
    """Open the page; at the end nothing may have gone wrong, nor anybody else been asked."""
    opener = Opener(browser)
    yield opener
    opener.close()
    assert opener.faults == []
    own = ("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:")
    assert [url for url in opener.asked if not url.startswith(own)] == []


def settled(page: Any) -> None:
    """Wait until nothing is asked for any more, and the frame with the summary is drawn."""
    page.wait_for_selector('main[aria-busy="false"]')
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def choose(page: Any, *files: dict[str, Any]) -> None:
    page.set_input_files("#files", list(files))
    settled(page)


def names(page: Any) -> list[str]:
    return list(page.locator(".card .path").all_text_contents())


def answers(page: Any) -> list[str]:
    return [text.replace(NBSP, " ") for text in page.locator(".card h2").all_inner_texts()]


def summary(page: Any) -> list[str]:
    return list(page.locator("#summary > *").all_inner_texts())


def rows(server: Any, *files: dict[str, Any]) -> list[dict[str, Any]]:
    """What the server says of photos when it is asked without the page."""
    told = [server.ask("POST", "/predict", file["buffer"]).json for file in files]
    return [answer["predictions"][0] for answer in told]


def check_accessible(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def check_fits(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def dropped(page: Any, *paths: Path) -> None:
    """Drop files or folders from outside the browser."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [os.fspath(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 200, "data": data})


# How photos come


def test_chosen_photos_are_answered_in_words_as_the_server_answers(
    served: Any, opened: Any, mixture: Any
) -> None:
    page = opened(served)
    assert page.inner_text("#question") == "Cat or dog?"
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    chooser.value.set_files(mixture)
    settled(page)
    cat, dog, *_ = rows(served, *mixture)
    assert names(page) == [file["name"] for file in mixture]
    assert answers(page) == [
        f"cat, {100 * cat['probability']:.1f} %",
        f"dog, {100 * dog['probability']:.1f} %",
        "don't know",
        "could not be read",
    ]
    assert summary(page) == ["4 photos", "1 cat", "1 dog", "1 don't know", "1 could not be read"]
    assert page.inner_text("#said") == (
        "4 photos: 1 cat, 1 dog, 1 don't know, 1 could not be read."
    )
    widths = page.locator(".card >> nth=0 >> .bar span").evaluate_all(
        "bars => bars.map((bar) => bar.style.width)"
    )
    given = [100 * cat["probabilities"][label] for label in ("cat", "dog")]
    assert [float(width.removesuffix("%")) for width in widths] == pytest.approx(given, abs=0.01)


def test_one_photo_is_read_out(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)
    choose(page, mixture[1])
    words = answers(page)[0]
    assert page.inner_text("#said").replace(NBSP, " ") == f"dog_0001.jpg: {words}."
    choose(page, mixture[1])  # the same once more
    assert len(names(page)) == 2


def test_photos_and_folders_are_dropped(
    served: Any, opened: Any, drawings: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "pets"
    (folder / "more").mkdir(parents=True)
    (folder / "notes.txt").write_text("not a photo")
    (folder / "photo 10.jpg").write_bytes(drawings["cat_0001.jpg"])
    (folder / "photo 9.jpg").write_bytes(drawings["dog_0001.jpg"])
    (folder / "more" / "one.jpg").write_bytes(drawings["cat_0002.jpg"])
    page = opened(served)
    dropped(page, folder / "photo 9.jpg", folder / "notes.txt")
    page.locator(".card").nth(1).wait_for()
    settled(page)
    assert names(page) == ["photo 9.jpg", "notes.txt"]
    page.click("#clear")
    dropped(page, folder)
    page.locator(".card").nth(2).wait_for()
    settled(page)
    assert names(page) == ["pets/more/one.jpg", "pets/photo 9.jpg", "pets/photo 10.jpg"]
    assert [words.split(",")[0] for words in answers(page)] == ["cat", "dog", "cat"]
    assert page.url == served.address  # the browser did not open the file instead


def test_a_copied_picture_is_pasted(served: Any, opened: Any, drawings: dict[str, bytes]) -> None:
    page = opened(served, permissions=["clipboard-read", "clipboard-write"])
    written = io.BytesIO()
    Image.open(io.BytesIO(drawings["cat_0001.jpg"])).save(written, "PNG")
    page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const picture = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
        }""",
        base64.b64encode(written.getvalue()).decode(),
    )
    page.keyboard.press("Control+v")
    page.locator(".card").wait_for()
    settled(page)
    assert names(page) == ["image.png"]
    assert answers(page)[0].startswith("cat, ")
    page.evaluate("navigator.clipboard.writeText('a cat')")
    page.keyboard.press("Control+v")
    page.wait_for_selector("#hint:not(:empty)")
    assert page.inner_text("#hint") == "There is no photo in what was pasted."
    assert len(names(page)) == 1


@pytest.fixture
def with_camera(browser: Any) -> Iterator[Opener]:
    """Open the page in a browser that has a camera, which sees a test picture."""
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    chromium = os.environ.get("PAWPRINT_CHROMIUM") or shutil.which("chromium")
    started = browser.browser_type.launch(
        executable_path=chromium, args=["--no-sandbox", "--disable-gpu", *flags]
    )
    opener = Opener(started)
    yield opener
    opener.close()
    started.close()
    assert opener.faults == []


def test_photos_are_taken_with_the_camera(served: Any, with_camera: Any) -> None:
    page = with_camera(served)
    page.click("#take")
    page.wait_for_selector("#shutter:enabled")
    assert page.evaluate("document.activeElement.id") == "shutter"
    check_accessible(page)
    page.keyboard.press("Enter")
    page.locator(".card").wait_for(state="attached")
    settled(page)
    assert page.inner_text("#shot").startswith("camera-1.jpg: ")
    page.click("#shutter")
    page.locator(".card").nth(1).wait_for(state="attached")
    settled(page)
    page.keyboard.press("Escape")
    assert page.is_hidden("#camera")
    page.wait_for_selector("#shutter:disabled", state="attached")
    assert page.evaluate("document.getElementById('finder').srcObject") is None
    assert names(page) == ["camera-2.jpg", "camera-1.jpg"]
    assert "could not be read" not in answers(page)


def test_a_camera_that_is_not_there_is_told(served: Any, opened: Any) -> None:
    page = opened(served)
    page.click("#take")
    page.wait_for_selector("#shot:not(:empty)")
    assert page.inner_text("#shot") in (
        "There is no camera.",
        "The browser was told not to allow the camera.",
    )
    assert page.is_disabled("#shutter")
    page.click("#close")
    assert page.is_hidden("#camera")


def test_a_phone_s_own_camera_is_used_where_the_browser_lends_none(
    served: Any, opened: Any, mixture: Any
) -> None:
    without = "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined })"
    assert opened(served, begin=without).is_hidden("#take")
    page = opened(served, begin=without, viewport=PHONE, has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.tap("#take")
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(mixture[0])
    settled(page)
    assert answers(page)[0].startswith("cat, ")


# What is said of them


def test_what_is_unknown_is_not_named_but_may_be_looked_into(
    served: Any, opened: Any, mixture: Any
) -> None:
    page = opened(served)
    choose(page, mixture[2])
    assert page.inner_text(".card h2") == "don't know"
    assert page.inner_text(".why") == "This is too unlike the photos trained on."
    assert page.is_hidden(".card table")
    more = page.get_by_role("button", name="What it would say")
    more.click()
    assert page.locator(".card tr").count() == 2
    check_accessible(page)
    page.get_by_role("button", name="Show less").click()
    assert page.is_hidden(".card table")


def test_a_real_flower_is_neither_cat_nor_dog(served: Any, opened: Any, shared: Path) -> None:
    with zipfile.ZipFile(shared / "data" / "flowers_500.zip") as held:
        flower = held.read("flowers/daisy/100080576_f52e8ee070_n.jpg")
    page = opened(served)
    choose(page, payload("daisy.jpg", flower))
    assert answers(page) == ["don't know"]


def test_why_a_photo_could_not_be_read(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)
    choose(page, mixture[3])
    told = rows(served, mixture[3])[0]["error"]
    assert page.inner_text(".why").lower() == told.lower()
    assert page.inner_text(".frame") == "This browser cannot show it"
    assert page.is_hidden(".again")


def test_names_are_text(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)
    choose(page, payload(HOSTILE, mixture[0]["buffer"]), payload(HOSTILE, b"no photo"))
    assert names(page) == [HOSTILE, HOSTILE]
    assert page.locator(".path img, #said img").count() == 0
    assert page.get_attribute(".frame img", "alt") == f"Photo {HOSTILE}"
    assert page.get_by_role("button", name=f"Remove {HOSTILE}").count() == 2


def test_heatmaps_are_asked_for_once_and_switched_off(
    served: Any, opened: Any, mixture: Any
) -> None:
    page = opened(served)
    choose(page, *mixture)
    opened.asked.clear()
    page.check("#heatmaps")
    settled(page)
    drawn = [url for url in opened.asked if "heatmap=true" in url]
    assert len(drawn) == 3  # the text has no answer to be drawn
    images = page.locator(".frame img")
    assert images.nth(0).get_attribute("src").startswith("data:image/jpeg;base64,")
    assert images.nth(0).get_attribute("alt") == "Heat-map of cat_0001.jpg"
    assert images.nth(0).evaluate("image => image.decode().then(() => image.naturalWidth > 100)")
    before = answers(page)
    page.uncheck("#heatmaps")
    assert images.nth(0).get_attribute("src").startswith("blob:")
    page.check("#heatmaps")
    choose(page, mixture[1])
    assert answers(page) == [before[1], *before]
    posted = [url for url in opened.asked if "predict" in url]
    assert len(posted) == 4  # only the new one was asked about


def many_classes(route: Any) -> None:
    """Answer as a model of 37 classes would."""
    classes = [f"kind {number}" for number in range(37)]
    if route.request.url.endswith("model"):
        told = route.fetch().json()
        route.fulfill(json={**told, "classes": classes, "heatmap": False})
        return
    shares = {label: 2.0 ** -(1 + (number + 5) % 37) for number, label in enumerate(classes)}
    row = {"path": "<body>", "label": "kind 32", "probability": 0.5, "probabilities": shares}
    route.fulfill(json={"predictions": [{**row, "novelty": None, "error": None}]})


def test_of_many_classes_the_most_probable_are_shown(
    served: Any, opened: Any, mixture: Any
) -> None:
    page = opened(served)
    page.route("**/model", many_classes)
    page.route("**/predict", many_classes)
    page.reload()
    settled(page)
    assert page.inner_text("#question") == "Which of 37 is it?"
    assert page.is_hidden("#heatmaps")
    choose(page, mixture[0])
    bars = page.locator(".card th")
    assert bars.all_inner_texts() == ["kind 32", "kind 33", "kind 34"]
    page.get_by_role("button", name="Show all 37").click()
    assert bars.count() == 37
    check_accessible(page)


def test_the_table_to_download(served: Any, opened: Any, mixture: Any) -> None:
    cat, _, stranger, text = mixture
    page = opened(served)
    files = [
        payload('=HYPERLINK("a").jpg', cat["buffer"]),
        payload("Kätzchen, müde.jpg", cat["buffer"]),
        payload("@noise.png", stranger["buffer"]),
        payload("-notes.jpg", text["buffer"]),
    ]
    choose(page, *files)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "predictions.csv"
    written = Path(download.value.path()).read_bytes()
    assert written.startswith("\N{BYTE ORDER MARK}path,".encode())  # it is not all ASCII
    found = list(csv.DictReader(io.StringIO(written.decode("utf-8-sig"), newline="")))
    columns = ["path", "label", "probability", "novelty", "error", "cat", "dog"]
    assert list(found[0]) == columns
    shown = ['\'=HYPERLINK("a").jpg', "Kätzchen, müde.jpg", "'@noise.png", "'-notes.jpg"]
    assert [row["path"] for row in found] == shown
    for row, told in zip(found, rows(served, *files), strict=True):
        given = {**told, **told["probabilities"]}
        for column in ("label", "error"):
            assert row[column] == (given[column] or "")
        for column in ("probability", "novelty", "cat", "dog"):
            number = given.get(column)
            assert row[column] == "" if number is None else float(row[column]) == number


# What may come between


def test_a_busy_server_is_asked_again(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)
    tries: list[str] = []

    def busy(route: Any) -> None:
        tries.append(route.request.url)
        told = {"error": "the queue is full", "code": "overloaded"}
        if len(tries) == 1:
            route.fulfill(status=503, json=told, headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/predict", busy)
    page.set_input_files("#files", mixture[0])
    page.wait_for_selector(".why:not(:empty)")
    assert page.inner_text(".card h2") == "waiting"
    assert "The server is busy" in page.inner_text(".why")
    settled(page)
    assert answers(page)[0].startswith("cat, ")
    assert len(tries) == 2


def test_a_server_that_is_gone_is_told_and_asked_again_when_wished(
    served: Any, opened: Any, mixture: Any
) -> None:
    page = opened(served)
    page.route("**/predict", lambda route: route.abort())
    choose(page, *mixture)
    assert "pawprint does not answer" in page.inner_text("#fault")
    assert summary(page) == ["4 photos", "4 to come"]
    check_accessible(page)
    page.unroute("**/predict")
    page.click("#resume")
    settled(page)
    assert page.is_hidden("#fault")
    assert summary(page)[-1] == "1 could not be read"


def test_a_fault_of_one_photo_can_be_tried_again(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)
    told = {"error": "something went wrong", "code": "internal"}
    page.route("**/predict", lambda route: route.fulfill(status=500, json=told))
    choose(page, mixture[0])
    assert answers(page) == ["no answer"]
    assert page.inner_text(".why") == "Something went wrong"
    page.unroute("**/predict")
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert answers(page)[0].startswith("cat, ")
    assert page.inner_text(".why") == ""


def test_a_page_without_its_server_begins_once_that_is_back(served: Any, opened: Any) -> None:
    page = opened(served)
    page.route("**/model", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#fault:not([hidden])")
    page.unroute("**/model")
    page.click("#resume")
    settled(page)
    assert page.inner_text("#question") == "Cat or dog?"


def test_a_token_is_asked_for_until_it_is_right(serve_with: Any, opened: Any, mixture: Any) -> None:
    with serve_with("--drain", "0", token="opensesame") as server:
        page = opened(server)
        assert page.inner_text("#token-label") == "This server asks for a token"
        check_accessible(page)
        choose(page, *mixture)
        assert summary(page) == ["4 photos", "4 to come"]
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.get_by_text("That token was not accepted").wait_for()
        page.fill("#token", " opensesame ")
        page.keyboard.press("Enter")
        settled(page)
        assert page.is_hidden("#ask-token")
        assert summary(page)[:3] == ["4 photos", "1 cat", "1 dog"]
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        assert page.context.cookies() == []


def test_a_file_that_is_too_large_is_not_sent(serve_with: Any, opened: Any, mixture: Any) -> None:
    with serve_with("--drain", "0", "--max-body", "1") as server:
        page = opened(server)
        choose(page, payload("large.png", bytes(3 * 2**20)), mixture[0])
        assert answers(page)[0] == "no answer"
        assert page.inner_text(".why >> nth=0") == "It has 3 MiB; the server takes up to 1 MiB."
        assert answers(page)[1].startswith("cat, ")
        assert len([url for url in opened.asked if "predict" in url]) == 1


def test_a_file_that_was_taken_away_is_told(
    served: Any, opened: Any, drawings: dict[str, bytes], tmp_path: Path
) -> None:
    page = opened(served)
    page.route("**/predict", lambda route: route.abort())
    path = tmp_path / "cat.jpg"
    path.write_bytes(drawings["cat_0001.jpg"])
    page.set_input_files("#files", path)
    settled(page)
    page.unroute("**/predict")
    path.unlink()
    page.click("#resume")
    settled(page)
    assert answers(page) == ["no answer"]
    assert "can no longer be read" in page.inner_text(".why")
    assert page.is_hidden("#fault")


def test_many_photos_are_sent_in_order_three_at_a_time_and_few_are_pictured(
    served: Any, opened: Any, drawings: dict[str, bytes]
) -> None:
    page = opened(served)
    under_way, most = 0, 0

    def counted(step: int, request: Any) -> None:
        nonlocal under_way, most
        under_way += step if "predict" in request.url else 0
        most = max(most, under_way)

    for event, step in {"request": 1, "requestfinished": -1, "requestfailed": -1}.items():
        page.on(event, partial(counted, step))
    page.evaluate(
        """() => {
          window.order = [];
          new MutationObserver((changes) => {
            for (const { target } of changes) {
              if (!target.matches("h2") || !target.textContent.startsWith("looking")) continue;
              order.push(target.nextElementSibling.textContent);
            }
          }).observe(document.getElementById("photos"), { childList: true, subtree: true });
        }"""
    )
    photos = [payload(f"{n}.jpg", data) for n, data in enumerate([*drawings.values()] * 75)]
    page.set_input_files("#files", photos)
    page.wait_for_selector('main[aria-busy="false"]', timeout=180_000)
    settled(page)
    assert summary(page) == ["300 photos", "150 cat", "150 dog"]
    assert names(page) == page.evaluate("order") == [photo["name"] for photo in photos]
    assert 1 < most <= 3
    assert 0 < page.evaluate("document.images.length") < 60
    page.click("#clear")
    settled(page)
    assert page.is_hidden("#answers")
    assert page.locator(".card").count() == 0


def test_what_is_removed_is_let_go_of(served: Any, opened: Any, mixture: Any) -> None:
    count = """
      window.addresses = new Set();
      const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
      URL.createObjectURL = (file) => {
        const address = make.call(URL, file);
        addresses.add(address);
        return address;
      };
      URL.revokeObjectURL = (address) => {
        addresses.delete(address);
        revoke.call(URL, address);
      };
    """
    page = opened(served, begin=count)
    choose(page, *mixture)
    page.locator(".frame img, .frame.none").nth(3).wait_for()
    assert page.evaluate("addresses.size") == 4
    page.get_by_role("button", name="Remove dog_0001.jpg").click()
    settled(page)
    assert page.evaluate("addresses.size") == 3
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Remove noise.png"
    assert summary(page)[:2] == ["3 photos", "1 cat"]
    page.click("#clear")
    assert page.evaluate("addresses.size") == 0
    assert page.evaluate("document.activeElement.id") == "choose"


# Whoever comes


def test_all_is_done_by_keyboard(served: Any, opened: Any, mixture: Any) -> None:
    page = opened(served)

    def tab_to(identity: str) -> None:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == identity
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    tab_to("choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(mixture)
    settled(page)
    page.focus("#choose")
    tab_to("take")
    tab_to("heatmaps")
    page.keyboard.press("Space")
    settled(page)
    assert page.get_attribute(".frame img", "alt").startswith("Heat-map")
    tab_to("download")
    with page.expect_download():
        page.keyboard.press("Enter")
    tab_to("clear")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first card's button
    settled(page)
    assert len(names(page)) == 3
    page.focus("#clear")
    page.keyboard.press("Enter")
    settled(page)
    assert page.is_hidden("#answers")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_in_anybody_s_way(
    served: Any, opened: Any, mixture: Any, size: dict[str, int], scheme: str
) -> None:
    page = opened(served, viewport=size, color_scheme=scheme, reduced_motion="reduce")

    def check() -> None:
        check_accessible(page)
        check_fits(page)

    check()
    choose(page, mixture[0])
    check()
    choose(page, *mixture, payload("x" * 200 + ".jpg", b""))
    page.get_by_role("button", name="What it would say").click()
    page.check("#heatmaps")
    settled(page)
    check()


def test_where_photos_go_is_said(served: Any, opened: Any) -> None:
    page = opened(served)
    told = page.inner_text("footer")
    assert "the model starter, which knows cat and dog" in told
    assert "Photos go to this computer only, and are not kept." in told
