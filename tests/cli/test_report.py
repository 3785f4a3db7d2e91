"""`pawprint report`: where the page is, and what is said of what is no run."""

from __future__ import annotations


def test_it_tells_where_the_page_is(cli, run, tmp_path):
    ran = cli("report", run.path, "--out", tmp_path / "page.html")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'page.html'}\n")
    assert "<h1>photos</h1>" in (tmp_path / "page.html").read_text("utf-8")


def test_what_is_no_run_is_refused(cli, tmp_path):
    ran = cli("report", tmp_path)
    assert ran.code == 1
    assert "has no run.json; expected a run" in ran.err
    assert list(tmp_path.iterdir()) == []
