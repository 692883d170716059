"""Command ``mlptrain plot``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import RUN_FORMS, DataDir, Json, Quiet, RunsDir, Threads
from mlptrain.cli.setup import print_result, set_threads
from mlptrain.datasets.dataset import data_folder
from mlptrain.system.extras import require_extra
from mlptrain.system.machine import available_cores
from mlptrain.system.text import write_lines


def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=f"A sweep, or runs: each {RUN_FORMS}.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder, or for one plot a .png or .svg file.", show_default="RUN/plots", metavar="PATH"
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Format of the files: png or svg.", metavar="FORMAT")] = "png",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Draw only this plot; repeatable. Of a run: curves, layers, confusion, weights, activations, mistakes "
            "or calibration. Of a sweep: parameters, parallel or rate_by_batch.",
            metavar="NAME",
        ),
    ] = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw the plots of a run, of several runs, or of a sweep.

    A run has learning curves, statistics of layers, a confusion matrix, weights, activations, mistakes, calibration.
    The learning curves of several runs share one plot.

    Example: mlptrain plot latest --only curves --format svg
    """
    require_extra("matplotlib", "plots", "plot")
    from mlptrain.reporting.gallery import plots_of, write_plots

    set_threads(threads, available_cores())
    folder, plots = plots_of(runs, runs_dir, data_folder(data_dir))
    written, left_out = write_plots(plots, folder, output, form, only or [])
    human = sys.stderr if json_output else sys.stdout
    if not quiet:
        for reason in dict.fromkeys(plot.caption for plot in left_out):
            names = ", ".join(plot.name for plot in left_out if plot.caption == reason)
            write_lines(human, f"not drawn: {names}. {reason}")
        write_lines(human, *map(str, written))
    if json_output:
        print_result(json.dumps({"run": str(folder), "pictures": [str(path) for path in written]}))
