"""One leaderboard from what many commands left: run folders, ``trials/`` and shards of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config, plain_values
from mlptrain.config.values import differing, flat
from mlptrain.errors import UsageError
from mlptrain.runs.finished import load_metrics, load_run_config
from mlptrain.runs.folder import CONFIG, METRICS, claim_next, run_path
from mlptrain.sweeps.folder import BEST, SWEEP, TRIALS, SweepFolder
from mlptrain.sweeps.importance import importances
from mlptrain.sweeps.journal import JOURNAL, read_journal, recall
from mlptrain.sweeps.leaderboard import rank, write_leaderboard
from mlptrain.sweeps.reports import SweepEnd
from mlptrain.sweeps.shell import all_trials
from mlptrain.sweeps.spec import Metric, Spec
from mlptrain.sweeps.sweep import SweepResult, best_of, trial_of
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import FAILED, FINISHED, Result, Trial, config_key


@dataclass(frozen=True)
class _Found:
    """A run folder: its config, its figures (None where it has not finished), and where it lies."""

    path: Path
    config: Config
    metrics: dict[str, Any] | None


@dataclass(frozen=True)
class Collection:
    """What lies in some folders: ``missing`` are trials of the sweep that are in none of them."""

    result: SweepResult
    missing: tuple[int, ...]


def collect(arguments: Sequence[str], *, run: str | None = None, runs_dir: Path = Path("runs")) -> Collection:
    """Rank the runs in folders: run folders, folders of them such as ``trials/``, sweeps and shards.

    ``arguments`` are the folders, and before them the sweep file and its ``KEY=VALUE``, where the folders hold no
    ``sweep.yaml``; with neither the metric is val_accuracy and the varied keys are those in which the runs differ.
    The leaderboard and ``best/`` go to the sweep's folder around them, or to ``runs_dir/run``.

    Raises
    ------
    UsageError
        No run is there, or runs are of another sweep.
    DataError
        A file is damaged.
    """
    folders, spec = _folders(arguments)
    runs, results = [], dict[int, Result]()
    places: dict[int, Path] = {}
    for folder in folders:
        runs += list(_runs(folder))
        for sweep in _sweeps(folder):
            spec = _same(spec, sweep)
            record = recall(sweep / JOURNAL, read_journal(sweep / JOURNAL), spec, again=False)
            results |= record.results
            places |= {trial: sweep / TRIALS / f"{trial:04d}" for trial in record.results}
    given = _given(runs, spec)
    results = {**{result.trial: result for result, _ in given}, **results}
    places |= {result.trial: path for result, path in given}
    if not results:
        raise UsageError(f"--collect: no run in {', '.join(map(str, folders))}; name run folders, trials/ or shards")
    return _ranked(results, places, spec, _target(folders, run, runs_dir), {run.path: run for run in runs})


def _folders(arguments: Sequence[str]) -> tuple[list[Path], Spec | None]:
    paths = [Path(argument) for argument in arguments if "=" not in argument]
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    if len(files) > 1 or (files and paths[0] != files[0]):
        raise UsageError(f"--collect: {files[-1]} is no folder; name folders, and before them at most one sweep file")
    if not folders:
        raise UsageError("--collect: name the folders to collect: run folders, trials/, shards")
    overrides = [argument for argument in arguments if "=" in argument]
    return folders, read_sweep(files[0], overrides) if files else None


def _runs(folder: Path) -> Iterator[_Found]:
    """The run folders at, or directly in, a folder; ``best/`` of a sweep is a copy and left out."""
    inside = [folder, *sorted(folder.iterdir()), *sorted((folder / TRIALS).glob("*"))]
    if (folder / JOURNAL).is_file():  # its journal says more
        return
    for path in inside:
        if (path / CONFIG).is_file() and path.name != BEST:
            metrics = load_metrics(path) if (path / METRICS).is_file() else None
            yield _Found(path, load_run_config(path), metrics)


def _sweeps(folder: Path) -> Iterator[Path]:
    """The sweep and shard folders at, or directly in, a folder."""
    for path in (folder, *sorted(folder.glob("shard-*-of-*"))):
        if (path / JOURNAL).is_file():
            yield path


def _same(spec: Spec | None, folder: Path) -> Spec:
    """The sweep of a folder, which must be the one of those before."""
    own = read_sweep(folder / SWEEP)
    if spec is not None and spec.digest != own.digest:
        raise UsageError(f"{folder}: is another sweep than the others; collect those of one sweep")
    return own


def _given(runs: Sequence[_Found], spec: Spec | None) -> list[tuple[Result, Path]]:
    """Run folders as results: trials of the sweep, where it is known, else numbered as they come."""
    if not runs:
        return []
    found = []
    if spec is not None:
        trials = {trial.key: trial for trial in all_trials(spec)}
        for run in runs:
            trial = trials.get(config_key(run.config))
            if trial is None:
                raise UsageError(f"{run.path}: is no trial of this sweep; take it out, or collect it without the sweep")
            found.append((_result(run, trial.number, trial.point, _varied(spec, trial)), run.path))
        return found
    configs = [flat(plain_values(run.config)) for run in runs]
    keys = differing(configs)
    for number, (run, values) in enumerate(zip(runs, configs, strict=True)):
        found.append((_result(run, number, number, {key: values.get(key) for key in keys}), run.path))
    return found


def _varied(spec: Spec, trial: Trial) -> dict[str, Any]:
    return {key: trial.values[key] for key in spec.space.varied}


def _result(run: _Found, number: int, point: int, values: Mapping[str, Any]) -> Result:
    key = config_key(run.config)
    if run.metrics is None:
        message = f"{run.path}: has not finished, or diverged"
        return Result(number, point, key, values, FAILED, {}, message)
    return Result(number, point, key, values, FINISHED, run.metrics)


def _target(folders: Sequence[Path], run: str | None, runs_dir: Path) -> Path:
    """Where the leaderboard goes: as asked, else the sweep's folder around all that was named."""
    if run is not None:
        path = run_path(runs_dir, run)
        path.mkdir(parents=True, exist_ok=True)
        return path
    around = {_around(folder) for folder in folders}
    if len(around) == 1 and None not in around:
        return next(path for path in around if path is not None)
    return claim_next(runs_dir, "collected").path


