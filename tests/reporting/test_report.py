from __future__ import annotations

from pathlib import Path

from mlptrain.reporting.report import write_report
from tests.reporting.made_runs import run, sweep


def test_pages_are_written_to_the_run_by_default(tmp_path: Path) -> None:
    folder = run(tmp_path, "a")
    assert write_report(["a"], tmp_path / "runs", tmp_path, None) == (folder, folder / "report.html")
    board, path = write_report([str(sweep(tmp_path))], tmp_path / "runs", tmp_path, tmp_path / "new/page.html")
    assert board.name == "sweep" and path == tmp_path / "new/page.html"
    for page in (folder / "report.html", path):
        text = page.read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
