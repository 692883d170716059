"""Command ``mlptrain watch``."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer

from mlptrain.cli.options import RUN_FORMS, Json, NoColor, Quiet, RunsDir
from mlptrain.cli.setup import print_result
from mlptrain.errors import DataError, DivergedError, TrialsError, UsageError
from mlptrain.reporting.reporter import QuietReporter, Reporter
from mlptrain.reporting.sweep import list_failed, make_sweep_reporter
from mlptrain.reporting.text import counted
from mlptrain.reporting.watch import make_watch_reporter
from mlptrain.runs.files import is_run
from mlptrain.runs.listing import OTHER, list_runs, read_row
from mlptrain.runs.locate import locate
from mlptrain.runs.status import COMPLETE, DIVERGED, RUNNING, STALE
from mlptrain.runs.train import run_command
from mlptrain.runs.watch import RunEnd, RunFound, watch_run
from mlptrain.sweeps.reports import SweepReport, SweepStart
from mlptrain.sweeps.trials import Result
from mlptrain.sweeps.watch import SweepStop, watch_sweep
from mlptrain.system.text import shell_word
from mlptrain.training.reports import Report


def watch(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help=f"Run or sweep: {RUN_FORMS}.", show_default="the newest, running ones first"
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show the statistics of each layer after every epoch.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show a run or a sweep while another process trains it.

    Example: mlptrain watch hidden-001
    """
    path = _newest(runs_dir) if run is None else _find(run, runs_dir)
    human = sys.stderr if json_output else sys.stdout
    failed: tuple[Result, ...] = ()
    if is_run(path):
        _watch_run(path, runs_dir, human, layers=layers, quiet=quiet, no_color=no_color)
    else:
        failed = _watch_sweep(path, runs_dir, human, quiet=quiet, no_color=no_color)
    if json_output:
        print_result(json.dumps(read_row(path).plain()))
    if failed:
        raise TrialsError(f"{path}: {counted(len(failed), 'trial')} failed: {list_failed(failed)}")


def _newest(runs_dir: Path) -> Path:
    rows = [row for row in list_runs(runs_dir) if row.kind != OTHER]
    if not rows:
        raise DataError(f"{runs_dir}: no run\nhint: train one, or name another folder of runs with --runs-dir")
    return next((row.path for row in rows if row.state == RUNNING), rows[0].path)


def _find(run: str, runs_dir: Path) -> Path:
    """Return the folder that RUN means; it may also contain only shards, or the trials of a job array."""
    for path in (Path(run), runs_dir / run):
        with suppress(OSError):  # a name that is too long, for one
            if path.is_dir() and read_row(path).kind != OTHER:
                return path
    path = locate(run, runs_dir)
    if path.is_file():
        raise UsageError(f"{path}: a file, which does not change\nhint: name the folder of a run")
    return path


def _watch_run(path: Path, runs_dir: Path, stream: TextIO, *, layers: bool, quiet: bool, no_color: bool) -> None:
    """Show a run until it ends.

    Raises
    ------
    DataError, DivergedError
        It did not end well, or its folder is gone.
    """
    reporter: Reporter[Report] = QuietReporter()
    try:
        for report in watch_run(path, layers=layers):
            if isinstance(report, RunFound):
                reporter.close()
                reporter = make_watch_reporter(report, stream, quiet=quiet, no_color=no_color)
            elif isinstance(report, RunEnd):
                end = report
            else:
                reporter.show(report)
    finally:
        reporter.close()
    if end.state is None:
        raise DataError(f"{path}: the folder was deleted or moved")
    if end.state == DIVERGED:
        raise DivergedError(
            f"{path}: training diverged in epoch {end.epochs + 1}; see `mlptrain diagnose {shell_word(str(path))}`"
        )
    if end.state != COMPLETE:
        folder = runs_dir if path.is_relative_to(runs_dir) else path.parent
        how = "killed" if end.state == STALE else "stopped"
        raise DataError(
            f"{path}: the run was {how} after {counted(end.epochs, 'epoch')}\n"
            f"hint: resume with: {run_command(path, folder)}"
        )


def _watch_sweep(path: Path, runs_dir: Path, stream: TextIO, *, quiet: bool, no_color: bool) -> tuple[Result, ...]:
    """Show a sweep until it ends, and return its failed trials."""
    reporter: Reporter[SweepReport] = QuietReporter()
    try:
        for report in watch_sweep(path, runs_dir):
            if isinstance(report, SweepStart):
                reporter.close()
                reporter = make_sweep_reporter(stream, quiet=quiet, no_color=no_color)
            if isinstance(report, SweepStop):
                stop = report
            else:
                reporter.show(report)
    finally:
        reporter.close()
    if stop.state is None:
        raise DataError(f"{path}: the folder was deleted or moved")
    if stop.state != COMPLETE:
        total = "" if stop.total is None else f" of {stop.total}"
        how = "killed" if stop.state == STALE else "stopped"
        hints = [f"\nhint: resume with: {command}" for command in stop.commands]
        raise DataError(f"{path}: the sweep was {how} with {stop.done}{total} trials done{''.join(hints)}")
    return stop.failed
