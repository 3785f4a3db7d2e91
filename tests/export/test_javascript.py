"""An export in a browser: the README's page as it is written, and what it makes of photos."""

from __future__ import annotations

import base64
import dataclasses
import functools
import http.server
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image

import pawprint
from pawprint.data.images import Preprocessing
from pawprint.export import readme
from pawprint.export.export import Exported, export_model
from pawprint.export.stated import stated

POLICIES = ("squash", "crop", "pad")
SIZES = ((1, 1), (64, 64), (65, 64), (20, 30), (400, 37), (128, 5), (997, 701), (431, 520))
# Before its version 13, Pillow resized these horizontally first too, so it rounded otherwise.
TALL = ((65, 70), (37, 401), (190, 500))
OLD = int(PIL.__version__.partition(".")[0]) < 13


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def run_quietly(command: list[str], folder: Path, seconds: int) -> None:
    """Run npm or node, or skip where it is not there or has no registry to ask."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    try:
        ran = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{' '.join(command)} took more than {seconds} s")
    if ran.returncode and command[0] == "npm":
        pytest.skip(f"{' '.join(command)} failed: {ran.stderr.strip()[-200:]}")
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What npm fetches, as the README says; once, and gone afterwards, as it is large."""
    folder = tmp_path_factory.mktemp("npm")
    wanted = [name for name, _ in readme.IN_A_BROWSER.values()]
    quick = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    run_quietly(["npm", "install", *quick, "--prefix", str(folder), *wanted], folder, 180)
    yield folder / "node_modules"
    shutil.rmtree(folder / "node_modules")


