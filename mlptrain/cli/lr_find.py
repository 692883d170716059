"""Command ``mlptrain lr-find``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mlptrain.cli.options import ConfigArguments, DataDir, Json, NoColor, Quiet, TrainThreads
from mlptrain.cli.setup import read_config, set_threads, training_threads
from mlptrain.reporting.lrfind import render_range_test
from mlptrain.reporting.terminal import make_console
from mlptrain.runs import job
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines
from mlptrain.training.lrfind import STEPS


def lr_find(
    arguments: ConfigArguments = None,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Number of batches in the test.", metavar="N")] = STEPS,
    threads: TrainThreads = None,
    data_dir: DataDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Suggest a learning rate after a short range test.

    The test raises the learning rate from batch to batch until the loss rises. Nothing is saved.

    Example: mlptrain lr-find quickstart --steps 300
    """
    _, config = read_config(arguments)
    set_threads(threads, training_threads(config))
    result = job.lr_find(config, steps=steps, data_dir=data_dir)
    if not quiet:
        render_range_test(result, make_console(sys.stderr if json_output else sys.stdout, no_color=no_color))
    if json_output:
        keys = ("suggestion", "stopped", "rates", "losses", "smoothed")
        write_lines(sys.stdout, json.dumps({key: getattr(result, key) for key in keys}))
    check_written()
