"""The functions `mlptrain.train` and `mlptrain.sweep`, which show their progress if it is requested."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.config.config import Config
from mlptrain.models.model import Model
from mlptrain.reporting.reporter import Reporter
from mlptrain.reporting.run import make_run_reporter
from mlptrain.reporting.terminal import notebook_shell
from mlptrain.runs.locate import Run
from mlptrain.runs.train import TrainResult
from mlptrain.runs.train import run as run_training
from mlptrain.training.reports import LayersReport, Report

if TYPE_CHECKING:
    from mlptrain.sweeps.reports import SweepReport
    from mlptrain.sweeps.spec import Spec
    from mlptrain.sweeps.sweep import SweepResult

# What only a sweep or a notebook needs is imported within functions: `train` then starts 0.1 s sooner.


def train(
    config: Config | Mapping[str, Any] | str | Path,
    *,
    run: str | None = None,
    name: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    force: bool = False,
    time_limit: float | None = None,
    start: Model | Run | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train a network to the end and return the result; the parameters and errors are those of `mlptrain.run`.

    With ``progress`` the course of training is shown: live on a terminal and in a notebook, as lines elsewhere.
    """
    reports = run_training(
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
    )
    reporter: Reporter[Report]
    shell = notebook_shell()
    if progress and shell is not None:
        from mlptrain.reporting.notebook import NotebookRun

        reporter = NotebookRun(shell)
    else:
        reporter = make_run_reporter(sys.stdout, quiet=not progress, no_color=False)
    with closing(reporter):
        for report in reports:
            if not isinstance(report, LayersReport | TrainResult):
                reporter.show(report)
    assert isinstance(report, TrainResult)
    return report


def sweep(
    source: str | Path | Spec,
    overrides: Sequence[str] = (),
    *,
    stem: str | None = None,
    run: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    threads: int | None = None,
    executor: str = "processes",
    scheduler: str | None = None,
    keep: str = "best",
    stacked: bool = True,
    fail_fast: bool = False,
    shard: tuple[int, int] | None = None,
    on_report: Callable[[SweepReport], object] = lambda report: None,
    progress: bool = False,
) -> SweepResult:
    """Train all trials of a sweep and rank them: ``mlptrain.sweep("hidden")``.

    Worker processes import the main module again, so a script must call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    source, overrides
        A sweep file, the name of a shipped sweep, or a config with values such as ``learning_rate=0.1,0.3,1`` in
        ``overrides``.
    stem, run, runs_dir
        The folder is ``runs_dir/run``; without ``run`` it is ``runs_dir/stem-NNN`` with the next free number, where
        ``stem`` is by default the name of the source.
    data_dir
        Folder of the datasets.
    resume
        Continue the sweep ``run``, or the latest one of this ``stem``.
    workers
        Number of worker processes; one per core if None.
    threads
        BLAS threads per worker process; chosen by the size of the networks if None.
    executor, scheduler
        ``processes``, or ``dask`` with the address of a running cluster, or None to start a local one.
    keep
        Run folders that stay: ``best``, ``all`` or ``none``.
    stacked
        Train networks of similar size side by side.
    fail_fast
        Stop after the first trial that fails.
    shard
        A pair (I, N) for every Nth point, starting with the Ith.
    on_report
        Function that is called with each report.
    progress
        Show the progress: live on a terminal and in a notebook, as lines in a file or a pipe.

    Raises
    ------
    UsageError, ConfigError, DataError
        The sweep is impossible with these arguments.
    KeyboardInterrupt
        A signal stopped the sweep; trials that have ended are kept, and ``resume=True`` continues.
    """
    from mlptrain.reporting.sweep import make_sweep_reporter
    from mlptrain.sweeps.sweep import run_sweep

    reporter: Reporter[SweepReport]
    shell = notebook_shell()
    if progress and shell is not None:
        from mlptrain.reporting.notebook import NotebookSweep

        reporter = NotebookSweep(shell)
    else:
        reporter = make_sweep_reporter(sys.stdout, quiet=not progress, no_color=False)

    def show(report: SweepReport) -> None:
        reporter.show(report)
        on_report(report)

    with closing(reporter):
        return run_sweep(
            source,
            overrides,
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
            stacked=stacked,
            fail_fast=fail_fast,
            shard=shard,
            on_report=show,
        )
