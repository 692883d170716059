"""Command ``mlptrain predict``."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mlptrain.cli.options import AugmentCopies, Json, NoColor, Quiet, Run, RunsDir, threads_option
from mlptrain.cli.setup import set_threads, show_found
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.predict import Prediction, Rejection, predict_images
from mlptrain.models.augmentation import copies_augmentation
from mlptrain.reporting.prediction import render_predictions
from mlptrain.reporting.terminal import make_console
from mlptrain.runs import finished
from mlptrain.runs.locate import find_model, locate
from mlptrain.system.streams import check_written
from mlptrain.system.text import csv_cell, csv_line, shell_line, write_lines


def predict(
    run: Run,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="PNG, JPEG, .npy or IDX files; - for standard input."),
    ],
    csv_output: Annotated[
        bool, typer.Option("--csv", help="Print one CSV row per image; other output goes to stderr.")
    ] = False,
    augment: AugmentCopies = None,
    threads: Annotated[int | None, threads_option("1")] = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Classify images of your own handwritten digits.

    Each image is shown as the network sees it, with the probability of each class; with --quiet only its label is. An
    image that cannot be classified has a row with the reason, and the exit code is 3.

    Example: mlptrain predict latest photograph.jpg
    """
    if json_output and csv_output:
        raise UsageError("--csv: cannot be combined with --json")
    set_threads(threads, 1)
    try:
        path = find_model(run, runs_dir)
        model = finished.load_model(path)
    except DataError:
        _check_order(run, images, runs_dir)
        raise
    if augment is not None:
        copies_augmentation(model, augment, str(path))
    predictions = predict_images(model, images, augment)
    if not quiet:
        human = sys.stderr if json_output or csv_output else sys.stdout
        show_found([run], [path], human)
        console = make_console(human, no_color=no_color)
        render_predictions(predictions, model.class_names, console)
    if json_output:
        write_lines(sys.stdout, json.dumps({"predictions": [_row(result) for result in predictions]}))
    elif csv_output:
        write_lines(sys.stdout, csv_line(["image", "label", *map(csv_cell, model.class_names)]))
        for row in map(_row, predictions):
            probabilities = row["probabilities"] or [None] * len(model.class_names)
            write_lines(sys.stdout, csv_line([csv_cell(row["image"]), csv_cell(row["label"] or ""), *probabilities]))
    elif quiet:
        write_lines(sys.stdout, *(row["label"] or "" for row in map(_row, predictions)))
    check_written()
    errors = [result.error for result in predictions if isinstance(result, Rejection)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        reasons = "".join(f"\n  {str(error).splitlines()[0]}" for error in errors)
        raise DataError(f"{len(errors)} of {len(predictions)} images cannot be classified{reasons}")


def _row(result: Prediction | Rejection) -> dict[str, Any]:
    """Return a row of the JSON output."""
    if isinstance(result, Rejection):
        error = str(result.error).splitlines()[0]
        return {"image": result.image, "label": None, "probabilities": None, "warning": None, "error": error}
    found = {key: getattr(result, key) for key in ("image", "label", "probabilities")}
    return found | {"warning": result.warning or None, "error": None}


def _check_order(run: str, images: list[str], runs_dir: Path) -> None:
    """Raise UsageError if the last of ``images`` is a run, so that ``run`` must be an image."""
    *others, last = images
    with suppress(DataError):
        if locate(last, runs_dir).is_dir():
            swapped = shell_line(["mlptrain", "predict", last, run, *others])
            raise UsageError(f"{last}: a run, where an image is expected\nhint: name the run first: {swapped}")
