"""Command ``mlptrain runs``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import RunsDir
from mlptrain.errors import UsageError
from mlptrain.reporting.listing import csv_rows, listing_lines
from mlptrain.reporting.terminal import is_terminal, window
from mlptrain.reporting.text import counted
from mlptrain.runs.listing import list_runs
from mlptrain.runs.selection import order, select
from mlptrain.system.streams import check_written
from mlptrain.system.text import csv_line, write_lines


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="Folder of runs, or a sweep whose trials are listed.", show_default="--runs-dir"
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option("--sort", help="Config key, metric, name, kind, state or started; the best first.", metavar="KEY"),
    ] = "started",
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="List only the runs with this config value or metric, or with one from LOW to HIGH; repeatable.",
            metavar="KEY=VALUE|KEY=LOW..HIGH",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Number of rows to list.", show_default="all", metavar="N")
    ] = None,
    csv_output: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    runs_dir: RunsDir = Path("runs"),
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List runs and sweeps with their state, metrics and differences.

    Example: mlptrain runs --where learning_rate=0.1..0.5 --sort val_accuracy --limit 10
    """
    if csv_output and json_output:
        raise UsageError("--csv and --json cannot be combined")
    directory = folder or runs_dir
    if folder is not None and not folder.is_dir() and (runs_dir / folder).is_dir():
        directory = runs_dir / folder
    found = order(select(list_runs(directory), where or ()), sort, reverse=reverse)
    shown = found[:limit]
    if json_output:
        lines = [json.dumps({"runs": [row.plain() for row in shown]})]
    elif csv_output:
        lines = [csv_line(cells) for cells in csv_rows(shown)]
    elif shown:
        lines = listing_lines(shown, window(sys.stdout)[0] if is_terminal(sys.stdout) else 10_000)
        lines += [f"{counted(len(found) - len(shown), 'more row')}"] if len(found) > len(shown) else []
    else:
        lines = [f"{directory}: no run{' with these values' if where else ''}"]
    write_lines(sys.stdout, *lines)
    check_written()
