"""Downloads from servers that break off, lie, lead astray and serve what is not safe."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from pawprint.data.download import fetch, place
from pawprint.data.sources import open_source
from pawprint.errors import DownloadError, PhotoError, SourceError

DATA = random.Random(0).randbytes(3_000_000)
HASH = hashlib.sha256(DATA).hexdigest()
AT_ONCE = (0.0, 0.0)


def left(folder: Path) -> set[str]:
    """What a download left in its folder, but for the lock."""
    return {path.name for path in folder.rglob("*") if path.is_file()} - {".lock"}


def test_a_file_is_downloaded_once_and_kept(server, tmp_path, listener):
    url = server("/a/pets.zip", DATA)
    path = fetch(url, tmp_path, size=len(DATA), sha256=HASH, progress=listener)
    assert path.read_bytes() == DATA
    assert path == place(url, tmp_path)
    assert left(tmp_path) == {"pets.zip"}
    assert listener.steps == {"Downloading pets.zip": len(DATA)}
    assert fetch(url, tmp_path, size=len(DATA), sha256=HASH, offline=True) == path
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("/a.zip?x=1&y=../b", "a.zip"),
        ("/with%20space%2F..%2Fx.tar.gz", "with_space_.._x.tar.gz"),
        ("/..", "download"),
        ("/", "127.0.0.1"),
        ("/%00%0a.zip", "__.zip"),
        ("/.lock", "lock"),
        ("/" + "a" * 300 + ".zip", "a" * 96 + ".zip"),
    ],
)
def test_names_of_kept_files_are_harmless(tmp_path, end, name):
    path = place(f"http://127.0.0.1{end}", tmp_path)
    assert path.name.startswith(name)
    assert path.parent.parent == tmp_path


def test_offline_without_the_file(tmp_path):
    with pytest.raises(DownloadError, match=r"was not downloaded yet.*pawprint datasets fetch"):
        fetch("https://example.org/a.zip", tmp_path / "new", offline=True)
    assert not (tmp_path / "new").exists()


def test_what_broke_off_goes_on_where_it_was(server, turns, tmp_path, listener):
    answers = turns(
        lambda request: request.give(DATA, upto=1_000_000),
        lambda request: request.give(DATA, upto=1_000_001),
        lambda request: request.give(DATA),
    )
    url = server("/a.zip", answers)
    path = fetch(url, tmp_path, sha256=HASH, progress=listener, waits=AT_ONCE)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=1000000-", "bytes=1000001-"]
    assert server.asked[1].headers["If-Range"] == '"one"'
    assert listener.said[0] == "a.zip: broke off after 1,000,000 of 3,000,000 bytes; trying again"


def test_a_next_call_goes_on_too(server, turns, tmp_path):
    url = server(
        "/a.zip", turns(*[lambda r: r.give(DATA, upto=10_000)] * 3, lambda r: r.give(DATA))
    )
    with pytest.raises(
        DownloadError, match=r"broke off after 10,000 of .*goes on after the 10,000"
    ):
        fetch(url, tmp_path, waits=AT_ONCE)
    assert left(tmp_path) == {"a.zip.part", "a.zip.json"}
    assert fetch(url, tmp_path).read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=10000-"
    assert left(tmp_path) == {"a.zip"}


def test_tries_that_bring_something_do_not_count(server, tmp_path):
    def crumbs(request):
        found = request.headers.get("Range", "bytes=0-")
        request.give(DATA, upto=int(found[6:-1]) + 2**20)

    assert fetch(server("/a", crumbs), tmp_path, waits=[0.0]).read_bytes() == DATA


def test_a_changed_file_is_not_joined_to_the_part_of_the_old(server, turns, tmp_path):
    new = bytes(reversed(DATA))
    answers = turns(
        lambda request: request.give(DATA, etag='"old"', upto=50_000),
        lambda request: request.give(new, etag='"new"'),
    )
    assert fetch(server("/a", answers), tmp_path, waits=AT_ONCE).read_bytes() == new
    assert server.asked[1].headers["If-Range"] == '"old"'


def test_a_changed_file_with_the_mark_of_the_old_is_told_by_its_length(server, turns, tmp_path):
    answers = turns(
        lambda request: request.give(DATA, upto=50_000), lambda request: request.give(DATA[:-9])
    )
    assert fetch(server("/a", answers), tmp_path, waits=AT_ONCE).read_bytes() == DATA[:-9]
    assert server.ranges() == [None, "bytes=50000-", None]


@pytest.mark.parametrize("sha256", [HASH, None])
def test_a_server_without_marks_is_trusted_only_with_a_hash(server, turns, tmp_path, sha256):
    answers = turns(
        lambda request: request.give(DATA, etag="W/weak", upto=50_000),
        lambda request: request.give(DATA, etag="W/weak"),
    )
    url = server("/a", answers)
    assert fetch(url, tmp_path, sha256=sha256, waits=AT_ONCE).read_bytes() == DATA
    assert server.ranges() == [None, "bytes=50000-" if sha256 else None]


def test_a_server_that_ignores_ranges(server, turns, tmp_path):
    def whole(request):
        request.head(200, Content_Length=len(DATA), ETag='"one"')
        request.wfile.write(DATA)

    url = server("/a", turns(lambda request: request.give(DATA, upto=70_000), whole))
    assert fetch(url, tmp_path, sha256=HASH, waits=AT_ONCE).read_bytes() == DATA


@pytest.mark.parametrize("found", ["bytes 0-2999999/3000000", "bytes 7-2999999/3000000", "", "?"])
def test_a_server_that_sends_another_part(server, turns, tmp_path, found):
    def other(request):
        request.head(206, Content_Range=found, Content_Length=len(DATA))
        request.wfile.write(DATA)

    cut = lambda request: request.give(DATA, upto=70_000)  # noqa: E731
    url = server("/a", turns(cut, other, lambda request: request.give(DATA)))
    assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == DATA
    assert server.ranges() == [None, "bytes=70000-", None]


def test_a_length_that_is_too_long(server, tmp_path):
    def lie(request):
        request.head(200, Content_Length=len(DATA) + 1000, ETag='"one"')
        request.wfile.write(DATA)

    with pytest.raises(DownloadError, match=r"broke off after 3,000,000 of 3,001,000 bytes"):
        fetch(server("/a.zip", lie), tmp_path, waits=AT_ONCE)
    assert "a.zip" not in left(tmp_path)


@pytest.mark.parametrize("known", [{"sha256": HASH}, {"size": len(DATA)}])
def test_a_length_that_is_too_short(server, tmp_path, known):
    def lie(request):
        request.head(200, Content_Length=1000)
        request.wfile.write(DATA)

    with pytest.raises(DownloadError, match="expected") as caught:
        fetch(server("/a.zip", lie), tmp_path, waits=AT_ONCE, **known)
    assert "not the file that is known" in str(caught.value)
    assert "a.zip" not in left(tmp_path)


def test_a_wrong_hash_is_told_and_nothing_is_kept(server, tmp_path):
    url = server("/a.zip", DATA[:-1] + b"?")
    with pytest.raises(DownloadError, match=f"SHA-256 [0-9a-f]{{64}}, and {HASH} was expected"):
        fetch(url, tmp_path, size=len(DATA), sha256=HASH)
    assert not any(name.startswith("a.zip") and "json" not in name for name in left(tmp_path))


def test_a_damaged_part_is_noticed_and_the_download_starts_over(server, turns, tmp_path):
    url = server("/a.zip", turns(lambda r: r.give(DATA, upto=50_000), lambda r: r.give(DATA)))
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, sha256=HASH, waits=())
    part = place(url, tmp_path).with_name("a.zip.part")
    part.write_bytes(bytes(50_000))
    assert fetch(url, tmp_path, sha256=HASH, waits=AT_ONCE).read_bytes() == DATA


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"validator": 1}', '{"new": 1}', "\0"])
def test_a_damaged_note_beside_the_part(server, turns, tmp_path, note):
    url = server("/a.zip", turns(lambda r: r.give(DATA, upto=50_000), lambda r: r.give(DATA)))
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, waits=())
    place(url, tmp_path).with_name("a.zip.json").write_text(note)
    assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == DATA


def test_a_part_longer_than_the_file(server, turns, tmp_path):
    url = server("/a.zip", turns(lambda r: r.give(DATA, upto=50_000), lambda r: r.give(DATA)))
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, waits=())
    place(url, tmp_path).with_name("a.zip.part").write_bytes(DATA + b"more")
    assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == DATA


def test_without_a_length(server, tmp_path):
    def plain(request):
        request.head(200)
        request.wfile.write(DATA)

    assert fetch(server("/a", plain), tmp_path).read_bytes() == DATA


def test_chunks_that_break_off(server, turns, tmp_path):
    def chunked(request):
        request.protocol_version = "HTTP/1.1"
        request.head(200, Transfer_Encoding="chunked", Connection="close")
        request.wfile.write(b"2000\r\n" + DATA[:100])

    url = server("/a", turns(chunked, lambda request: request.give(DATA)))
    assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == DATA


def test_a_server_without_end(server, tmp_path):
    def endless(request):
        request.head(200)
        while True:
            request.wfile.write(DATA)

    with pytest.raises(DownloadError, match="sends more than 9,000,000 bytes, and was broken off"):
        fetch(server("/a.zip", endless), tmp_path, cap=9_000_000)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1000


@pytest.mark.parametrize(
    ("length", "cap", "told"),
    [
        (10**15, None, "more than the cap of 68,719,476,736"),
        (10**15, 10**16, "are free; make room, or set PAWPRINT_CACHE"),
    ],
)
def test_a_file_too_large_is_refused_before_it_comes(server, tmp_path, length, cap, told):
    url = server("/a", lambda request: request.head(200, Content_Length=length))
    with pytest.raises(DownloadError, match=told):
        fetch(url, tmp_path, **({"cap": cap} if cap else {}))
    with pytest.raises(DownloadError, match="has 1,000,000,000,000,000 bytes, and 5 were expected"):
        fetch(url, tmp_path, size=5)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_what_is_not_to_be_had(server, tmp_path, status):
    url = server("/a", lambda request: request.head(status, Content_Length=0))
    with pytest.raises(DownloadError, match=f"the server answers {status}; check the address"):
        fetch(url, tmp_path, waits=AT_ONCE)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server, turns, tmp_path, status):
    trouble = lambda request: request.head(status, Content_Length=0)  # noqa: E731
    url = server("/a", turns(trouble, lambda request: request.give(DATA)))
    assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == DATA
    url = server("/b", trouble)
    with pytest.raises(DownloadError, match=f"answers {status}.*; try again later"):
        fetch(url, tmp_path, waits=AT_ONCE)


def test_a_server_that_says_nothing(server, turns, tmp_path):
    told = threading.Event()
    url = server("/a", turns(lambda r: told.wait(20), lambda r: r.give(DATA)))
    assert fetch(url, tmp_path, waits=AT_ONCE, timeout=0.2).read_bytes() == DATA

    def stall(request):
        request.head(200, Content_Length=len(DATA), ETag='"one"')
        request.wfile.write(DATA[:70_000])
        told.wait(20)

    url = server("/b", turns(stall, lambda request: request.give(DATA)))
    assert fetch(url, tmp_path, waits=AT_ONCE, timeout=0.2).read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=70000-"
    told.set()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length"])
def test_a_server_that_talks_nonsense(server, tmp_path, answer):
    url = server("/a", lambda request: request.wfile.write(answer))
    with contextlib.suppress(DownloadError):
        assert fetch(url, tmp_path, waits=AT_ONCE).read_bytes() == b""


def test_nobody_listens(tmp_path, server):
    url = server("/a", DATA)
    server.server_close()
    server.socket.close()
    with pytest.raises(DownloadError, match=r"no connection \(connection refused\)"):
        fetch(url, tmp_path, waits=(0.0,))


def test_redirects_are_followed(server, tmp_path):
    url = server("/pets.zip", DATA)
    first = server("/go", lambda r: r.head(302, Location="/hop", Content_Length=0))
    server("/hop", lambda r: r.head(307, Location=url, Content_Length=0))
    assert fetch(first, tmp_path, sha256=HASH).read_bytes() == DATA


@pytest.mark.parametrize("where", ["/go", "/go?{}"])
def test_redirects_without_end(server, tmp_path, where):
    def on(request):
        request.head(302, Location=where.format(len(server.asked)), Content_Length=0)

    with pytest.raises(DownloadError, match="leads on without end"):
        fetch(server("/go", on), tmp_path, waits=AT_ONCE)
    assert len(server.asked) < 20


@pytest.mark.parametrize(
    "where",
    ["http://example.org/a.zip", "ftp://127.0.0.1/a.zip", "file:///etc/passwd", "//example.org/a"],
)
def test_redirects_to_where_it_is_not_safe(server, tmp_path, where):
    url = server("/go", lambda request: request.head(302, Location=where, Content_Length=0))
    with pytest.raises(DownloadError, match=r"leads to .*not https|leads on .*not safe"):
        fetch(url, tmp_path, waits=AT_ONCE)
    assert left(tmp_path) == set()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_never_from_https_to_http(server, tmp_path, monkeypatch):
    make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", *make.split(), *names], cwd=tmp_path, check=True, capture_output=True
    )
    plain = server("/a.zip", DATA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server("/go", lambda request: request.head(302, Location=plain, Content_Length=0))
    safe = f"https://localhost:{server.server_port}"
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="certificate"):  # nobody vouches for it yet
        fetch(f"{safe}/a.zip", tmp_path / "cache", waits=())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    assert fetch(f"{safe}/a.zip", tmp_path / "cache", waits=()).read_bytes() == DATA
    with pytest.raises(DownloadError, match=r"leads to http://127\.0\.0\.1.*not https"):
        fetch(f"{safe}/go", tmp_path / "cache", waits=())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.org/a.zip", "is not https"),
        ("http://localhost.example.org/a.zip", "is not https"),
        ("http://127.0.0.1@example.org/a.zip", "user name or password"),
        ("https://me:secret@example.org/a.zip", "user name or password"),
        ("https://", "is no address"),
        ("https:///a.zip", "is no address"),
        ("https://host:port/a.zip", "is no address"),
        ("https://[::1/a.zip", "is no address"),
        ("https://host/a b.zip", "is no address"),
        ("https://host/a\r\nX: y", "is no address"),
    ],
)
def test_addresses_that_are_refused(tmp_path, url, told):
    with pytest.raises(DownloadError, match=told) as caught:
        fetch(url, tmp_path)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Impatient:
    """Progress of somebody who presses Ctrl-C in the middle."""

    @contextlib.contextmanager
    def step(self, what, total):
        done = 0

        def advance(count):
            nonlocal done
            done += count
            if done > total / 3:
                raise KeyboardInterrupt

        yield advance

    def say(self, message):
        pass


def test_ctrl_c_keeps_what_came(server, tmp_path):
    url = server("/a.zip", DATA)
    with pytest.raises(KeyboardInterrupt):
        fetch(url, tmp_path, progress=Impatient())
    kept = place(url, tmp_path).with_name("a.zip.part").stat().st_size
    assert kept > len(DATA) / 3
    assert fetch(url, tmp_path, sha256=HASH).read_bytes() == DATA
    assert server.ranges() == [None, f"bytes={kept}-"]


FETCH = """
import sys
from pathlib import Path
from pawprint.data.download import fetch
print(fetch(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3]))
"""


def started(url: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, url, str(folder), HASH]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_at_once_download_once(server, tmp_path):
    both = threading.Barrier(2, timeout=60)

    def slow(request):
        request.head(200, Content_Length=len(DATA), ETag='"one"')
        request.wfile.write(DATA[:100_000])
        both.wait()  # until the others have started
        request.wfile.write(DATA[100_000:])

    url = server("/a.zip", slow)
    processes = [started(url, tmp_path) for _ in range(3)]
    both.wait()
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len(server.asked) == 1
    assert left(tmp_path) == {"a.zip"}
    assert place(url, tmp_path).read_bytes() == DATA


def test_a_killed_process_leaves_what_came_and_no_lock(server, turns, tmp_path):
    stalled, over = threading.Event(), threading.Event()

    def stall(request):
        request.head(200, Content_Length=len(DATA), ETag='"one"')
        request.wfile.write(DATA[:1_000_000])
        stalled.set()
        over.wait(60)

    url = server("/a.zip", turns(stall, lambda request: request.give(DATA)))
    part = place(url, tmp_path).with_name("a.zip.part")
    process = started(url, tmp_path)
    assert stalled.wait(60)
    while not part.exists() or part.stat().st_size < 500_000:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    over.set()
    kept = part.stat().st_size
    assert fetch(url, tmp_path, sha256=HASH).read_bytes() == DATA
    assert server.ranges() == [None, f"bytes={kept}-"]


FULL = """
import resource, signal, sys
from pathlib import Path
from pawprint.data.download import fetch
from pawprint.errors import DownloadError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    fetch(sys.argv[1], Path(sys.argv[2]))
except DownloadError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more(server, tmp_path):
    url = server("/a.zip", DATA)
    command = [sys.executable, "-c", FULL, url, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"cannot be kept in {tmp_path} (file too large); make room there" in ran.stdout
    assert "a.zip" not in left(tmp_path)
    assert fetch(url, tmp_path, sha256=HASH).read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=1000000-"


def test_a_folder_that_cannot_be(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DownloadError, match=r"cannot be kept in .*file"):
        fetch(server("/a", DATA), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# What comes is an archive from somewhere else


def zipped(*members: tuple[str, bytes], link: str = "") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members:
            made.writestr(name, data)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            made.writestr(info, "/etc/passwd")
    return target.getvalue()


PETS = [(f"pets/{name}/{i}.jpg", f"{name}{i}".encode()) for name in ("cat", "dog") for i in "12"]


def classes(location: str | Path) -> tuple[str, ...]:
    with open_source(location) as source:
        return source.classes


def kept() -> set[str]:
    return left(Path(os.environ["PAWPRINT_CACHE"]) / "downloads")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.gz", "download"])
def test_an_address_is_a_source(server, name):
    data = zipped(*PETS)
    if ".tar" in name:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz" if name.endswith("gz") else "w") as made:
            for path, content in PETS:
                info = tarfile.TarInfo(path)
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
        data = target.getvalue()
    url = server(f"/{name}", data)
    for offline in (False, True):
        with open_source(url, offline=offline) as source:
            assert source.name == name.split(".")[0]
            assert [source.read(photo) for photo in source.photos] == [data for _, data in PETS]
    assert len(server.asked) == 1
    assert classes(Path(url)) == ("cat", "dog")  # which has lost a slash


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (zipped(*PETS, ("../../evil.jpg", b"evil")), "leads out of the archive"),
        (zipped(*PETS, ("/tmp/evil.jpg", b"evil")), "leads out of the archive"),
        (zipped(*PETS, ("..\\evil.jpg", b"evil")), "leads out of the archive"),
        (zipped(*PETS)[:-40], "damaged archive"),
        (b"<html>Please log in</html>", "File is not a zip file"),
        (b"", "neither a folder nor|damaged"),
    ],
)
def test_what_is_no_safe_archive_is_refused_and_not_kept(server, tmp_path, data, told):
    url = server("/a.zip", data)
    with pytest.raises(SourceError, match=told) as caught:
        open_source(url)
    assert str(caught.value).startswith(f"what {url} gave: ")
    assert kept() == set()
    assert not list(tmp_path.rglob("evil*"))
    server("/a.zip", zipped(*PETS))
    assert classes(url) == ("cat", "dog")


