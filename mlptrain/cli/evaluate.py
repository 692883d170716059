"""Command ``mlptrain eval``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mlptrain.cli.options import RUN_FORMS, AugmentCopies, DataDir, Json, MinAccuracy, NoColor, Quiet, RunsDir, Threads
from mlptrain.cli.setup import set_threads, show_found
from mlptrain.config.messages import enumerate_words
from mlptrain.errors import AccuracyError
from mlptrain.reporting.evaluation import render_evaluation
from mlptrain.reporting.terminal import make_console
from mlptrain.runs.finished import SPLITS, evaluate_runs
from mlptrain.runs.locate import find_model
from mlptrain.system.machine import available_cores
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def evaluate(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=f"Runs, each {RUN_FORMS}.")],
    split: Annotated[
        str, typer.Option("--split", help=f"Split to use: {enumerate_words(SPLITS, 'or')}.", metavar="SPLIT")
    ] = "test",
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Dataset or folder of IDX files to use instead.", metavar="NAME|DIR"),
    ] = None,
    confusion: Annotated[bool, typer.Option("--confusion", help="Print the confusion matrix too.")] = False,
    mistakes: Annotated[
        int, typer.Option("--mistakes", min=0, help="Show the N most confident mistakes.", metavar="N")
    ] = 0,
    augment: AugmentCopies = None,
    min_accuracy: MinAccuracy = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Measure the loss and accuracy of trained networks.

    Precision, recall and F1 are shown per class. The outputs of several runs are averaged. With --augment the loss and
    accuracy of outputs averaged over deformed copies are shown too.

    Example: mlptrain eval latest --split validation --confusion
    """
    set_threads(threads, available_cores())
    paths = [find_model(run, runs_dir) for run in runs]
    result = evaluate_runs(paths, part=split, dataset=dataset, data_dir=data_dir, mistakes=mistakes, augment=augment)
    human = sys.stderr if json_output else sys.stdout
    if not quiet:
        show_found(runs, paths, human)
        console = make_console(human, no_color=no_color)
        render_evaluation(result, console, confusion=confusion)
    if json_output:
        names = [str(path) for path in paths]
        metrics: dict[str, Any] = {
            "run": names[0] if len(names) == 1 else names,
            "split": result.split,
            "loss": result.loss,
            "accuracy": result.accuracy,
            "per_class": [vars(row) for row in result.per_class],
            "confusion": result.confusion,
        }
        if mistakes:
            keys = ("index", "truth", "guess", "confidence")
            metrics["mistakes"] = [{key: getattr(mistake, key) for key in keys} for mistake in result.mistakes]
        if result.augmented is not None:
            metrics["augmented"] = vars(result.augmented)
        write_lines(sys.stdout, json.dumps(metrics))
    check_written()
    if min_accuracy is not None and result.accuracy < min_accuracy:
        limit = f"is below --min-accuracy {min_accuracy:g}"
        raise AccuracyError(f"{', '.join(map(str, paths))}: {result.split} accuracy {result.accuracy:.4f} {limit}")
