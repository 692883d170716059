"""Command ``mlptrain diagnose``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlptrain.cli.options import Json, NoColor, Quiet, Run, RunsDir
from mlptrain.reporting.diagnosis import render_diagnosis
from mlptrain.reporting.terminal import make_console
from mlptrain.runs.finished import view_run
from mlptrain.runs.locate import find_run
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def diagnose(
    run: Run,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Diagnose a run by its curves and layers and suggest a change.

    Example: mlptrain diagnose latest
    """
    view = view_run(find_run(run, runs_dir))
    found = view.diagnosis
    if not quiet:
        render_diagnosis(view, make_console(sys.stderr if json_output else sys.stdout, no_color=no_color))
    if json_output:
        command = found.command(view.config_file)
        write_lines(
            sys.stdout, json.dumps({"run": str(view.path), **vars(found), "title": found.title, "command": command})
        )
    check_written()
