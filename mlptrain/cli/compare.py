"""Command ``mlptrain compare``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import RUN_FORMS, DataDir, RunsDir, Threads
from mlptrain.cli.setup import set_threads
from mlptrain.reporting.comparison import comparison_lines
from mlptrain.reporting.terminal import is_terminal, window
from mlptrain.runs.comparison import compare as compare_runs
from mlptrain.system.machine import available_cores
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=f"Two or more runs, each {RUN_FORMS}.")],
    threads: Threads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the settings, metrics and mistakes of runs.

    Runs that differ only in seed have a mean. McNemar's test shows whether two models differ by more than chance.

    Example: mlptrain compare latest best:val_accuracy
    """
    set_threads(threads, available_cores())
    found = compare_runs(runs, runs_dir=runs_dir, data_dir=data_dir)
    if json_output:
        write_lines(sys.stdout, json.dumps(found.plain()))
    else:
        width = window(sys.stdout)[0] if is_terminal(sys.stdout) else 10_000
        write_lines(sys.stdout, *comparison_lines(found, width))
    check_written()
