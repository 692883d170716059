"""``mlptrain sweep``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli.options import DataDir, Json, NoColor, Quiet, RunsDir, Threads

if TYPE_CHECKING:
    from mlptrain.sweeps.spec import Spec
    from mlptrain.sweeps.sweep import SweepResult


def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SWEEP KEY=VALUE", help="A sweep file, or a config, and spaces such as KEY=1,2,3."),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the sweep's folder; default: SWEEP-NNN.", metavar="NAME")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --run, or with the latest sweep of this file.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Stacks at a time; default: one a core.", metavar="N")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="processes (this machine) or dask.", metavar="NAME")
    ] = "processes",
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="A running Dask cluster, tcp://...", metavar="ADDRESS")
    ] = None,
    keep: Annotated[str, typer.Option("--keep", help="Models that stay: best, all or none.", metavar="WHICH")] = "best",
    no_stack: Annotated[bool, typer.Option("--no-stack", help="Train each network by itself.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End with the first trial that fails.")] = False,
    list_commands: Annotated[
        bool, typer.Option("--list", help="Print one `mlptrain train` command a trial, and train nothing.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Every Nth point from the Ith, I from 1 to N.", metavar="I/N")
    ] = None,
    index: Annotated[
        int | None, typer.Option("--index", min=0, help="The trial of this number alone, from 0.", metavar="N")
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Rank what lies in DIR...: runs, trials/, shards, given as arguments.")
    ] = False,
    print_key: Annotated[
        str | None, typer.Option("--print", help="Print one value, such as best.learning_rate.", metavar="KEY")
    ] = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Train many networks from one sweep file, side by side, and rank them."""
    from mlptrain.errors import UsageError
    from mlptrain.sweeps.shell import check_key

    if print_key is not None:
        check_key(print_key)
    if sum((list_commands, shard is not None, index is not None, collect)) > 1:
        raise UsageError("--list, --shard, --index and --collect each say what to do; give one of them")
    given = list(arguments or ())
    if collect:
        result = _collect(given, run, runs_dir, quiet=quiet or print_key is not None, json_output=json_output)
        _finish(result, json_output, print_key)
        return
    if not given or "=" in given[0]:
        raise UsageError("SWEEP is missing: name a sweep file, or a config and spaces such as learning_rate=0.1,0.3,1")
    from mlptrain.sweeps.spec import warnings
    from mlptrain.sweeps.sweepfile import read_sweep

    source = Path(given[0])
    spec = read_sweep(source, given[1:])
    for warning in warnings(spec):
        typer.echo(f"mlptrain: warning: {warning}", err=True)
    if list_commands:
        _list(spec, run or source.stem, runs_dir, data_dir, threads)
        return
    if index is not None:
        _train_one(spec, index, run or source.stem, runs_dir, data_dir, threads, quiet=quiet, no_color=no_color)
        return

    from mlptrain.system.machine import use_threads

    use_threads(1)  # for this process; its workers have their own

    from mlptrain.reporting.sweep import make_sweep_reporter
    from mlptrain.sweeps import sweep as session

    human = sys.stderr if json_output or print_key is not None else sys.stdout
    reporter = make_sweep_reporter(human, quiet=quiet, no_color=no_color)
    try:
        result = session.sweep(
            spec,
            stem=source.stem,
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
    finally:
        reporter.close()
    if not quiet:
        print(result.folder, file=human)
    _finish(result, json_output, print_key)


def _parsed(shard: str | None) -> tuple[int, int] | None:
    from mlptrain.errors import UsageError

    if shard is None:
        return None
    first, slash, every = shard.partition("/")
    if not (slash and first.isdecimal() and every.isdecimal()):
        raise UsageError(f"--shard {shard}: must be I/N with I from 1 to N, such as 1/4")
    return int(first), int(every)


def _list(spec: Spec, name: str, runs_dir: Path, data_dir: Path | None, threads: int | None) -> None:
    from mlptrain.sweeps.shell import check_listable, commands

    check_listable(spec, "--list")
    for command in commands(spec, name, runs_dir=runs_dir, data_dir=data_dir, threads=threads or 1):
        print(command)


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
    """Train the trial of this number as `mlptrain train` would, in ``trials/NNNN``."""
    from mlptrain.cli.options import choose_threads
    from mlptrain.sweeps.shell import check_listable, trial_number

    check_listable(spec, "--index")
    trial = trial_number(spec, index)
    choose_threads(trial.config, threads)

    from mlptrain.reporting.run import make_reporter, show
    from mlptrain.runs import train as training

    reporter = make_reporter(sys.stdout, quiet=quiet, no_color=no_color)
    try:
        run = f"{name}/trials/{trial.name}"
        for report in training.run(trial.config, run=run, runs_dir=runs_dir, data_dir=data_dir):
            if isinstance(report, training.TrainResult):
                result = report
            else:
                show(reporter, report)
    finally:
        reporter.close()
    if not quiet:
        print(result.folder)


def _collect(given: list[str], run: str | None, runs_dir: Path, *, quiet: bool, json_output: bool) -> SweepResult:
    from mlptrain.reporting.sweep import final_lines
    from mlptrain.sweeps.collect import collect

    collection = collect(given, run=run, runs_dir=runs_dir)
    if not quiet:
        human = sys.stderr if json_output else sys.stdout
        for line in final_lines(collection.result.end, 10_000, "#"):
            print(line, file=human)
        if collection.missing:
            names = ", ".join(f"{number:04d}" for number in collection.missing[:8])
            more = ", …" if len(collection.missing) > 8 else ""
            print(f"not there yet: {len(collection.missing)} trials, {names}{more}", file=human)
    return collection.result


def _finish(result: SweepResult, json_output: bool, print_key: str | None) -> None:
    """Print what was asked for; exit 6 where trials failed."""
    from mlptrain.errors import TrialsError
    from mlptrain.sweeps.shell import lookup

    summary = result.summary()
    if print_key is not None:
        print(lookup(summary, print_key))
    if json_output:
        print(json.dumps(summary))
    if result.failed:
        names = ", ".join(f"{one.trial:04d} ({one.status})" for one in result.failed[:6])
        more = ", …" if len(result.failed) > 6 else ""
        first = next((one.message for one in result.failed if one.message), "")
        raise TrialsError(
            f"{len(result.failed)} of {result.trials} trials failed: {names}{more}\n{(first or '').splitlines()[0]}"
        )