def _around(folder: Path) -> Path | None:
    """The sweep's folder that a folder belongs to: itself, or that of its ``trials/`` or shard; None for a run."""
    if folder.name == TRIALS or folder.name.startswith("shard-"):
        return folder.parent
    if folder.parent.name == TRIALS:
        return folder.parent.parent
    return None if (folder / CONFIG).is_file() else folder


def _ranked(
    results: Mapping[int, Result],
    places: Mapping[int, Path],
    spec: Spec | None,
    target: Path,
    runs: Mapping[Path, _Found],
) -> Collection:
    """Rank, and write leaderboard and ``best/``."""
    first = next(iter(results.values()))
    keys = tuple(first.values) if spec is None else spec.space.varied
    metric, repeat = (Metric(), 1) if spec is None else (spec.metric, spec.repeat)
    board = rank(keys, metric, repeat, results.values())
    kept = {trial: str(path) for trial, path in places.items() if (path / METRICS).is_file()}
    folder = SweepFolder(target)
    best = None
    if board.best is not None:
        source = _best_folder(results[board.best.best_trial], places[board.best.best_trial])
        best = None if source is None else str(folder.copy_best(source))
    if best is not None and board.best is not None:
        kept.setdefault(board.best.best_trial, best)
    write_leaderboard(folder.leaderboard, board, kept)
    failed = tuple(result for _, result in sorted(results.items()) if result.failed)
    figures = [
        (result.values, float(result.metrics[metric.name]))
        for _, result in sorted(results.items())
        if not result.failed and result.metrics.get(metric.name) is not None
    ]
    seconds = sum(row.seconds for row in board.rows)
    end = SweepEnd(str(target), board, best, failed, importances(keys, figures), seconds, collected=True)
    summary = None
    if board.best is not None:
        result = results[board.best.best_trial]
        config = trial_of(spec, result).config if spec is not None else runs[places[result.trial]].config
        summary = best_of(end, config, result.metrics)
    missing = () if spec is None else tuple(t.number for t in all_trials(spec) if t.number not in results)
    return Collection(SweepResult(target, end, len(results), summary), missing)


def _best_folder(result: Result, place: Path) -> Path | None:
    """The run folder of the best trial: its own, or ``best/`` of the shard that trained it."""
    for path in (place, place.parent.parent / BEST):
        if (path / METRICS).is_file() and config_key(load_run_config(path)) == result.key:
            return path
    return None