def test_a_web_page_is_no_archive(server):
    url = server("/pets", b"<html>Please log in</html>")
    with pytest.raises(SourceError, match=f"what {url} gave: .*neither a folder nor a .zip"):
        open_source(url)
    assert kept() == set()


def test_links_in_what_was_downloaded_are_not_followed(server):
    url = server("/a.zip", zipped(*PETS, link="pets/cat/link.jpg"))
    with open_source(url) as source:
        assert [(skip.path, skip.reason) for skip in source.skipped] == [
            ("pets/cat/link.jpg", "is a link")
        ]
        assert len(source.photos) == len(PETS)


def test_a_bomb_is_not_unpacked(server):
    url = server("/a.zip", zipped(*PETS, ("pets/cat/bomb.jpg", bytes(60_000_000))))
    with open_source(url) as source:
        (bomb,) = [photo for photo in source.photos if "bomb" in photo.path]
        with pytest.raises(PhotoError, match="times its packed size"):
            source.read(bomb)


def test_an_archive_without_class_folders_is_kept(server):
    url = server("/a.zip", zipped(("1.jpg", b"1"), ("2.jpg", b"2")))
    with pytest.raises(SourceError, match="no photos in class folders"):
        open_source(url)
    assert kept() == {"a.zip"}
    with pytest.raises(SourceError, match="no photos in class folders"):
        open_source(url, offline=True)
