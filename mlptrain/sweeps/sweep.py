"""A sweep as a whole: all trials trained in its folder, and ranked."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlptrain.config.config import Config, plain_values
from mlptrain.datasets.dataset import data_folder
from mlptrain.errors import UsageError
from mlptrain.runs.files import SWEEP
from mlptrain.runs.folder import claim_next, resume_command, run_path
from mlptrain.sweeps.driver import Driver
from mlptrain.sweeps.executors import Executor
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.planning import check_trials
from mlptrain.sweeps.processes import Processes
from mlptrain.sweeps.reports import SweepEnd, SweepReport
from mlptrain.sweeps.shell import check_listable
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result, trial_of
from mlptrain.system.extras import require_extra
from mlptrain.system.files import make_folder
from mlptrain.system.html import Cell, bar, fragment, note, table
from mlptrain.system.lock import locked
from mlptrain.system.machine import available_cores
from mlptrain.system.signals import Interrupted, Signals

KEEP = ("best", "all", "none")

EXECUTORS = ("processes", "dask")

PROTOCOLS = ("tcp", "tls", "ucx", "ws", "wss")
"""Protocols of the addresses of Dask schedulers."""


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes
    ----------
    folder
        Path of the sweep's folder.
    end
        The last report.
    trials
        Number of trials that have ended, with those that failed.
    best
        The best trial: ``run`` (its run folder, or None), ``config`` and ``metrics``; with ``repeat`` also
        ``repeats``, the metric over the seeds of its point. None if all trials failed.
    """

    folder: Path
    end: SweepEnd
    trials: int
    best: dict[str, Any] | None

    @property
    def leaderboard(self) -> Leaderboard:
        """Trials, or with ``repeat`` points, from the best to the worst."""
        return self.end.board

    @property
    def failed(self) -> tuple[Result, ...]:
        """Trials that diverged or could not be trained."""
        return self.end.failed

    @property
    def importances(self) -> dict[str, float] | None:
        """The share (0 to 1) of the metric's variance that each key explains; see `mlptrain.sweeps.importance`."""
        return self.end.importances

    def __repr__(self) -> str:
        failed = f", failed={len(self.failed)}" if self.failed else ""
        return (
            f"SweepResult(folder={str(self.folder)!r}, trials={self.trials}{failed}, leaderboard={self.leaderboard!r})"
        )

    def _repr_html_(self) -> str:
        """Return the best trial, the leaderboard and the importance of the parameters, for notebooks."""
        failed = f", {len(self.failed):,} diverged or failed" if self.failed else ""
        command = [] if self.end.command is None else [note(f"best trial: {self.end.command}")]
        shares = (self.importances or {}).items()
        rows: list[list[Cell]] = [[key, (f"{share:.0%}", bar(share))] for key, share in shares]
        return fragment(
            str(self.folder),
            note(f"trials: {self.trials:,}{failed}"),
            *command,
            self.leaderboard._repr_html_(),
            *([table(("parameter", "importance"), rows)] if rows else []),
        )

    def summary(self) -> dict[str, Any]:
        """Return the JSON object of the command."""
        summary = {"sweep": str(self.folder), "trials": self.trials, "failed": len(self.failed), "best": self.best}
        return summary if self.end.repeats is None else {**summary, "repeats": self.end.repeats.plain()}


