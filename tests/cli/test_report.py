"""`pawprint report`: where the page is, what is on it, and what is said of what is no run."""

from __future__ import annotations

import json
import re
import shlex


def test_it_tells_where_the_page_is(cli, run, tmp_path):
    ran = cli("report", run.path, "--out", tmp_path / "page.html")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'page.html'}\n")
    assert "<h1>photos</h1>" in (tmp_path / "page.html").read_text("utf-8")


def plots_of(page):
    """By name, the plots of a page: what is said of each, and its SVG."""
    found = re.findall(r'<img src="(data:image/svg[^"]+)" alt="([^:"]+):([^"]+)"', page)
    return {name: (told, svg) for svg, name, told in found}


def test_a_run_that_was_to_draw_nothing_has_its_page_later(cli, run, photos, recipe, tmp_path):
    out = tmp_path / "my run"
    ran = cli("train", photos, "--recipe", recipe, "--out", out, "--no-report")
    assert (ran.code, "report.html" in ran.out) == (0, False)
    assert f"\n  pawprint report {shlex.quote(str(out))}\n" in ran.out
    left = {path.name for path in run.path.iterdir()} - {path.name for path in out.iterdir()}
    assert left == {"plots", "report.html"}
    record = json.loads((out / "run.json").read_text("utf-8"))
    assert record.keys() == run.record.keys()
    assert run.record["seconds"].keys() - record["seconds"].keys() == {"plots"}

    ran = cli("report", out)
    assert (ran.code, ran.out) == (0, f"{out / 'report.html'}\n")
    drawn, whole = (plots_of((at / "report.html").read_text("utf-8")) for at in (out, run.path))
    assert len(whole) == 4
    assert {name: told for name, (told, _) in drawn.items()} == {
        name: told for name, (told, _) in whole.items()
    }
    for name in ("Reliability", "Strength of the head"):  # the others are of rounded numbers
        assert drawn[name] == whole[name]
    assert not (out / "plots").exists()


def test_what_is_no_run_is_refused(cli, tmp_path):
    ran = cli("report", tmp_path)
    assert ran.code == 1
    assert "has no run.json; expected a run" in ran.err
    assert list(tmp_path.iterdir()) == []
