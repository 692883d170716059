"""Command ``mlptrain predict``."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import Json, NoColor, Quiet, RunsDir, threads_option
from mlptrain.cli.setup import set_threads
from mlptrain.errors import UsageError
from mlptrain.reporting.prediction import render_predictions
from mlptrain.reporting.terminal import make_console
from mlptrain.runs import finished


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, name of a run, or model.npz file.")],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="PNG, JPEG, .npy or IDX files; - for standard input."),
    ],
    csv_output: Annotated[
        bool, typer.Option("--csv", help="Print one CSV row per image; other output goes to stderr.")
    ] = False,
    threads: Annotated[int | None, threads_option("1")] = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Classify images of your own handwritten digits.

    Each image is shown as the network sees it, with the probability of each class.
    """
    if json_output and csv_output:
        raise UsageError("--csv: cannot be combined with --json")
    set_threads(threads, 1)
    model = finished.load_model(run, runs_dir=runs_dir)
    predictions = finished.predict(model, images)
    if not quiet:
        console = make_console(sys.stderr if json_output or csv_output else sys.stdout, no_color=no_color)
        render_predictions(predictions, model.class_names, console)
    if json_output:
        rows = [{key: getattr(found, key) for key in ("image", "label", "probabilities")} for found in predictions]
        print(json.dumps({"predictions": rows}))
    if csv_output:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["image", "label", *model.class_names])
        writer.writerows([found.image, found.label, *found.probabilities] for found in predictions)
