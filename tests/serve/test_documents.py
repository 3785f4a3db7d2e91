"""What docs/serving.md and the Dockerfile promise is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pawprint.serve.refusals import CODES
from pawprint.serve.settings import MIB, Settings

ROOT = Path(__file__).parents[2]
SERVING = (ROOT / "docs" / "serving.md").read_text("utf-8")


def test_every_code_is_told_with_its_status() -> None:
    told = re.findall(r"^\| `(\w+)` \| ([0-9]{3}) \|", SERVING, re.MULTILINE)
    assert {code: int(status) for code, status in told} == {
        code: status.value for code, status in CODES.items()
    }


def test_the_limits_told_are_the_defaults() -> None:
    settings = Settings(model="", name="")
    assert f"`--max-body`, {settings.body_bytes // MIB} MiB" in SERVING
    assert f"`--max-files`, {settings.files}; {settings.fields}" in SERVING
    assert f"`--max-megapixels`, {settings.pixels / 1e6:g};" in SERVING
    assert f"{settings.patience:g} s for the head" in SERVING
    assert f"| {settings.connections:,} |" in SERVING


def test_the_paths_told_are_there(served: Any) -> None:
    described = set(served.ask("GET", "/openapi.json").json["paths"])
    for path in re.findall(r"`(?:GET |POST )?(/[a-z0-9/.NAME]*)`", SERVING):
        found = path.replace("NAME", "{name}")
        assert found in described or served.ask("GET", path).status == 200, path


def test_the_image_has_no_framework_and_no_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8")
    assert "'.[serve]'" in lines
    assert re.search(r"^USER (?!root|0)", lines, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n?.*", lines, re.MULTILINE)
    assert "/v2/health/ready" in lines
    for needed in re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.MULTILINE):
        for name in needed.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines(), name
