"""A sweep from its file to its folder: claimed, locked, driven to its end, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config, plain_values
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.folder import claim_next, run_path
from mlptrain.runs.job import default_data_dir
from mlptrain.sweeps.driver import Driver
from mlptrain.sweeps.executors import Executor
from mlptrain.sweeps.folder import SWEEP, SweepFolder
from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.planning import Planner
from mlptrain.sweeps.processes import Processes
from mlptrain.sweeps.reports import SweepEnd, SweepReport
from mlptrain.sweeps.shell import check_listable
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result, Trial, trials_of
from mlptrain.system.files import reason
from mlptrain.system.lock import locked
from mlptrain.system.machine import available_cores
from mlptrain.system.signals import Interrupted, Signals

KEEP = ("best", "all", "none")

EXECUTORS = ("processes", "dask")


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep; ``best`` holds run (its folder, or None), config and metrics of the best trial.

    ``trials`` counts those that have ended, failed ones too.
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
        """The trials that diverged or could not be trained."""
        return self.end.failed

    @property
    def importances(self) -> dict[str, float] | None:
        """By key the share (0 to 1) of the metric's variance that it explains; see `mlptrain.sweeps.importance`."""
        return self.end.importances

    def summary(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {"sweep": str(self.folder), "trials": self.trials, "failed": len(self.failed), "best": self.best}


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
) -> SweepResult:
    """Train every trial of a sweep and rank them: ``mlptrain.sweep("configs/sweeps/hidden.yaml")``.

    ``source`` is a sweep file, or a plain config of which ``overrides`` such as ``learning_rate=0.1,0.3,1`` give
    the space. The folder is ``runs_dir/run``, or ``stem`` (the source's) and the next free number; ``shard`` (I, N)
    takes every Nth point from the Ith. ``keep`` says which models stay: best, all or none. Workers are processes that
    import the main module anew, so a script calls this below ``if __name__ == "__main__":``.

    Raises
    ------
    UsageError, ConfigError, DataError
        The sweep cannot be done as asked.
    KeyboardInterrupt
        A signal ended it; what is done stays, and ``resume=True`` goes on.
    """
    spec = source if isinstance(source, Spec) else read_sweep(Path(source), overrides)
    stem = stem or Path(spec.base_path if isinstance(source, Spec) else source).stem
    _check(spec, keep, executor, scheduler, shard)
    planner = Planner(default_data_dir() if data_dir is None else Path(data_dir), stacked, threads)
    first = next(waves(spec, shard), None)  # points that are no config are found before anything is written
    planner.check(() if first is None else first.trials)
    path = _claim(Path(runs_dir), run, stem, shard, resume)
    folder = SweepFolder(path, keep)
    with locked(path), Signals() as signals:
        folder.begin(spec)
        make = _executor(executor, scheduler, workers, threads)
        driver = Driver(spec, folder, make, planner, shard=shard, fail_fast=fail_fast)
        with closing(driver.run()) as reports:
            for report in reports:
                on_report(report)
                if isinstance(report, SweepEnd):
                    return _result(spec, folder, driver, report)
                if signals.received is not None:
                    reports.close()
                    done, total = len(driver.record.results), driver.total
                    name = path if run is None else run
                    words = f"interrupted with {done} of {total} trials done; {path} keeps them"
                    raise Interrupted(signals.received, f"{words}\ngo on with --resume --run {name}")
    raise AssertionError("a sweep without an end")


def _check(spec: Spec, keep: str, executor: str, scheduler: str | None, shard: tuple[int, int] | None) -> None:
    """Refuse what cannot be done before anything is made."""
    if keep not in KEEP:
        raise UsageError(f"--keep {keep}: must be one of {', '.join(KEEP)}")
    if executor not in EXECUTORS:
        raise UsageError(f"--executor {executor}: must be one of {', '.join(EXECUTORS)}")
    if scheduler is not None and executor != "dask":
        raise UsageError("--scheduler is the address of a Dask cluster; give --executor dask as well")
    if shard is not None:
        check_listable(spec, "--shard")
        if not 1 <= shard[0] <= shard[1]:
            raise UsageError(f"--shard {shard[0]}/{shard[1]}: must be I/N with I from 1 to N")
    if executor == "dask":
        from mlptrain.sweeps.cluster import check_installed

        check_installed()


def _executor(kind: str, scheduler: str | None, workers: int | None, threads: int | None) -> Callable[[], Executor]:
    def make() -> Executor:
        count = workers or max(1, available_cores() // (threads or 1))
        if kind == "processes":
            return Processes(count)
        from mlptrain.sweeps.cluster import Cluster

        return Cluster(scheduler, workers if scheduler is not None else count, threads or 1)

    return make


def sweep_path(runs_dir: Path, run: str, shard: tuple[int, int] | None = None) -> Path:
    """Where a sweep of this name lies, or a shard of it."""
    path = run_path(runs_dir, run)
    return path if shard is None else path / f"shard-{shard[0]}-of-{shard[1]}"


def _claim(runs_dir: Path, run: str | None, stem: str, shard: tuple[int, int] | None, resume: bool) -> Path:
    """The sweep's folder, made where it is not there."""
    if run is None and shard is not None:
        run = stem  # the same for every shard
    if run is None and resume:
        run = _latest(runs_dir, stem)
    if run is None:
        return claim_next(runs_dir, stem).path
    path = sweep_path(runs_dir, run, shard)
    if path.exists() and not resume and ((path / SWEEP).exists() or not path.is_dir() or any(path.iterdir())):
        if not (path / SWEEP).exists():
            raise UsageError(f"{path}: exists already and is no sweep; choose another --run")
        raise UsageError(f"{path}: this sweep exists already; go on with it by --resume, or choose another --run")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {reason(error)}; choose another --runs-dir") from error
    return path


def _latest(runs_dir: Path, stem: str) -> str | None:
    """The name of the sweep begun last under this stem."""
    names = [path.parent.name for path in runs_dir.glob(f"{stem}-*/{SWEEP}")]
    numbers = [name for name in names if name.removeprefix(f"{stem}-").isdecimal()]
    return max(numbers, key=lambda name: int(name.removeprefix(f"{stem}-")), default=None)


def _result(spec: Spec, folder: SweepFolder, driver: Driver, end: SweepEnd) -> SweepResult:
    results = driver.record.results
    best = None
    if end.board.best is not None:
        result = results[end.board.best.best_trial]
        best = best_of(end, trial_of(spec, result).config, result.metrics)
    return SweepResult(folder.path, end, len(results), best)


def best_of(end: SweepEnd, config: Config, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """``best`` of the JSON object; with ``repeat`` it also says how the point did over its seeds."""
    best = {"run": end.best, "config": plain_values(config), "metrics": {**metrics, "run": end.best}}
    board, row = end.board, end.board.best
    if board.repeat > 1 and row is not None:
        best["repeats"] = {"metric": board.metric.name, "count": row.repeats, "mean": row.figure, "sd": row.deviation}
    return best


def trial_of(spec: Spec, result: Result) -> Trial:
    """The trial of a result, made again from its point."""
    fixed = {key: p.at(0) for key, p in spec.space.parameters.items() if p.count == 1}
    values = {key: fixed.get(key, result.values.get(key)) for key in spec.space.parameters}
    return list(trials_of(spec, result.point, values))[result.trial - result.point * spec.repeat]
