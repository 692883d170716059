"""Command ``mlptrain train``."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import (
    RUN_FORMS,
    ConfigArguments,
    DataDir,
    Json,
    MinAccuracy,
    NoColor,
    Quiet,
    RunsDir,
    TrainThreads,
)
from mlptrain.cli.setup import print_result, read_config, set_threads, training_threads, warn
from mlptrain.errors import AccuracyError, DataError, DivergedError
from mlptrain.reporting.diagnosis import diagnosis_lines
from mlptrain.reporting.run import make_run_reporter, render_profile
from mlptrain.reporting.summary import difference_lines, diverged_summary, run_summary
from mlptrain.runs import train as training
from mlptrain.runs.finished import load_baseline, load_start
from mlptrain.runs.folder import check_claimable
from mlptrain.runs.job import prepare
from mlptrain.system.files import append_text
from mlptrain.system.signals import Interrupted
from mlptrain.system.text import write_lines
from mlptrain.training.profiling import Clock
from mlptrain.training.reports import LayersReport

SUMMARY_HINT = "name another file with --summary"


def train(
    arguments: ConfigArguments = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run folder.", show_default="CONFIG-NNN", metavar="NAME")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue --run from its checkpoint, or start it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Resume despite a changed config, data or version.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check config and data without training.")] = False,
    min_accuracy: MinAccuracy = None,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", min=0.0, help="Stop training after this time; save and test.", metavar="SECONDS"),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help=f"Run with the initial weights: {RUN_FORMS}.", metavar="RUN")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            envvar="GITHUB_STEP_SUMMARY",
            help="File to append a Markdown summary to.",
            metavar="FILE",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help=f"Run or metrics.json to compare with: {RUN_FORMS}.", metavar="RUN"),
    ] = None,
    log_every: Annotated[
        int, typer.Option("--log-every", min=1, help="Print every Nth epoch and the last (plain output).", metavar="N")
    ] = 1,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show the statistics of each layer after every epoch.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show how the training time was spent.")] = False,
    threads: TrainThreads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Train one network and save it in a run folder.

    The network is validated after each epoch and tested after the last.

    Example: mlptrain train quickstart hidden=15 epochs=5
    """
    name, config = read_config(arguments)
    compared = None if baseline is None else load_baseline(baseline, runs_dir)
    set_threads(threads, training_threads(config))
    human = sys.stderr if json_output else sys.stdout
    clock = Clock() if profile else None
    with closing(make_run_reporter(human, quiet=quiet, no_color=no_color, log_every=log_every)) as reporter:
        if dry_run:
            if run is not None:
                check_claimable(runs_dir, run, overwrite=overwrite, resume=resume)
            model, start_name = load_start(start, runs_dir)
            job = prepare(config, data_dir=data_dir, start=model, start_name=start_name)
            reporter.show(job.describe(run or f"{name}-NNN"))
            return
        try:
            for report in training.run(
                config,
                run=run,
                name=name,
                runs_dir=runs_dir,
                data_dir=data_dir,
                overwrite=overwrite,
                resume=resume,
                force=force,
                time_limit=time_limit,
                start=start,
                clock=clock,
            ):
                if isinstance(report, training.TrainResult):
                    result = report
                elif layers or not isinstance(report, LayersReport):
                    reporter.show(report)
        except DivergedError as error:
            if summary is not None:
                try:
                    append_text(summary, diverged_summary(run or name, str(error)), SUMMARY_HINT)
                except DataError as failure:  # the exit code is that of the divergence
                    warn(str(failure))
            raise
        except Interrupted as error:
            if threads is None or "--resume" not in str(error):
                raise
            raise Interrupted(error.signal, f"{error} --threads {threads}") from None
    sizes, dtype = result.model.architecture.layers, result.model.weights[0].dtype
    timed = None if clock is None else clock.profile(sizes, dtype)
    if timed is not None and not quiet:
        render_profile(timed, human)
    found = result.diagnosis
    if not quiet:
        write_lines(human, *difference_lines(result.metrics, compared))
        write_lines(human, *diagnosis_lines(found, result.folder), str(result.folder))
    if summary is not None:
        append_text(summary, run_summary(result, found, min_accuracy, compared), SUMMARY_HINT)
    if json_output:
        print_result(json.dumps(result.metrics | ({} if timed is None else {"profile": asdict(timed)})))
    accuracy = result.metrics["test_accuracy"]
    if min_accuracy is not None and accuracy < min_accuracy:
        raise AccuracyError(f"{result.folder}: test accuracy {accuracy:.4f} is below --min-accuracy {min_accuracy:g}")
