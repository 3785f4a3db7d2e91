"""`/openapi.json` is true: requests made up from it are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import positive_data_acceptance  # noqa: E402

OPERATIONS = (
    "GET /metrics",
    "GET /model",
    "GET /v2",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/models/{name}",
    "GET /v2/models/{name}/ready",
    "GET /v2/models/{name}/versions/{version}",
    "GET /v2/models/{name}/versions/{version}/ready",
    "POST /predict",
    "POST /v2/models/{name}/infer",
    "POST /v2/models/{name}/versions/{version}/infer",
)
ASKED = tuple(label for label in OPERATIONS if label.startswith("POST"))
BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # what fails is not made smaller, which takes long
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described(served: Any) -> Any:
    """What the service says of itself."""
    return schemathesis.openapi.from_url(f"{served.address}openapi.json")


def ask_all(described: Any, label: str, mode: Any, **fixed: Any) -> None:
    """Make requests up, and check each answer in every way that the tester knows, but one.

    That one asks that all bytes are a photo, and any list of numbers the network's input.
    """
    method, path = label.split()

    @BOUNDED
    @given(case=described[path][method].as_strategy(generation_mode=mode, **fixed))
    def ask(case: Any) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance], timeout=60)

    ask()


def test_every_route_is_described(described: Any) -> None:
    found = [operation.ok().label for operation in described.get_all_operations()]
    assert sorted(found) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_is_as_described_is_answered_as_described(described: Any, label: str) -> None:
    ask_all(described, label, GenerationMode.POSITIVE)


@pytest.mark.parametrize("label", ASKED)
def test_what_is_not_as_described_is_refused_as_described(described: Any, label: str) -> None:
    ask_all(described, label, GenerationMode.NEGATIVE)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_model_that_is_there_answers_as_described(described: Any, mode: Any) -> None:
    here = {"name": "starter", "version": "1"}
    ask_all(
        described, "POST /v2/models/{name}/versions/{version}/infer", mode, path_parameters=here
    )


@pytest.mark.parametrize("heatmap", [True, False])
def test_the_answer_for_a_photo_is_as_described(
    described: Any, photo: bytes, heatmap: bool
) -> None:
    operation = described["/predict"]["POST"]
    for kind in ("image/jpeg", "application/octet-stream"):
        case = operation.Case(body=photo, media_type=kind, query={"heatmap": str(heatmap).lower()})
        assert case.call_and_validate(timeout=60).status_code == 200
    form = operation.Case(body={"photos": [photo, b"none"]}, media_type="multipart/form-data")
    rows = form.call_and_validate(timeout=60).json()["predictions"]
    assert [row["error"] is None for row in rows] == [True, False]
