"""The functions `mlptrain.plot`, `mlptrain.report` and `mlptrain.diagnose`, for runs and sweeps that have been trained.

They load matplotlib when they are called, because it is optional.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.datasets.dataset import data_folder
from mlptrain.runs.diagnosis import Diagnosis
from mlptrain.runs.finished import view_run
from mlptrain.runs.locate import Run, find_run
from mlptrain.runs.train import TrainResult
from mlptrain.system.extras import require_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    runs: Run | Sequence[Run],
    name: str | None = None,
    *,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
) -> Figure:
    """Return a plot of a run, of several runs or of a sweep as a figure, which notebooks display.

    ``figure.savefig`` writes it to a file.

    Parameters
    ----------
    runs, runs_dir
        A run or a sweep, or a list of runs, which share a plot of their learning curves: each a path, a name under
        ``runs_dir``, ``latest``, ``best:METRIC``, or a result with a folder.
    name
        Of a run: curves, layers, confusion, weights, activations, mistakes or calibration. Of a sweep: parameters,
        parallel or rate_by_batch. By default the first that can be drawn.
    data_dir
        Folder of the datasets.

    Raises
    ------
    UsageError
        The name is unknown, a result has no folder, a sweep is combined with another folder, or matplotlib is missing.
    DataError
        A run or its data is missing or damaged, or there is nothing to draw.
    """
    require_extra("matplotlib", "plots", "plot")
    from mlptrain.reporting.gallery import plots_of, select_plots
    from mlptrain.reporting.plots.style import drawn

    folder, plots = plots_of(_several(runs), runs_dir, data_folder(data_dir))
    selected = select_plots(plots, folder, [] if name is None else [name])
    return next(drawn(each.draw, (each.title, each.caption)) for each in selected if each.draw is not None)


def report(
    runs: Run | Sequence[Run],
    *,
    output: str | Path | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
) -> Path:
    """Write a self-contained HTML page about a run or a sweep, or one that compares runs, and return its path.

    Parameters
    ----------
    runs, runs_dir, data_dir
        Those of `plot`.
    output
        File to write; by default ``report.html``, or ``comparison.html`` of several runs, in the folder of the first.

    Raises
    ------
    UsageError
        A result has no folder, a sweep is combined with another folder, or matplotlib is missing.
    DataError
        A run or its data is missing or damaged, or the page cannot be written.
    """
    require_extra("matplotlib", "plots", "report")
    from mlptrain.reporting.report import write_report

    _, path = write_report(_several(runs), runs_dir, data_folder(data_dir), output)
    return path


def diagnose(run: Run, *, runs_dir: str | Path = "runs") -> Diagnosis:
    """Diagnose a run by its learning curves and layers.

    ``run`` is a path, a name under ``runs_dir``, ``latest``, ``best:METRIC``, or the result of training, which needs no
    folder.

    Raises
    ------
    UsageError, DataError
        It is a sweep, or missing or damaged.
    """
    return run.diagnosis if isinstance(run, TrainResult) else view_run(find_run(run, runs_dir)).diagnosis


def _several(runs: Run | Sequence[Run]) -> Sequence[Run]:
    return [runs] if isinstance(runs, str) or not isinstance(runs, Sequence) else runs
