"""Hostile uploads: each is answered or refused with a code, and the service goes on as before."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

JPEG = b"Content-Type: image/jpeg"
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


def named(filename: bytes) -> bytes:
    """A part's disposition with a file's name."""
    return b'Content-Disposition: form-data; name="photo"; filename="' + filename + b'"'


def part(data: bytes, *headers: bytes, edge: bytes = b"edge") -> bytes:
    return b"\r\n".join([b"--" + edge, *headers, b"", data, b""])


def form(*parts: bytes, edge: bytes = b"edge") -> bytes:
    return b"".join(parts) + b"--" + edge + b"--\r\n"


def field(value: bytes = b"") -> bytes:
    return part(value, b'Content-Disposition: form-data; name="field"')


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.py", "raise SystemExit")
    return buffer.getvalue()


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says how large it is, with some of its data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(data, 9)
    chunks = chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def check_answered(answer: Any) -> list[dict[str, Any]]:
    """Every row has a label, or says why it has none."""
    assert answer.status in (200, 422), answer.body
    rows: list[dict[str, Any]] = answer.json["predictions"]
    for row in rows:
        assert (row["label"] is None) == (row["error"] is not None)
        assert row["probabilities"] or row["error"]
    readable = any(row["error"] is None for row in rows)
    assert answer.status == (200 if readable else 422)
    return rows


def check_refused(answer: Any, *codes: str) -> None:
    """It is told a reason, in the form in which every reason is told."""
    assert 400 <= answer.status < 500, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["code"] in codes
    assert answer.json["error"]


@pytest.fixture(scope="module")
def expected(served: Any, photo: bytes) -> dict[str, Any]:
    """The photo's row."""
    (row,) = served.ask("POST", "/predict", photo).json["predictions"]
    assert row["label"] is not None
    return dict(row)


@pytest.fixture(autouse=True)
def goes_on(served: Any, photo: bytes, expected: dict[str, Any]) -> Iterator[None]:
    """After every test the service answers as it did before."""
    yield
    assert served.process.poll() is None
    answer = served.ask("POST", "/predict", photo)
    assert (answer.status, answer.json) == (200, {"predictions": [expected]})


