"""Command ``mlptrain sweep``."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import DataDir, Json, NoColor, Quiet, RunsDir, threads_option
from mlptrain.cli.setup import print_result, set_threads, training_threads, warn
from mlptrain.config.messages import enumerate_words
from mlptrain.config.overrides import is_override
from mlptrain.errors import TrialsError, UsageError
from mlptrain.reporting.run import make_run_reporter
from mlptrain.reporting.sweep import final_lines, list_failed, make_sweep_reporter
from mlptrain.reporting.text import counted
from mlptrain.runs import train as training
from mlptrain.sweeps.collect import collect as collect_trials
from mlptrain.sweeps.shell import check_key, check_listable, commands, find_trial, lookup
from mlptrain.sweeps.spec import Spec, warnings
from mlptrain.sweeps.sweep import KEEP, SweepResult, run_sweep
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import trial_name
from mlptrain.system.machine import use_threads
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP KEY=VALUE",
            help="Sweep or config: a YAML file or a name. Values to try, such as seed=1,2,3; hidden=64,32 is two "
            "networks.",
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the sweep folder.", show_default="SWEEP-NNN", metavar="NAME")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue --run, or the latest sweep of this file.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Number of worker processes.", show_default="one per core", metavar="N"),
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="Executor: processes (this machine) or dask.", metavar="NAME")
    ] = "processes",
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, tcp://...", metavar="ADDRESS")
    ] = None,
    keep: Annotated[
        str, typer.Option("--keep", help=f"Models to keep: {enumerate_words(KEEP, 'or')}.", metavar="WHICH")
    ] = "best",
    no_stack: Annotated[bool, typer.Option("--no-stack", help="Train each network by itself, not in a stack.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")] = False,
    list_commands: Annotated[
        bool, typer.Option("--list", help="Print one command per trial without training.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Train every Nth point, from the Ith.", metavar="I/N")
    ] = None,
    index: Annotated[
        int | None,
        typer.Option("--index", min=0, help="Train only the trial with this number, counted from 0.", metavar="N"),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Rank the runs or shards in the folders given as arguments.")
    ] = False,
    print_key: Annotated[
        str | None, typer.Option("--print", help="Print one value, such as best.learning_rate.", metavar="KEY")
    ] = None,
    threads: Annotated[int | None, threads_option("by network size", " per worker process")] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Train many networks with different settings and rank them.

    Example: mlptrain sweep quickstart learning_rate=0.1,0.3,1
    """
    if print_key is not None:
        check_key(print_key)
    if sum((list_commands, shard is not None, index is not None, collect)) > 1:
        raise UsageError("--list, --shard, --index and --collect cannot be combined")
    given = list(arguments or ())
    if collect:
        result = _collect(given, run, runs_dir, quiet=quiet or print_key is not None, json_output=json_output)
        _finish(result, json_output, print_key)
        return
    if not given or is_override(given[0]):
        raise UsageError(
            "SWEEP: missing\nhint: name a sweep such as hidden, or a config and values such as learning_rate=0.1,0.3,1"
        )
    stem, spec = Path(given[0]).stem, read_sweep(given[0], given[1:])
    name = run or stem
    for warning in warnings(spec):
        warn(warning)
    if list_commands:
        check_listable(spec, "--list")
        for command in commands(spec, name, runs_dir=runs_dir, data_dir=data_dir, threads=threads or 1):
            write_lines(sys.stdout, command)
        check_written()
        return
    if index is not None:
        _train_one(spec, index, name, runs_dir, data_dir, threads, quiet=quiet, no_color=no_color)
        return
    use_threads(1)  # workers have their own
    human = sys.stderr if json_output or print_key is not None else sys.stdout
    with closing(make_sweep_reporter(human, quiet=quiet, no_color=no_color)) as reporter:
        result = run_sweep(
            spec,
            stem=stem,
            run=run,
            runs_dir=runs_dir,
            data_dir=data_dir,
            resume=resume,
            workers=workers,
            threads=threads,
            executor=executor,
            scheduler=scheduler,
            keep=keep,
            stacked=not no_stack,
            fail_fast=fail_fast,
            shard=_parsed(shard),
            on_report=reporter.show,
        )
    if not quiet:
        write_lines(human, str(result.folder))
    _finish(result, json_output, print_key)


def _parsed(shard: str | None) -> tuple[int, int] | None:
    if shard is None:
        return None
    first, slash, every = shard.partition("/")
    if not (slash and first.isdecimal() and every.isdecimal()):
        raise UsageError(f"--shard: expected I/N with I from 1 to N, such as 1/4 (got {shard})")
    return int(first), int(every)


def _train_one(
    spec: Spec,
    index: int,
    name: str,
    runs_dir: Path,
    data_dir: Path | None,
    threads: int | None,
    *,
    quiet: bool,
    no_color: bool,
) -> None:
    """Train one trial as `mlptrain train` would, in ``trials/NNNN``."""
    check_listable(spec, "--index")
    trial = find_trial(spec, index)
    set_threads(threads, training_threads(trial.config))
    with closing(make_run_reporter(sys.stdout, quiet=quiet, no_color=no_color)) as reporter:
        run = f"{name}/trials/{trial.name}"
        for report in training.run(trial.config, run=run, runs_dir=runs_dir, data_dir=data_dir):
            if isinstance(report, training.TrainResult):
                result = report
            else:
                reporter.show(report)
    if not quiet:
        write_lines(sys.stdout, str(result.folder))


def _collect(given: list[str], run: str | None, runs_dir: Path, *, quiet: bool, json_output: bool) -> SweepResult:
    collection = collect_trials(given, run=run, runs_dir=runs_dir)
    if not quiet:
        human = sys.stderr if json_output else sys.stdout
        write_lines(human, *final_lines(collection.result.end))
        if collection.missing:
            numbers = [*map(trial_name, collection.first_missing)]
            more = ["…"] if collection.missing > len(numbers) else []
            write_lines(human, f"missing: {counted(collection.missing, 'trial')}, {', '.join([*numbers, *more])}")
    return collection.result


def _finish(result: SweepResult, json_output: bool, print_key: str | None) -> None:
    """Print the requested values, and raise TrialsError if a trial failed."""
    summary = result.summary()
    if print_key is not None:
        print_result(lookup(summary, print_key))
    if json_output:
        print_result(json.dumps(summary))
    if result.failed:
        messages = [trial.message.splitlines()[0] for trial in result.failed if trial.message]
        failed = f"{len(result.failed)} of {result.trials} trials failed: {list_failed(result.failed)}"
        raise TrialsError("\n".join([failed, *messages[:1]]))
