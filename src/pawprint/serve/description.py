"""What `/openapi.json` says of the routes, with examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from pawprint.serve.refusals import CODES

ABOUT = (
    "A trained image classifier. Send photos to `/predict`; `/v2` is the Open Inference Protocol "
    "for clients that send pixels."
)


class Row(BaseModel):
    """The answer for one photo, as `pawprint predict --json` prints it."""

    path: str = Field(description="the file's name, as it was sent")
    label: str | None = Field(
        description="the class; `unknown` for a photo too unlike those trained on; null where it "
        "could not be read"
    )
    probability: float | None = Field(description="of that class; null where there is none")
    probabilities: dict[str, float] = Field(description="of every class, by name")
    novelty: float | None = Field(description="how unlike the photos trained on")
    error: str | None = Field(description="why there is no answer, or null")
    heatmap: str | None = Field(
        default=None,
        description="with heatmap=true: the data address of a JPEG that shows what it rests on",
    )


class Predictions(BaseModel):
    """The answers, in the order of the photos."""

    predictions: list[Row]


class Error(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="what happened, what was expected and what to do")
    code: str = Field(description="stable; one of " + ", ".join(CODES))
    predictions: list[Row] = Field(
        default=[], description="with the code `unreadable`: why, photo by photo"
    )


class About(BaseModel):
    """The model that is served, and the service's limits."""

    name: str
    classes: list[str]
    size: int = Field(description="height and width of the network's input, in pixels")
    unknown: bool = Field(description="whether it can say that a photo is of no class")
    heatmap: bool = Field(description="whether it has heat-maps")
    formats: str = Field(description="of photos that are read")
    version: str
    token: bool = Field(description="whether a bearer token is asked for")
    limits: dict[str, float]


_DOG = {
    "path": "rex.jpg",
    "label": "dog",
    "probability": 0.9995,
    "probabilities": {"cat": 0.0005, "dog": 0.9995},
    "novelty": 0.41,
    "error": None,
}
_UNREADABLE: dict[str, Any] = {
    "path": "notes.txt",
    "label": None,
    "probability": None,
    "probabilities": {},
    "novelty": None,
    "error": "it is no image that can be read; expected JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF",
}
_BYTES = {"type": "string", "format": "binary"}


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route refuses, by status."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 401, 404, 405, 408, 431, 500, 503):
        codes = [code for code, of in CODES.items() if of == status]
        found[status] = {"model": Error, "description": " or ".join(codes)}
    found[503]["headers"] = {
        "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
    }
    return found


def _json(example: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example}}}


_REFUSALS = (400, 403, 413, 415)

PREDICT: dict[str, Any] = {
    "summary": "Say what is on photos",
    "description": "One photo as the body, or many as the files of a form. A photo that cannot be "
    "read has its reason in its row; where none can, the status is 422.",
    "response_model": Predictions,
    "responses": {
        200: _json({"predictions": [_DOG, _UNREADABLE]}),
        **_answers(*_REFUSALS, 422),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "image/jpeg": {"schema": _BYTES},
                "image/png": {"schema": _BYTES},
                "application/octet-stream": {"schema": _BYTES},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {"photos": {"type": "array", "items": _BYTES}},
                        "required": ["photos"],
                    }
                },
            },
        }
    },
}

_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}

INFER: dict[str, Any] = {
    "summary": "Ask the network itself",
    "description": "Open Inference Protocol: pixels in, probabilities out, as JSON or with the "
    "binary tensor extension.",
    "responses": {
        200: {
            **_json(
                {
                    "model_name": "starter",
                    "model_version": "1",
                    "outputs": [
                        {
                            "name": "probabilities",
                            "datatype": "FP32",
                            "shape": [1, 2],
                            "data": [0.0005, 0.9995],
                        }
                    ],
                }
            )
        },
        **_answers(*_REFUSALS),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["inputs"],
                        "properties": {
                            "id": {"type": "string"},
                            "inputs": {"type": "array", "items": _TENSOR},
                            "outputs": {"type": "array", "items": {"type": "object"}},
                        },
                    }
                },
                "application/octet-stream": {"schema": _BYTES},
            },
        }
    },
}

PROTOCOL: dict[str, Any] = {"tags": ["Open Inference Protocol"], "responses": _answers()}
MODEL: dict[str, Any] = PROTOCOL
READY: dict[str, Any] = {
    **PROTOCOL,
    "responses": {**_answers(), 503: {"description": "not, or not any more"}},
}
ABOUT_MODEL: dict[str, Any] = {
    "summary": "What is served, and its limits",
    "response_model": About,
    "responses": _answers(),
}
METRICS: dict[str, Any] = {
    "summary": "Figures for Prometheus",
    "responses": {200: {"content": {"text/plain": {}}}, **_answers()},
}