NAMES = {
    "double extension": (b"photo.jpg.exe", "photo.jpg.exe"),
    "upwards": (b"../../../etc/passwd", "../../../etc/passwd"),
    "upwards, encoded": (b"..%2f..%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd"),
    "absolute": (b"/etc/passwd", "/etc/passwd"),
    "of Windows": (rb"C:\\photos\\a.jpg", "a.jpg"),
    "a device": (b"/dev/stdin", "/dev/stdin"),
    "an address": (b"http://localhost/a.jpg", "http://localhost/a.jpg"),
    "NUL": (b"a\0.jpg", "a\0.jpg"),
    "quotes": (b"a%22; filename=%22b.jpg", 'a"; filename="b.jpg'),
    "new lines": (b"a%0D%0ASet-Cookie: b=c", "a\r\nSet-Cookie: b=c"),
    "terminal codes": (b"\x1b[2Ja.jpg", "\x1b[2Ja.jpg"),
    "formulas": (b"=cmd|'/c calc'!A1", "=cmd|'/c calc'!A1"),
    "right to left": ("a\u202egpj.exe".encode(), "a\u202egpj.exe"),
    "beyond 16 bits": ("\U0001f43e.jpg".encode(), "\U0001f43e.jpg"),
    "as the body's": (b"<body>", "<body>"),
    "none, with an image's type": (b"", "<unnamed>"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_is_only_repeated(
    served: Any, photo: bytes, expected: dict[str, Any], case: str
) -> None:
    sent, shown = NAMES[case]
    answer = served.ask("POST", "/predict", form(part(photo, named(sent), JPEG)), FORM)
    assert check_answered(answer) == [{**expected, "path": shown}]
    assert "set-cookie" not in answer.headers


def test_a_script_in_a_name_comes_back_as_no_html(served: Any, photo: bytes) -> None:
    name = b"<img src=x onerror=alert(1)>&amp;</script>.jpg"
    answer = served.ask("POST", "/predict", form(part(photo, named(name), JPEG)), FORM)
    assert answer.json["predictions"][0]["path"] == name.decode()
    assert not set(answer.body) & set(b"<>&")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_long_name_is_cut(served: Any, photo: bytes, expected: dict[str, Any]) -> None:
    answer = served.ask("POST", "/predict", form(part(photo, named(b"n" * 3000), JPEG)), FORM)
    (row,) = check_answered(answer)
    assert {**row, "path": ""} == {**expected, "path": ""}
    assert "n" * 100 in row["path"]
    assert len(row["path"]) <= 256


ODD_NAMES = {
    "5,000 characters": named(b"n" * 5000),
    "not UTF-8": named(b"\xff\xfe.jpg"),
    "UTF-16": named("photo.jpg".encode("utf-16")),
    "extended": b"Content-Disposition: form-data; name=a; filename*=UTF-8''%E2%82%AC.jpg",
    "extended, malformed": b"Content-Disposition: form-data; name=a; filename*=x'%ZZ",
    "twice": named(b"a.jpg") + b'; filename="b.jpg"',
    "unclosed": b'Content-Disposition: form-data; name="a"; filename="b.jpg',
    "no quotes": b"Content-Disposition: form-data; name=a; filename=b c.jpg",
    "a raw new line": named(b"a\r\nb: c.jpg"),
    "a raw line feed": named(b"a\nb.jpg"),
}


@pytest.mark.parametrize("case", ODD_NAMES)
def test_a_name_that_cannot_be_read_is_refused_or_passed_over(
    served: Any, photo: bytes, expected: dict[str, Any], case: str
) -> None:
    answer = served.ask("POST", "/predict", form(part(photo, ODD_NAMES[case], JPEG)), FORM)
    if answer.status == 200:
        (row,) = check_answered(answer)
        assert {**row, "path": ""} == {**expected, "path": ""}
    else:
        check_refused(answer, "bad_multipart", "no_photo")


NO_PHOTOS = {
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "SVG with an entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "zip": zipped(),
    "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "program": b"\x7fELF\x02\x01\x01" + bytes(57),
    "shell": b"#!/bin/sh\ncat /etc/passwd\n",
    "pickle": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
    "ImageMagick's language": b"push graphic-context\nfill 'url(http://127.0.0.1/)'\n",
    "playlist": b"#EXTM3U\nfile:///etc/passwd\n",
    "zeros": bytes(100_000),
    "the start of a JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "the start of a PNG": b"\x89PNG\r\n\x1a\n",
    "a PNG without a pixel": png_of(0, 0),
}


@pytest.mark.parametrize("case", NO_PHOTOS)
def test_what_is_no_photo_is_unreadable_whatever_its_name_and_type(served: Any, case: str) -> None:
    body = form(part(NO_PHOTOS[case], named(b"photo.jpg"), JPEG))
    in_form = served.ask("POST", "/predict?heatmap=true", body, FORM)
    (row,) = check_answered(in_form)
    assert (in_form.json["code"], row["path"], row["heatmap"]) == ("unreadable", "photo.jpg", None)
    raw = served.ask("POST", "/predict", NO_PHOTOS[case], {"Content-Type": "image/jpeg"})
    assert check_answered(raw)[0]["error"] == row["error"]
    assert b"root:" not in in_form.body + raw.body


@pytest.mark.parametrize("size", [(8000, 8000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_of_pixels_is_not_unpacked(served: Any, size: tuple[int, int]) -> None:
    before = served.metric("process_resident_memory_bytes")
    answer = served.ask("POST", "/predict", png_of(*size, bytes(20_000_000)))
    assert answer.status == 422
    assert "pixels" in check_answered(answer)[0]["error"]
    # That many pixels would take 192 MB at least.
    assert served.metric("process_resident_memory_bytes") - before < 100e6


def test_photos_among_others_are_answered(
    served: Any, photo: bytes, expected: dict[str, Any]
) -> None:
    files = [(name.replace(" ", "-"), data) for name, data in NO_PHOTOS.items()]
    rows = check_answered(served.send([("first.jpg", photo), *files, ("last.jpg", photo)]))
    assert [row["path"] for row in rows[1:-1]] == [name for name, _ in files]
    assert all(row["error"] for row in rows[1:-1])
    assert rows[0] == {**expected, "path": "first.jpg"}
    assert rows[-1] == {**expected, "path": "last.jpg"}


TINY = part(b"x", named(b"a.jpg"), JPEG)
INNER = form(part(b"x", named(b"a.jpg"), JPEG, edge=b"inner"), edge=b"inner")
LONG = b"b" * 5000
FORMS: dict[str, tuple[bytes, bytes, tuple[str, ...]]] = {
    "10,000 files": (b"edge", form(*[TINY] * 10_000), ("too_many_files",)),
    "10,000 fields": (b"edge", form(*[field(b"x")] * 10_000), ("too_many_fields",)),
    "10,000 empty files": (
        *(b"edge", form(*[part(b"", named(b""))] * 10_000)),
        ("too_many_files", "bad_multipart"),
    ),
    "10,000 empty fields": (b"edge", form(*[field()] * 10_000), ("too_many_fields",)),
    "no boundary": (b"", form(TINY), ("bad_multipart",)),
    "another boundary": (b"other", form(TINY), ("bad_multipart",)),
    "long boundary, not there": (LONG, form(TINY), ("bad_multipart",)),
    "boundary of no ASCII": (b"\xe9\xff", form(TINY), ("bad_multipart",)),
    "no disposition": (b"edge", form(part(b"x", JPEG)), ("bad_multipart",)),
    "no headers": (b"edge", form(part(b"x")), ("bad_multipart",)),
    "an attachment": (
        *(b"edge", form(part(b"x", b"Content-Disposition: attachment; filename=a"))),
        ("bad_multipart",),
    ),
    "header of 100 kB": (
        *(b"edge", form(part(b"x", named(b"a"), b"X: " + b"x" * 100_000))),
        ("bad_multipart",),
    ),
    "1,000 headers": (
        *(b"edge", form(part(b"x", named(b"a"), *[b"X: y"] * 1000))),
        ("bad_multipart",),
    ),
    "header without a colon": (b"edge", form(part(b"x", named(b"a"), b"X")), ("bad_multipart",)),
    "NUL in a header": (b"edge", form(part(b"x", named(b"a"), b"X\0: y")), ("bad_multipart",)),
    "unfinished": (b"edge", TINY, ("bad_multipart",)),
    "unfinished in a header": (b"edge", TINY[:30], ("bad_multipart",)),
    "nothing": (b"edge", b"", ("bad_multipart",)),
    "only its end": (b"edge", form(), ("no_photo", "bad_multipart")),
    "only fields": (b"edge", form(field(b"x")), ("no_photo",)),
    "rubbish": (b"edge", b"\r\n--edg" * 100_000, ("bad_multipart",)),
    "rubbish behind a boundary": (b"edge", b"--edgeX\r\n" * 1000, ("bad_multipart",)),
    "another form within": (
        b"edge",
        form(
            part(
                INNER,
                b'Content-Disposition: form-data; name="photos"',
                b"Content-Type: multipart/mixed; boundary=inner",
            )
        ),
        ("no_photo",),
    ),
    "a part that is longer than it says": (
        *(b"edge", form(part(b"xyz", named(b"a.jpg"), b"Content-Length: 1"))),
        ("bad_multipart",),
    ),
    "a part that is shorter than it says": (
        *(b"edge", form(part(b"xyz", named(b"a.jpg"), b"Content-Length: 10000"))),
        ("bad_multipart",),
    ),
    "a part of less than nothing": (
        *(b"edge", form(part(b"xyz", named(b"a.jpg"), b"Content-Length: -1"))),
        ("bad_multipart",),
    ),
    "a raw photo": (b"edge", png_of(1, 1), ("bad_multipart",)),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_malformed_form_is_refused(served: Any, case: str) -> None:
    boundary, body, codes = FORMS[case]
    headers = {"Content-Type": b"multipart/form-data; boundary=" + boundary}
    check_refused(served.ask("POST", "/predict", body, headers), *codes)


@pytest.mark.parametrize("kind", ["", ";", "; boundary", '; boundary="', "; boundary=;", ";;=;"])
def test_a_form_without_its_boundary_is_refused(served: Any, kind: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{kind}"}
    check_refused(served.ask("POST", "/predict", form(TINY), headers), "bad_multipart")


@pytest.mark.parametrize("edge", ["'()+_,-./:=?", "a b", "-" * 70, "b" * 1000])
def test_unusual_boundaries_are_read(
    served: Any, photo: bytes, expected: dict[str, Any], edge: str
) -> None:
    inside = edge.encode()
    body = form(part(photo, named(b"<body>"), JPEG, edge=inside), edge=inside)
    headers = {"Content-Type": f'multipart/form-data; boundary="{edge}"'}
    assert check_answered(served.ask("POST", "/predict", body, headers)) == [expected]


@pytest.mark.parametrize("kind", ["text/html", "image", "application/json", "multipart/mixed", "é"])
def test_a_body_of_another_type_is_refused(served: Any, photo: bytes, kind: str) -> None:
    headers = {"Content-Type": kind.encode("latin-1")}
    answer = served.ask("POST", "/predict", photo, headers)
    check_refused(answer, "unsupported_media_type")
    assert answer.status == 415


GZIP = gzip.compress(b"x" * 1000)
PACKED = {
    "bomb": ("gzip", gzip.compress(bytes(300_000_000), 9), "body_too_large"),
    "bomb of deflate": ("deflate", zlib.compress(bytes(300_000_000), 9), "body_too_large"),
    "truncated": ("gzip", GZIP[:-9], "bad_request"),
    "without its sum": ("gzip", GZIP[:-8], "bad_request"),
    "with a wrong sum": ("gzip", GZIP[:-8] + bytes(8), "bad_request"),
    "rubbish behind": ("gzip", GZIP + b"rubbish", "bad_request"),
    "only rubbish": ("gzip", b"rubbish", "bad_request"),
    "nothing": ("gzip", b"", "bad_request"),
    "gzip called deflate": ("deflate", GZIP, "bad_request"),
    "unknown": ("br", GZIP, "unsupported_encoding"),
    "of no ASCII": ("gzip\xe9", GZIP, "unsupported_encoding"),
    "two encodings": ("gzip, gzip", gzip.compress(GZIP), "unsupported_encoding"),
    "packed twice": ("gzip", gzip.compress(GZIP), "unreadable"),
}


@pytest.mark.parametrize("case", PACKED)
def test_a_badly_packed_body_is_refused(served: Any, case: str) -> None:
    encoding, body, code = PACKED[case]
    headers = {"Content-Encoding": encoding.encode("latin-1")}
    check_refused(served.ask("POST", "/predict", body, headers), code)


ORIGINS = {
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "same-site": ({"Sec-Fetch-Site": "same-site"}, 403),
    "nonsense": ({"Sec-Fetch-Site": "nonsense"}, 403),
    "same-origin": ({"Sec-Fetch-Site": "same-origin"}, 200),
    "by hand": ({"Sec-Fetch-Site": "none"}, 200),
    "another origin": ({"Origin": "https://elsewhere.example"}, 403),
    "another port": ({"Origin": "http://127.0.0.1:1"}, 403),
    "sandboxed": ({"Origin": "null"}, 403),
    "malformed origin": ({"Origin": "http://["}, 403),
    "malformed port": ({"Origin": "http://127.0.0.1:x"}, 403),
    "empty origin": ({"Origin": ""}, 403),
}


@pytest.mark.parametrize("case", ORIGINS)
def test_pages_of_other_sites_may_not_ask(served: Any, photo: bytes, case: str) -> None:
    headers, status = ORIGINS[case]
    for path in ("/predict", "/v2/models/starter/infer"):
        answer = served.ask("POST", path, photo, headers)
        if status == 403:
            check_refused(answer, "cross_site")
        else:
            assert answer.json.get("code") != "cross_site"
    own = {"Origin": served.address.rstrip("/")}
    assert served.ask("POST", "/predict", photo, own).status == 200


def test_nothing_is_written_to_a_file(
    serve_with: Any,
    photo: bytes,
    expected: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource", reason="files cannot be limited here")
    if not hasattr(resource, "prlimit"):
        pytest.skip("another process cannot be limited here")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    files = [(f"{n}.jpg", photo + bytes(10**6)) for n in range(30)]  # what is behind is not read
    with serve_with("--drain", "0") as service:
        # From here on a write to any file of its fails, also to one without a name.
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        before = os.stat(tmp_path).st_mtime_ns
        rows = check_answered(service.send(files))
        assert rows == [{**expected, "path": name} for name, _ in files]
        raw = service.ask("POST", "/predict?heatmap=true", photo + bytes(30 * 10**6))
        assert check_answered(raw)[0]["heatmap"]
        packed = gzip.compress(photo + bytes(30 * 10**6), 1)
        assert service.ask("POST", "/predict", packed, {"Content-Encoding": "gzip"}).status == 200
        assert service.metric('pawprint_photos_total{outcome="answered"}') == 32
        assert os.stat(tmp_path).st_mtime_ns == before
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def files(shared: Path) -> list[tuple[str, bytes]]:
    """Hostile images: their names and bytes."""
    with zipfile.ZipFile(shared / "data" / "hostile_images.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        found = [(name, archive.read(name)) for name in names]
    assert len(found) == 349
    return found


@pytest.mark.shared
def test_hostile_images_are_answered_or_unreadable(
    serve_with: Any, photo: bytes, expected: dict[str, Any], files: list[tuple[str, bytes]]
) -> None:
    singly: list[dict[str, Any]] = []
    together: list[dict[str, Any]] = []
    with serve_with("--drain", "0") as service:
        for name, data in files:
            (row,) = check_answered(service.ask("POST", "/predict", data))
            singly.append({**row, "path": name})
        for start in range(0, len(files), 32):
            together += check_answered(service.send(files[start : start + 32], "?heatmap=true"))
        assert service.ask("POST", "/predict", photo).json == {"predictions": [expected]}
    for row in singly:
        kind = row["path"].split("/")[-2]
        assert kind != "must_accept" or row["label"] is not None, row
        assert kind != "must_reject" or row["error"] is not None, row
    assert all((row.pop("heatmap") is None) == (row["label"] is None) for row in together)
    assert together == singly


def test_a_photo_that_its_decoder_complains_of_does_not_fill_the_log(
    serve_with: Any, photo: bytes, expected: dict[str, Any]
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="what waits in a pipe cannot be counted here")
    termios = pytest.importorskip("termios")
    buffer = io.BytesIO()
    Image.effect_noise((200, 1000), 90).convert("1").save(buffer, "TIFF", compression="group3")
    fax = bytearray(buffer.getvalue())
    for place in range(1000, len(fax) - 1000, 7):  # a line of complaint for each line of pixels
        fax[place] ^= 0b1010101
    with serve_with("--drain", "0") as service:
        check_answered(service.ask("POST", "/predict", bytes(fax)))
        waiting = bytes(4)
        waiting = fcntl.ioctl(service.process.stderr, termios.FIONREAD, waiting)
        assert struct.unpack("i", waiting)[0] < 2000
        assert service.ask("POST", "/predict", photo).json == {"predictions": [expected]}


def test_a_photo_with_more_behind_it_is_answered_as_the_photo(
    served: Any, photo: bytes, expected: dict[str, Any]
) -> None:
    for behind in (zipped(), b"<script>alert(1)</script>", photo, bytes(1_000_000)):
        assert check_answered(served.ask("POST", "/predict", photo + behind)) == [expected]


def test_a_photo_that_is_cut_anywhere_is_answered_or_unreadable(served: Any, photo: bytes) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(buffer, "PNG")
    for whole in (photo, buffer.getvalue()):
        for length in range(1, len(whole), len(whole) // 20):
            check_answered(served.ask("POST", "/predict", whole[:length]))
