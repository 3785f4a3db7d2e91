"""The Open Inference Protocol, as Triton's own client speaks it and as nobody should."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pawprint
from pawprint import starter

# Its client brings gevent along, which remarks on its own imports.
pytestmark = pytest.mark.filterwarnings("ignore:::gevent")
triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

Pixels = NDArray[np.uint8]
INFER = "/v2/models/starter/infer"


@pytest.fixture(scope="module")
def classifier() -> pawprint.Classifier:
    """The starter, as the service should answer."""
    return pawprint.load(starter.BUNDLE)


@pytest.fixture(scope="module")
def pixels(classifier: pawprint.Classifier, photo: bytes) -> Pixels:
    """Two photos and a pattern as the network takes them: uint8, shape (3, size, size, 3)."""
    preprocessing = classifier.card.preprocessing
    upside_down = io.BytesIO()
    Image.open(io.BytesIO(photo)).rotate(180).save(upside_down, "PNG")
    found = [
        preprocessing.from_bytes(data, "photo")
        for data in (photo, upside_down.getvalue(), pattern())
    ]
    return np.stack(found)


def pattern() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((300, 200)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def client(served: Any) -> Iterator[Any]:
    """Triton's client."""
    with triton.InferenceServerClient(f"{served.host}:{served.port}") as found:
        yield found


def asked(pixels: Pixels, binary: bool = True) -> list[Any]:
    tensor = triton.InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    return [tensor]


def wanted(binary: bool) -> list[Any]:
    return [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("probabilities", "novelty")
    ]


def check(result: Any, pixels: Pixels, classifier: pawprint.Classifier) -> None:
    """The answers are the classifier's."""
    given, novelty = result.as_numpy("probabilities"), result.as_numpy("novelty")
    assert given.shape == (len(pixels), len(classifier.classes))
    assert novelty.shape == (len(pixels), 1)
    assert given.dtype == novelty.dtype == np.float32
    for place, photo in enumerate(pixels):
        answer = classifier.answer(photo, "photo")
        expected = [answer.probabilities[name] for name in classifier.classes]
        np.testing.assert_allclose(given[place], expected, rtol=0, atol=1e-6)
        assert novelty[place, 0] == pytest.approx(answer.novelty, rel=1e-6)


