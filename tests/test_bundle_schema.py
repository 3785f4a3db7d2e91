"""The published JSON schema of `pawprint.json` is what is written, and says what is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pawprint import bundle

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "docs" / "bundle.schema.json"
KEPT = sorted((ROOT / "tests" / "fixtures").glob("bundle-*"))


@pytest.fixture(scope="module")
def validator() -> Any:
    """Somebody else's reading of the schema."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    made = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def card_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model" / bundle.CARD).read_text("utf-8"))
    return found


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def test_the_schema_in_the_documents_is_the_cards() -> None:
    written = json.dumps(bundle.schema(), indent=2) + "\n"
    assert SCHEMA.read_text("utf-8") == written, "run scripts/schema"


def test_the_schema_describes_every_field_and_asks_for_it() -> None:
    schema = bundle.schema()
    assert set(schema["$defs"]) == {"Preprocessing", "Unknown", "FileFacts"}
    for part in parts(schema):
        assert len(part["properties"]) >= 2
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
        for text in (part, *part["properties"].values()):
            assert len(text["description"]) > 5
            assert "\n" not in text["description"]
            assert ">>>" not in text["description"]


def test_the_page_on_the_bundle_names_every_field() -> None:
    text = (ROOT / "docs" / "bundle.md").read_text("utf-8")
    fields = {name for part in parts(bundle.schema()) for name in part["properties"]}
    assert {"seal", "policy", "refused", "sha256"} <= fields
    assert [name for name in sorted(fields) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_the_cards_that_are_kept_are_valid(validator: Any, kept: Path) -> None:
    assert [error.message for error in validator.iter_errors(card_of(kept))] == []


def test_a_card_that_is_written_now_is_valid(validator: Any, own_bundle: Path) -> None:
    card = json.loads((own_bundle / bundle.CARD).read_text("utf-8"))
    assert [error.message for error in validator.iter_errors(card)] == []


@pytest.mark.parametrize("name", list(bundle.Card.model_fields))
def test_a_card_without_one_of_its_fields_is_not_valid(validator: Any, name: str) -> None:
    card = card_of(KEPT[0])
    del card[name]
    assert not validator.is_valid(card)


WRONG = {
    "schema_version": 2,
    "classes": ["one"],
    "preprocessing": {"size": 8, "policy": "squash"},
    "decoding": 0,
    "threshold": 1,
    "mirror": 2,
    "temperature": 0,
    "unknown": {"threshold": 1.0},
    "created": 2026,
    "versions": {"python": 3},
    "files": {"model.onnx": {"sha256": "00", "bytes": 1}},
    "seal": "A" * 64,
    "more": 1,
}


@pytest.mark.parametrize("name", list(WRONG))
def test_schema_and_reader_refuse_the_same_values(validator: Any, name: str) -> None:
    card = card_of(KEPT[0]) | {name: WRONG[name]}
    assert not validator.is_valid(card)
    if name != "schema_version":  # which `bundle.read` looks at
        with pytest.raises(ValueError, match=name):
            bundle.Card.model_validate_json(json.dumps(card))


@pytest.mark.parametrize("name", ["../model.onnx", "/dev/null", "a\\b", "a\nb", "a\0b", ""])
def test_a_file_outside_the_folder_cannot_be_listed(validator: Any, name: str) -> None:
    card = card_of(KEPT[0])
    card["files"][name] = card["files"]["model.onnx"]
    assert not validator.is_valid(card)
    with pytest.raises(ValueError, match="files"):
        bundle.Card.model_validate_json(json.dumps(card))
