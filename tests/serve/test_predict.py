"""POST /predict gives the answers of `pawprint predict --json`, and says what it refuses."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pawprint
from pawprint.data.images import FORMATS


@pytest.fixture(scope="module")
def starter() -> pawprint.Classifier:
    return pawprint.load()


def test_a_photo_is_answered_as_on_the_command_line(
    served: Any, photo: bytes, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)
    said = json.loads(cli("predict", path, "--json").out)
    (row,) = served.ask("POST", "/predict", photo, {"Content-Type": "image/jpeg"}).json[
        "predictions"
    ]
    assert list(row) == list(said)
    assert row == {**said, "path": "<body>"}


@pytest.mark.parametrize("format", sorted(set(FORMATS)))
def test_every_format_is_read(served: Any, photo: bytes, format: str) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(buffer, format)
    answer = served.ask("POST", "/predict", buffer.getvalue())
    assert answer.status == 200
    assert answer.json["predictions"][0]["error"] is None


def test_many_photos_are_answered_in_their_order(
    served: Any, photo: bytes, starter: pawprint.Classifier
) -> None:
    noise = io.BytesIO()
    Image.effect_noise((90, 70), 90).save(noise, "PNG")
    files = [("a.jpg", photo), ("notes.txt", b"no photo"), ("c d.png", noise.getvalue())]
    answer = served.send(files)
    rows = answer.json["predictions"]
    assert answer.status == 200
    assert [row["path"] for row in rows] == ["a.jpg", "notes.txt", "c d.png"]
    assert rows[1]["label"] is None
    assert "no image" in rows[1]["error"]
    for row, (_, data) in zip(rows[::2], files[::2], strict=True):
        expected = starter.predict(data)
        assert (row["label"], row["probabilities"]) == (expected.label, expected.probabilities)


def test_where_no_photo_can_be_read_the_status_says_so(served: Any) -> None:
    for files, said in (
        ([("a.jpg", b"x")], "the photo cannot be read"),
        ([("a.jpg", b"x"), ("b.jpg", b"")], "none of the 2 photos can be read"),
    ):
        answer = served.send(files)
        assert answer.status == 422
        assert answer.json["code"] == "unreadable"
        assert said in answer.json["error"]
        assert [row["path"] for row in answer.json["predictions"]] == [name for name, _ in files]
        assert all(row["error"] for row in answer.json["predictions"])


def test_a_heat_map_is_drawn_where_asked_for(served: Any, photo: bytes) -> None:
    wide = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((1200, 600)).save(wide, "JPEG")
    answer = served.send([("a.jpg", wide.getvalue()), ("b", b"x")], "?heatmap=true")
    drawn, unreadable = answer.json["predictions"]
    kind, _, data = drawn["heatmap"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (480, 240)
    assert unreadable["heatmap"] is None
    assert "heatmap" not in served.send([("a.jpg", photo)]).json["predictions"][0]


def test_a_stranger_is_unknown(served: Any) -> None:
    squares = np.kron(np.indices((12, 12)).sum(0) % 2, np.ones((20, 20)))
    buffer = io.BytesIO()
    Image.fromarray((squares * 255).astype(np.uint8)).save(buffer, "PNG")
    row = served.ask("POST", "/predict?heatmap=true", buffer.getvalue()).json["predictions"][0]
    assert (row["label"], row["probability"]) == ("unknown", None)
    assert set(row["probabilities"]) == {"cat", "dog"}
    assert row["novelty"] > 1
    assert row["heatmap"].startswith("data:image/jpeg")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_packed_body_is_unpacked(served: Any, photo: bytes, encoding: str) -> None:
    plain = served.ask("POST", "/predict", photo)
    packed = served.ask("POST", "/predict", gzip.compress(photo), {"Content-Encoding": encoding})
    assert packed.status == 200
    assert packed.json == plain.json


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("POST", "/predict", b"", {}, 400, "no_photo"),
        ("POST", "/predict", b"{}", {"Content-Type": "application/json"}, 415, None),
        ("POST", "/predict?heatmap=perhaps", b"x", {}, 400, "bad_request"),
        ("POST", "/predict/", b"x", {}, 404, "not_found"),
        ("GET", "/predict", None, {}, 405, "method_not_allowed"),
        ("DELETE", "/", None, {}, 405, "method_not_allowed"),
        ("GET", "/docs", None, {}, 404, "not_found"),
        ("GET", "/page.py", None, {}, 404, "not_found"),
        ("GET", "/app.py", None, {}, 404, "not_found"),
        ("GET", "/v2/models/other", None, {}, 404, "not_found"),
    ],
)
def test_what_is_refused_has_a_code(
    served: Any,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    code: str | None,
) -> None:
    answer = served.ask(method, path, body, headers)
    assert answer.status == status
    assert answer.json["code"] == (code or "unsupported_media_type")
    assert answer.json["error"]
    assert (answer.headers.get("allow") is not None) == (status == 405)


def test_every_answer_has_the_headers_that_browsers_heed(served: Any, photo: bytes) -> None:
    for method, path, body in (
        ("GET", "/", None),
        ("GET", "/page.js", None),
        ("GET", "/model", None),
        ("GET", "/nothing", None),
        ("POST", "/predict", photo),
        ("POST", "/predict", b"x"),
    ):
        headers = served.ask(method, path, body).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def test_head_is_get_without_the_body(served: Any) -> None:
    for path in ("/", "/v2/health/ready", "/model"):
        answer = served.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0


def test_the_model_says_what_it_is(served: Any, starter: pawprint.Classifier) -> None:
    about = served.ask("GET", "/model").json
    assert about["name"] == "starter"
    assert tuple(about["classes"]) == starter.classes
    assert about["size"] == starter.card.preprocessing.size
    assert (about["unknown"], about["heatmap"], about["token"]) == (True, True, False)
    assert about["limits"]["body_bytes"] == 32 * 2**20


def test_figures_count_what_was_asked(served: Any, photo: bytes) -> None:
    lines = {
        "requests": 'pawprint_requests_total{route="predict",status="200"}',
        "answered": 'pawprint_photos_total{outcome="answered"}',
        "unknown": 'pawprint_photos_total{outcome="unknown"}',
        "unreadable": 'pawprint_photos_total{outcome="unreadable"}',
        "batches": "pawprint_batch_size_count",
        "photos": "pawprint_batch_size_sum",
        "seconds": 'pawprint_request_seconds_count{route="predict"}',
        "refused": 'pawprint_refusals_total{code="no_photo"}',
    }
    before = {what: served.metric(line) for what, line in lines.items()}
    answer = served.send([("a.jpg", photo), ("b.jpg", photo), ("c.jpg", b"x")])
    assert served.ask("POST", "/predict", b"").status == 400
    after = {what: served.metric(line) - before[what] for what, line in lines.items()}
    unknown = sum(row["label"] == "unknown" for row in answer.json["predictions"])
    assert after == {
        "requests": 1,
        "answered": 2 - unknown,
        "unknown": unknown,
        "unreadable": 1,
        "batches": 1,
        "photos": 3,
        "seconds": 2,
        "refused": 1,
    }
    text = served.ask("GET", "/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert b"process_resident_memory_bytes" in text.body