def run_sweep(
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
) -> SweepResult:
    """Train all trials of a sweep and rank them; the parameters and errors are those of `mlptrain.sweep`."""
    spec = source if isinstance(source, Spec) else read_sweep(source, overrides)
    stem = stem or Path(spec.base_path if isinstance(source, Spec) else source).stem
    data = data_folder(data_dir)
    _check(spec, keep, executor, scheduler, shard)
    first = next(waves(spec, shard), None)  # finds mistakes before anything is written
    check_trials(() if first is None else first.trials, data)
    path = _claim(Path(runs_dir), run, stem, shard, resume)
    folder = SweepFolder(path, keep)
    resumption = resume_command(
        "sweep",
        path / SWEEP,
        {
            "--resume": True,
            "--run": (path if shard is None else path.parent).relative_to(runs_dir),
            "--shard": None if shard is None else f"{shard[0]}/{shard[1]}",
            "--runs-dir": None if Path(runs_dir) == Path("runs") else runs_dir,
            "--data-dir": data_dir,
            "--workers": workers,
            "--threads": threads,
            "--executor": None if executor == "processes" else executor,
            "--scheduler": scheduler,
            "--keep": None if keep == "best" else keep,
            "--no-stack": not stacked,
            "--fail-fast": fail_fast,
        },
    )

    def make_executor() -> Executor:
        count = workers or max(1, available_cores() // (threads or 1))
        if executor == "processes":
            return Processes(count)
        with signals.raising():  # the import takes seconds, and the check may
            from mlptrain.sweeps.cluster import Cluster, check_scheduler

            check_scheduler(scheduler)
        return Cluster(scheduler, workers if scheduler is not None else count, threads or 1)

    with locked(path), Signals() as signals:
        fresh = resume and not (path / SWEEP).exists()
        folder.begin(spec)
        driver = Driver(
            spec,
            folder,
            make_executor,
            data,
            stacked=stacked,
            threads=threads,
            shard=shard,
            fail_fast=fail_fast,
            fresh=fresh,
        )
        try:
            with closing(driver.run()) as reports:
                for report in reports:
                    on_report(report)
                    if isinstance(report, SweepEnd):
                        return result_of(report, driver.record.results, lambda result: trial_of(spec, result).config)
                    if signals.received is not None:
                        raise Interrupted(signals.received)
        except KeyboardInterrupt as error:
            raise Interrupted(
                error.signal if isinstance(error, Interrupted) else signal.SIGINT,
                f"{path}: interrupted with {len(driver.record.results)} of {driver.total} trials done\n"
                f"hint: resume with: {resumption}",
            ) from None
    raise AssertionError("a sweep without an end")


def _check(spec: Spec, keep: str, executor: str, scheduler: str | None, shard: tuple[int, int] | None) -> None:
    """Check the arguments before anything is written."""
    if keep not in KEEP:
        raise UsageError(f"--keep {keep}: must be one of {', '.join(KEEP)}")
    if executor not in EXECUTORS:
        raise UsageError(f"--executor {executor}: must be one of {', '.join(EXECUTORS)}")
    if scheduler is not None and executor != "dask":
        raise UsageError(f"--scheduler {scheduler}: the address of a Dask cluster\nhint: add --executor dask")
    if scheduler is not None and not _is_address(scheduler):
        raise UsageError(
            f"--scheduler must be tcp://HOST:PORT (got {scheduler!r})\n"
            "hint: give the address that `dask scheduler` prints, such as tcp://127.0.0.1:8786"
        )
    if shard is not None:
        check_listable(spec, "--shard")
        if not 1 <= shard[0] <= shard[1]:
            raise UsageError(f"--shard {shard[0]}/{shard[1]}: must be I/N with I from 1 to N")
    if executor == "dask":
        require_extra("distributed", "dask", "--executor dask")


def _is_address(scheduler: str) -> bool:
    """Return True if Dask could connect to an address: a host and a port, after a protocol of its own or none."""
    try:
        parts = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
        return parts.scheme in PROTOCOLS and bool(parts.hostname and parts.port) and not parts.path
    except ValueError:
        return False


def _claim(runs_dir: Path, run: str | None, stem: str, shard: tuple[int, int] | None, resume: bool) -> Path:
    """Return the path of the sweep's folder, and create it unless the sweep is resumed."""
    if run is None and shard is not None:
        run = stem  # the same for all shards
    if run is None and resume:
        run = _latest(runs_dir, stem)
    if run is None:
        return claim_next(runs_dir, stem).path
    path = run_path(runs_dir, run)
    if shard is not None:
        path /= f"shard-{shard[0]}-of-{shard[1]}"
    if path.exists() and not resume and ((path / SWEEP).exists() or not path.is_dir() or any(path.iterdir())):
        if not (path / SWEEP).exists():
            raise UsageError(f"{path}: exists and is not a sweep\nhint: choose another --run")
        raise UsageError(f"{path}: this sweep exists\nhint: continue it with --resume, or choose another --run")
    make_folder(path, "choose another --runs-dir")
    return path


def _latest(runs_dir: Path, stem: str) -> str | None:
    """Return the name of the latest sweep of this stem."""
    names = [path.parent.name for path in runs_dir.glob(f"{stem}-*/{SWEEP}")]
    numbers = [name for name in names if name.removeprefix(f"{stem}-").isdecimal()]
    return max(numbers, key=lambda name: int(name.removeprefix(f"{stem}-")), default=None)


def result_of(end: SweepEnd, results: Mapping[int, Result], config_of: Callable[[Result], Config]) -> SweepResult:
    """Return the result of a sweep by its last report, the results of its trials, and their configs."""
    board, row, best = end.board, end.board.best, None
    if row is not None:
        result = results[row.best_trial]
        metrics = {**result.metrics, "run": end.best}
        best = {"run": end.best, "config": plain_values(config_of(result)), "metrics": metrics}
        if board.repeat > 1:
            repeats = {"count": row.repeats, "mean": row.figure, "sd": row.deviation}
            best["repeats"] = {"metric": board.metric.name, **repeats}
    return SweepResult(Path(end.folder), end, len(results), best)
