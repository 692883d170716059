"""Command ``mlptrain report``."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import RUN_FORMS, DataDir, Json, Quiet, RunsDir, Threads
from mlptrain.cli.setup import print_result, set_threads
from mlptrain.datasets.dataset import data_folder
from mlptrain.system.extras import require_extra
from mlptrain.system.machine import available_cores
from mlptrain.system.text import write_lines, write_message


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=f"A sweep, or runs: each {RUN_FORMS}.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="File to write.",
            show_default="report.html, of several runs comparison.html, in the folder of the first",
            metavar="PATH",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    threads: Threads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a self-contained HTML page about runs or a sweep.

    It contains the plots, metrics, diagnosis, config and environment, and the command that repeats the run.
    The page of several runs has what differs between their configs, their metrics, curves and diagnoses.

    Example: mlptrain report latest --open
    """
    require_extra("matplotlib", "plots", "report")
    from mlptrain.reporting.report import write_report

    set_threads(threads, available_cores())
    folder, path = write_report(runs, runs_dir, data_folder(data_dir), output)
    if not quiet:
        write_lines(sys.stderr if json_output else sys.stdout, str(path))
    if json_output:
        print_result(json.dumps({"run": str(folder), "report": str(path)}))
    if open_page and not webbrowser.open(path.resolve().as_uri()):
        write_message(f"{path}: no web browser found\nhint: open the file in a browser, or set BROWSER to a program")
