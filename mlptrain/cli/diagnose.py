"""Command ``mlptrain diagnose``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import Json, NoColor, Quiet, RunsDir
from mlptrain.reporting.diagnosis import render_diagnosis
from mlptrain.reporting.terminal import make_console
from mlptrain.runs.finished import find_run, view_run


def diagnose(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or name of a run.")],
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Diagnose a run by its learning curves and suggest a change."""
    view = view_run(find_run(run, runs_dir))
    found = view.diagnosis
    if not quiet:
        render_diagnosis(view, make_console(sys.stderr if json_output else sys.stdout, no_color=no_color))
    if json_output:
        command = found.command(view.config_file)
        print(json.dumps({"run": str(view.path), **vars(found), "title": found.title, "command": command}))