def test_it_says_that_it_is_there(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("starter")
    assert client.is_model_ready("starter", "1")
    assert not client.is_model_ready("another")
    assert not client.is_model_ready("starter", "2")
    about = client.get_server_metadata()
    assert about["name"] == "pawprint"
    assert "binary_tensor_data" in about["extensions"]


def test_it_says_what_it_takes_and_gives(client: Any, classifier: pawprint.Classifier) -> None:
    size = classifier.card.preprocessing.size
    about = client.get_model_metadata("starter")
    assert about == client.get_model_metadata("starter", "1")
    assert (about["name"], about["versions"]) == ("starter", ["1"])
    assert about["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, size, size, 3]}]
    assert about["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "novelty", "datatype": "FP32", "shape": [-1, 1]},
    ]
    with pytest.raises(triton.InferenceServerException, match="no such model"):
        client.get_model_metadata("another")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_its_answers_are_the_classifiers(
    client: Any,
    pixels: Pixels,
    classifier: pawprint.Classifier,
    binary_in: bool,
    binary_out: bool,
    count: int,
) -> None:
    photos = pixels[:count]
    inputs = asked(photos, binary_in)
    result = client.infer("starter", inputs, outputs=wanted(binary_out), request_id="17")
    check(result, photos, classifier)
    said = result.get_response()
    assert (said["id"], said["model_name"], said["model_version"]) == ("17", "starter", "1")
    assert all(("data" in output) != binary_out for output in said["outputs"])


def test_the_answer_is_that_of_predict(served: Any, client: Any, pixels: Pixels) -> None:
    (row,) = served.ask("POST", "/predict", pattern()).json["predictions"]
    result = client.infer("starter", asked(pixels[2:]))
    given = dict(zip(("cat", "dog"), result.as_numpy("probabilities")[0], strict=True))
    assert given == pytest.approx(row["probabilities"], abs=1e-6)
    assert result.as_numpy("novelty")[0, 0] == pytest.approx(row["novelty"], rel=1e-6)


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_packed_requests_are_unpacked(
    client: Any, pixels: Pixels, classifier: pawprint.Classifier, packing: str
) -> None:
    for binary in (True, False):
        inputs = asked(pixels[:1], binary)
        result = client.infer("starter", inputs, request_compression_algorithm=packing)
        check(result, pixels[:1], classifier)
        both = {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
        check(client.infer("starter", inputs, **both), pixels[:1], classifier)


def test_one_output_can_be_asked_for(client: Any, pixels: Pixels) -> None:
    for output in wanted(True):
        result = client.infer("starter", asked(pixels), outputs=[output])
        (said,) = result.get_response()["outputs"]
        assert said["name"] == output.name()
        assert result.as_numpy(output.name()).shape[0] == 3


def test_requests_side_by_side_get_their_own_answers(
    served: Any, pixels: Pixels, classifier: pawprint.Classifier
) -> None:
    address = f"{served.host}:{served.port}"
    with triton.InferenceServerClient(address, concurrency=6) as client:
        places = [place % 3 for place in range(30)]
        under_way = [client.async_infer("starter", asked(pixels[[place]])) for place in places]
        for place, one in zip(places, under_way, strict=True):
            check(one.get_result(), pixels[[place]], classifier)


def message(**changed: Any) -> dict[str, Any]:
    """A request of the smallest photo, or what is made of it."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 136, 136, 3], "data": [0]}
    return {"inputs": [{**tensor, **changed}]}


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def with_data(data: bytes) -> bytes:
    return json.dumps(message()).encode().replace(b"[0]", data)


SHAPE = (1, 136, 136, 3)
COUNT = 136 * 136 * 3
BAD: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"photo",
    "no UTF-8": b'{"inputs": "\xff"}',
    "half of it": json.dumps(message()).encode()[:-5],
    "a list": [],
    "a number": 1,
    "nothing said": {},
    "no number": b'{"inputs": NaN}',
    "many digits": b'{"id": ' + b"9" * 10_000 + b"}",
    "nested": nested(100_000),
    "nested objects": b'{"a":' * 100_000,
    "no inputs": {"inputs": []},
    "inputs of another kind": {"inputs": {"image": 1}},
    "two inputs": {"inputs": message()["inputs"] * 2},
    "an id that is no text": {**message(), "id": 17},
    "another name": message(name="photo"),
    "no name": message(name=None),
    "another type": message(datatype="FP32"),
    "type in small letters": message(datatype="uint8"),
    "text": message(datatype="BYTES", data=["cat"]),
    "no shape": message(shape=None),
    "shape of text": message(shape="1,136,136,3"),
    "shape of fractions": message(shape=[1.0, 136, 136, 3]),
    "shape of truths": message(shape=[True, 136, 136, 3]),
    "too few sides": message(shape=[136, 136, 3]),
    "too many sides": message(shape=[1, 1, 136, 136, 3]),
    "channels first": message(shape=[1, 3, 136, 136]),
    "another size": message(shape=[1, 224, 224, 3]),
    "no photo": message(shape=[0, 136, 136, 3], data=[]),
    "less than none": message(shape=[-1, 136, 136, 3]),
    "a shape that overflows": message(shape=[2**62, 136, 136, 3]),
    "too few values": message(data=[0] * (COUNT - 1)),
    "too many values": message(data=[0] * (COUNT + 1)),
    "no values": message(data=None),
    "values by name": message(data={"0": 0}),
    "one value alone": message(data=0),
    "values below": message(data=[-1] * COUNT),
    "values above": message(data=[256] * COUNT),
    "fractions": message(data=[0.5] * COUNT),
    "truths": message(data=[True] * COUNT),
    "words": message(data=["0"] * COUNT),
    "nothings": message(data=[None] * COUNT),
    "values beyond 64 bits": message(data=[2**64] * COUNT),
    "infinities": with_data(b"[Infinity]"),
    "ragged": message(data=[[0, 0], [0]]),
    "nested data": with_data(nested(900)),
    "long words": message(data=["a" * 1_000_000] + [""] * 500_000),  # 2 TB as an array of text
    "other outputs": {**message(), "outputs": [{"name": "logits"}]},
    "outputs of another kind": {**message(data=[0] * COUNT), "outputs": "probabilities"},
    "output of another kind": {**message(data=[0] * COUNT), "outputs": [["probabilities"]]},
    "nameless output": {**message(data=[0] * COUNT), "outputs": [{}]},
    "output with a list for a name": {**message(data=[0] * COUNT), "outputs": [{"name": []}]},
    "parameters of another kind": {**message(data=[0] * COUNT), "parameters": 1},
}


def refused(answer: Any, *codes: str) -> None:
    assert 400 <= answer.status < 500, answer.body
    assert answer.json["code"] in codes
    assert answer.json["error"]


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused(served: Any, case: str) -> None:
    body = BAD[case] if isinstance(BAD[case], bytes) else json.dumps(BAD[case]).encode()
    refused(served.ask("POST", INFER, body), "bad_tensor")
    assert served.ask("GET", "/v2/health/ready").status == 200


def test_words_are_not_made_an_array_of(served: Any) -> None:
    body = json.dumps(message(data=["a" * 1000] + [""] * 100_000)).encode()  # 400 MB as an array
    before = served.metric("process_resident_memory_bytes")
    refused(served.ask("POST", INFER, body), "bad_tensor")
    assert served.metric("process_resident_memory_bytes") - before < 50e6


def test_too_many_photos_are_refused(served: Any) -> None:
    refused(
        served.ask("POST", INFER, json.dumps(message(shape=[33, 136, 136, 3]))), "too_many_files"
    )


def test_much_json_is_refused(served: Any) -> None:
    body = json.dumps(message(data=[0] * 3_000_000)).encode()
    answer = served.ask("POST", INFER, body)
    refused(answer, "body_too_large")
    assert "binary" in answer.json["error"]


BINARY = {"name": "image", "datatype": "UINT8", "shape": list(SHAPE)}
LENGTHS: dict[str, tuple[int | None, str | None, int]] = {
    "too few bytes": (COUNT, None, COUNT - 1),
    "too many bytes": (COUNT, None, COUNT + 1),
    "another number said": (COUNT - 1, None, COUNT),
    "nothing said, too few": (None, None, COUNT - 1),
    "none": (COUNT, None, 0),
    "JSON of no length": (COUNT, "", COUNT),
    "JSON of negative length": (COUNT, "-1", COUNT),
    "JSON of nothing": (COUNT, "0", COUNT),
    "JSON cut": (COUNT, "10", COUNT),
    "JSON longer than all": (COUNT, "1000000", COUNT),
    "JSON of endless length": (COUNT, "9" * 100, COUNT),
    "length in other digits": (COUNT, "\xb2", COUNT),
    "length with an underscore": (COUNT, "1_0", COUNT),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_lengths_that_do_not_agree_are_refused(served: Any, case: str) -> None:
    stated, length, count = LENGTHS[case]
    tensor = {**BINARY, "parameters": {} if stated is None else {"binary_data_size": stated}}
    said = json.dumps({"inputs": [tensor]}).encode()
    shown = str(len(said)) if length is None else length
    headers = {"Inference-Header-Content-Length": shown.encode("latin-1")}
    refused(served.ask("POST", INFER, said + bytes(count), headers), "bad_tensor")


@pytest.mark.parametrize("id", ["", "<b>\r\n", "\ud800", "x" * 10_000])
def test_an_id_is_only_repeated(served: Any, id: str) -> None:
    body = json.dumps({**message(data=[0] * COUNT), "id": id})
    answer = served.ask("POST", INFER, body)
    assert (answer.status, answer.json["id"]) == (200, id)
    assert b"<" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/another/infer",
        "/v2/models/starter/versions/2/infer",
        "/v2/models/../starter/infer",
        "/v2/models/%73tarter%2f/infer",
        "/v2/models//infer",
        "/v2/models/starter/infer/",
    ],
)
def test_another_model_is_not_there(served: Any, path: str) -> None:
    refused(served.ask("POST", path, json.dumps(message(data=[0] * COUNT))), "not_found")


def test_the_client_is_told_why(client: Any, pixels: Pixels) -> None:
    with pytest.raises(triton.InferenceServerException, match="expected one input") as error:
        client.infer("starter", asked(pixels[:, :100]))
    assert error.value.status() == "400"
    many = np.zeros((33, 136, 136, 3), np.uint8)
    with pytest.raises(triton.InferenceServerException, match="more than 32 photos"):
        client.infer("starter", asked(many))