@pytest.fixture
def served(browser: Any, tmp_path: Path) -> Iterator[tuple[Path, Callable[[], Any]]]:
    """A folder, and what opens its page in a browser; nothing else is asked for."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    context = browser.new_context()
    faults: list[str] = []

    def opened() -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(address) or faults.append(asked.url))
        page.goto(f"{address}index.html")
        return page

    try:
        yield tmp_path, opened
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert faults == []


@pytest.fixture(scope="module")
def exported_of_three(
    kept_of_three: Path, tinted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    out = tmp_path_factory.mktemp("exports") / "three"
    return export_model(kept_of_three, "onnx", out=out, verify_on=str(tinted))


@pytest.mark.parametrize(
    ("format", "name"),
    [("onnx", "bundle-1"), ("onnx", "bundle-1-three"), ("litert", "bundle-1")],
)
def test_the_readme_s_page_answers_as_the_model_does(
    format: str,
    name: str,
    export: Callable[..., Exported],
    packages: Path,
    served: tuple[Path, Callable[[], Any]],
    request: pytest.FixtureRequest,
) -> None:
    two = name == "bundle-1"
    exported = export(format) if two else request.getfixturevalue("exported_of_three")
    folder, opened = served
    shutil.copytree(exported.folder, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(packages)
    text = (folder / "README.md").read_text("utf-8")
    (html,) = re.findall("```html\n(.*?)```", text, re.DOTALL)
    assert f"`npm install {readme.IN_A_BROWSER[format][0]}`" in text
    (folder / "index.html").write_text(html, "utf-8")
    photos = Path(__file__).parents[1] / "fixtures" / name
    classifier = pawprint.load(photos / "model")
    labels = set()
    for number, photo in enumerate(("small.png", "flat.png", "turned.jpg")):
        shutil.copy(photos / photo, folder / "photo.jpg")
        # HTTP tells times by the second: within one, the browser keeps the photo before.
        os.utime(folder / "photo.jpg", (time.time() + 10 * number,) * 2)
        page = opened()
        page.wait_for_function("document.body.innerText.trim()", timeout=60_000)
        label, probability = page.inner_text("body").split()
        page.close()
        meant = classifier.predict(photos / photo)
        assert label == meant.label, photo
        by_class = list(meant.probabilities.values())
        best = by_class.index(max(by_class))
        if two:
            best = int(by_class[1] >= classifier.card.threshold)
        # Pillow shrinks the JPEG as it decodes it; in a browser it is averaged afterwards.
        tolerance = 0.02 if photo.endswith("jpg") else 1e-5
        assert float(probability) == pytest.approx(by_class[best], abs=tolerance), photo
        labels.add(label)
    assert len(labels) > 1


def noise(width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, channels), np.uint8)


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def test_a_photo_is_resized_as_pillow_does(tmp_path: Path) -> None:
    (tmp_path / "pixels.mjs").write_text(readme.pixels(), "utf-8")
    cases = list(itertools.product(SIZES + TALL, (32, 64), POLICIES))
    for number, ((width, height), _, _) in enumerate(cases):
        (tmp_path / f"{number}.in").write_bytes(noise(width, height, 4).tobytes())
    (tmp_path / "all.mjs").write_text(
        """
        import { readFileSync, writeFileSync } from "node:fs";
        import { fit } from "./pixels.mjs";
        JSON.parse(process.argv[2]).forEach(([[width, height], size, policy], number) => {
          const data = new Uint32Array(new Uint8Array(readFileSync(`${number}.in`)).buffer);
          const rows = (top, count, columns) => {
            const line = columns ? height : width;
            const given = new Uint32Array(count * line).map((_, at) => {
              const [row, place] = [top + Math.floor(at / line), at % line];
              return data[columns ? place * width + row : row * width + place];
            });
            return new Uint8Array(given.buffer);
          };
          writeFileSync(`${number}.out`, fit(rows, width, height, size, policy));
        });
        """,
        "utf-8",
    )
    run_quietly(["node", "all.mjs", json.dumps(cases)], tmp_path, 60)
    for number, ((width, height), side, policy) in enumerate(cases):
        photo = Image.fromarray(np.ascontiguousarray(noise(width, height, 4)[..., :3]))
        meant = Preprocessing(size=side, policy=policy).fit(photo).astype(int)
        found = np.fromfile(tmp_path / f"{number}.out", np.uint8).reshape(meant.shape)
        assert np.abs(found - meant).max() <= (OLD and (width, height) in TALL), cases[number]


def test_a_browser_decodes_as_pillow_does(served: tuple[Path, Callable[[], Any]]) -> None:
    folder, opened = served
    (folder / "pixels.js").write_text(readme.pixels(), "utf-8")
    (folder / "index.html").write_text("<!doctype html>", "utf-8")
    turned = Image.Exif()
    turned[0x0112] = 6
    plain, clear = Image.fromarray(noise(90, 70)), Image.fromarray(noise(90, 70, 4))
    large = Image.fromarray(noise(206, 206)).resize((1030, 1030), Image.Resampling.NEAREST)
    # Of each the largest and the mean difference that may be.
    photos = [
        (encoded(plain, "PNG"), 0, 0.0),
        (encoded(plain.convert("L"), "PNG"), 0, 0.0),
        (encoded(plain.quantize(32), "PNG"), 0, 0.0),
        (encoded(clear, "PNG"), 1, 0.1),
        (encoded(plain.resize((333, 300)), "PNG"), 0, 0.0),  # more than one strip
        (encoded(plain.resize((200, 500)), "PNG"), int(OLD), 0.5 * OLD),  # of columns
        (encoded(plain, "JPEG", exif=turned), 4, 0.5),
        (encoded(large, "JPEG", quality=90), 16, 1.0),  # Pillow decodes it at an eighth
    ]
    page = opened()
    for number, (data, most, mean) in enumerate(photos):
        meant = Preprocessing(size=64).from_bytes(data, "photo").astype(int)
        found = page.evaluate(
            """async (photo) => {
              const { pixels } = await import("/pixels.js");
              const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
              return Array.from(await pixels(new Blob([bytes]), 64, "squash"));
            }""",
            base64.b64encode(data).decode(),
        )
        differences = np.abs(np.array(found).reshape(meant.shape) - meant)
        assert differences.max() <= most, number
        assert differences.mean() <= mean, number


def test_there_is_no_page_in_a_server_s_layout(kept: Path, export: Callable[..., Exported]) -> None:
    exported = export("onnx")
    about = stated(pawprint.load(kept).card, "onnx", "float32")
    assert set(readme.files(about, exported, knows=False)) == {"README.md", "pixels.js"}
    within = dataclasses.replace(exported, file=exported.folder / "1" / "model.onnx")
    found = readme.files(about, within, knows=False)
    assert set(found) == {"README.md"}
    assert "JavaScript" not in found["README.md"]
