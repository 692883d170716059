"""Command ``mlptrain export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import Json, Quiet, Run, RunsDir
from mlptrain.cli.setup import print_result
from mlptrain.config.messages import enumerate_words
from mlptrain.reporting.export import EXPORTS, export_run
from mlptrain.system.machine import format_bytes
from mlptrain.system.text import write_lines


def export(
    run: Run,
    format: Annotated[
        str,
        typer.Option("--format", help=f"Format of the file: {enumerate_words(list(EXPORTS), 'or')}.", metavar="FORMAT"),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File or folder to write to.", show_default="the run folder", metavar="PATH"),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as ONNX, NumPy, JSON, or a web page to draw on.

    Example: mlptrain export latest --format html
    """
    path = export_run(run, format, output=output, runs_dir=runs_dir)
    size = path.stat().st_size
    if not quiet:
        write_lines(sys.stderr if json_output else sys.stdout, f"{path}: {format}, {format_bytes(size)}")
    if json_output:
        print_result(json.dumps({"output": str(path), "format": format, "bytes": size}))
