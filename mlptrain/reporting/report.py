"""The file of a report: the page of a run or of a sweep, or one that compares runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlptrain.reporting.comparison_page import comparison_page
from mlptrain.reporting.gallery import views_of
from mlptrain.reporting.page import run_page
from mlptrain.reporting.sweep_page import sweep_page
from mlptrain.runs.comparison import compare
from mlptrain.runs.locate import Run
from mlptrain.sweeps.finished import SweepView
from mlptrain.system.files import make_folder, write_text_atomic

REPORT, COMPARISON = "report.html", "comparison.html"


def write_report(
    runs: Sequence[Run], runs_dir: str | Path, data_dir: Path, output: str | Path | None
) -> tuple[Path, Path]:
    """Write the page of a run, a sweep or several runs, by default into the folder of the first.

    Return that folder and the path of the page.

    Raises
    ------
    DataError, UsageError
        A folder or its data is missing or damaged, a sweep is combined with another folder, or the page cannot be
        written.
    """
    match views_of(runs, runs_dir):
        case SweepView() as view:
            folder, page = view.path, sweep_page(view, data_dir)
        case [view]:
            folder, page = view.path, run_page(view, data_dir)
        case views:
            compared = compare([view.path for view in views], data_dir=data_dir)
            folder, page = views[0].path, comparison_page(views, compared)
    path = folder / (REPORT if len(runs) == 1 else COMPARISON) if output is None else Path(output)
    make_folder(path.parent, "choose another --output")
    write_text_atomic(path, page)
    return folder, path
