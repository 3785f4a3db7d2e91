"""The object store that tests read from: as pyarrow sees it, whole and failing."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyarrow import fs

from . import object_store
from .object_store import BUCKET, Fault, Store

PHOTOS = {
    "photos/cat/1.jpg": b"one",
    "photos/cat/2 +%&<ö>.jpg": b"two",
    "photos/cat/3.jpg": b"",
    "photos/dog/1.jpg": bytes(range(256)) * 1000,
    "photos2.csv": b"beside",
}


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(page=3) as store:
        for key, data in PHOTOS.items():
            store.put(key, data)
        yield store


def opened(store: Store, path: str = "") -> tuple[fs.FileSystem, str]:
    """A store as pyarrow opens its address."""
    filesystem, found = fs.FileSystem.from_uri(store.address(path))
    assert found == f"{BUCKET}/{path}".rstrip("/")
    return filesystem, found


def impatient(store: Store, attempts: int) -> fs.S3FileSystem:
    """A store as seen by who asks a few times only."""
    return fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        scheme="http",
        endpoint_override=f"127.0.0.1:{store.port}",
        region="us-east-1",
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
    )


def test_everything_is_listed_in_pages(store: Store) -> None:
    filesystem, path = opened(store, "photos")
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    sizes = {one.path.removeprefix(f"{BUCKET}/"): one.size for one in found if one.is_file}
    photos = {key: data for key, data in PHOTOS.items() if key.startswith("photos/")}
    assert sizes == {key: len(data) for key, data in photos.items()}
    assert store.requests["LIST", "photos/"] == 2
    folders = filesystem.get_file_info(fs.FileSelector(path))
    assert [one.path for one in folders] == [f"{path}/cat", f"{path}/dog"]
    assert not any(one.is_file for one in folders)


def test_what_is_not_there(store: Store) -> None:
    filesystem, path = opened(store, "photos")
    assert filesystem.get_file_info(f"{path}/none").type == fs.FileType.NotFound
    with pytest.raises(FileNotFoundError):
        filesystem.open_input_stream(f"{path}/none")
    with pytest.raises(FileNotFoundError):
        filesystem.get_file_info(fs.FileSelector(f"{path}/none"))
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        filesystem.get_file_info(fs.FileSelector("other/photos"))


def test_objects_are_read_whole_and_in_parts(store: Store) -> None:
    filesystem, _ = opened(store)
    for key, data in PHOTOS.items():
        with filesystem.open_input_stream(f"{BUCKET}/{key}") as stream:
            assert stream.read() == data
    data = PHOTOS["photos/dog/1.jpg"]
    with filesystem.open_input_file(f"{BUCKET}/photos/dog/1.jpg") as file:
        assert file.size() == len(data)
        assert file.read_at(1000, 5) == data[5:1005]
        file.seek(len(data) - 10)
        assert file.read(1000) == data[-10:]


def test_objects_are_written(store: Store) -> None:
    filesystem, path = opened(store, "out")
    large = os.urandom(12 * 2**20)  # more than one part
    for name, data in {"small": b"small", "large": large, "none": b""}.items():
        with filesystem.open_output_stream(f"{path}/{name}") as stream:
            stream.write(data)
        assert store.objects[f"out/{name}"].data == data
    assert store.requests["PUT", "out/large"] > 1
    filesystem.copy_file(f"{path}/small", f"{path}/none")
    assert store.objects["out/none"].data == b"small"
    filesystem.move(f"{path}/small", f"{BUCKET}/moved here")
    assert store.objects["moved here"].data == b"small"
    filesystem.delete_file(f"{path}/large")
    assert [key for key in store.names if key.startswith("out/s") or "large" in key] == []
    filesystem.delete_dir(path)
    assert store.names == sorted([*PHOTOS, "moved here"]) == sorted(store.objects)


def test_many_write_at_once(store: Store) -> None:
    filesystem, path = opened(store, "out")

    def write(number: int) -> None:
        with filesystem.open_output_stream(f"{path}/{number}") as stream:
            stream.write(b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    written = {key: item.data for key, item in store.objects.items() if key.startswith("out/")}
    assert written == {f"out/{number}": b"%d" % number for number in range(40)}
    assert store.names == sorted(store.objects)
    assert not store.uploads


def test_an_upload_that_is_given_up_leaves_nothing(store: Store) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=20)
    try:
        statuses = []
        connection.request("POST", f"/{BUCKET}/new?uploads")
        said = connection.getresponse().read().decode()
        upload = said.partition("<UploadId>")[2].partition("<")[0]
        for method in ("PUT", "DELETE", "PUT"):
            connection.request(method, f"/{BUCKET}/new?partNumber=1&uploadId={upload}", b"part")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    finally:
        connection.close()
    assert statuses == [200, 204, 404]
    assert not store.uploads
    assert "new" not in store.objects


@pytest.mark.parametrize("fault", [500, 503, "drop", "cut"])
def test_what_fails_once_is_asked_for_again(store: Store, fault: Fault) -> None:
    def rule(method: str, key: str, nth: int) -> Fault:
        return fault if method == "GET" and key.endswith("dog/1.jpg") and nth == 1 else None

    store.faults = rule
    filesystem, path = opened(store, "photos")
    for name in ("cat/1.jpg", "dog/1.jpg"):
        with filesystem.open_input_stream(f"{path}/{name}") as stream:
            assert stream.read() == PHOTOS[f"photos/{name}"]
    assert store.requests["GET", "photos/cat/1.jpg"] == 1
    assert store.requests["GET", "photos/dog/1.jpg"] == 2


def test_what_always_fails_is_given_up(store: Store) -> None:
    store.faults = lambda method, key, nth: 500 if method == "GET" else None
    filesystem = impatient(store, 2)
    stream = filesystem.open_input_stream(f"{BUCKET}/photos/dog/1.jpg")
    with stream, pytest.raises(OSError, match="INTERNAL_FAILURE"):
        stream.read()
    assert store.requests["GET", "photos/dog/1.jpg"] == 2


def test_what_is_forbidden_is_asked_for_once(store: Store) -> None:
    store.faults = lambda method, key, nth: 403
    filesystem, path = opened(store, "photos")
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        filesystem.get_file_info(fs.FileSelector(path))
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        filesystem.open_output_stream(f"{path}/new")
    assert dict(store.requests) == {("LIST", "photos/"): 1, ("POST", "photos/new"): 1}


def test_a_late_answer_is_waited_for(store: Store) -> None:
    store.faults = lambda method, key, nth: 0.3
    filesystem, path = opened(store, "photos")
    assert filesystem.get_file_info(f"{path}/cat/1.jpg").size == len(b"one")
    assert store.requests.total() == 1


def test_after_its_end_nothing_answers(store: Store) -> None:
    with Store() as other:
        filesystem = impatient(other, 1)
        other.put("one", b"one")
        file = filesystem.open_input_file(f"{BUCKET}/one")
    with file, pytest.raises(OSError, match="NETWORK_CONNECTION"):
        file.read()  # on the connection that was open
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other.port), timeout=20)


ELSEWHERE = """
import sys
from pyarrow import fs

filesystem, path = fs.FileSystem.from_uri(sys.argv[1])
data = filesystem.open_input_stream(path + "/cat/1.jpg").read()
with filesystem.open_output_stream(path + "/copy") as stream:
    stream.write(data)
print(data.decode())
"""


def ran_elsewhere(address: str) -> str:
    """What another process, without credentials of its own, says of a store."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    command = [sys.executable, "-c", ELSEWHERE, address]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("signed", [True, False])
def test_other_processes_use_its_address(store: Store, signed: bool) -> None:
    assert ran_elsewhere(store.address("photos", signed=signed)) == "one\n"
    assert store.objects["photos/copy"].data == b"one"


def test_it_serves_a_folder_from_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"one")
    with subprocess.Popen(
        [sys.executable, object_store.__file__, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert ran_elsewhere(process.stdout.readline().strip()) == "one\n"
            process.communicate(timeout=20)  # its input ends
        finally:
            process.kill()
    assert process.returncode == 0
