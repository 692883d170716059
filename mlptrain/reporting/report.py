"""The file of a report: the page of a run or of a sweep, written into its folder."""

from __future__ import annotations

from pathlib import Path

from mlptrain.reporting.page import run_page
from mlptrain.reporting.sweep_page import sweep_page
from mlptrain.runs.finished import view_run
from mlptrain.runs.locate import find_run, is_sweep, locate
from mlptrain.sweeps.finished import view_sweep
from mlptrain.system.files import make_folder, write_text_atomic

REPORT = "report.html"


def write_report(name: str, runs_dir: Path, data_dir: Path, output: Path | None) -> tuple[Path, Path]:
    """Write the page of a run or a sweep, by default into its folder; return that folder and the path of the page.

    Raises
    ------
    DataError
        The folder or its data is missing or damaged, or the page cannot be written.
    """
    folder = locate(name, runs_dir)
    if is_sweep(folder):
        page = sweep_page(view_sweep(folder), data_dir)
    else:
        page = run_page(view_run(find_run(folder)), data_dir)
    path = folder / REPORT if output is None else output
    make_folder(path.parent, "choose another --output")
    write_text_atomic(path, page)
    return folder, path
