"""Results collected from run folders, ``trials/`` folders, sweeps and shards into one leaderboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mlptrain.config.config import Config, plain_values
from mlptrain.config.overrides import is_override
from mlptrain.config.values import differing, flat
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.files import BEST, CONFIG, JOURNAL, METRICS, SWEEP, TRIALS, load_metrics
from mlptrain.runs.folder import claim_next, load_run_config, run_path
from mlptrain.runs.locate import locate
from mlptrain.sweeps.folder import SweepFolder, is_run_of
from mlptrain.sweeps.importance import importances_of
from mlptrain.sweeps.journal import read_record
from mlptrain.sweeps.leaderboard import rank, write_leaderboard
from mlptrain.sweeps.repeats import summarise_repeats
from mlptrain.sweeps.reports import SweepEnd
from mlptrain.sweeps.shell import all_trials, find_trial, number_of_points, train_command
from mlptrain.sweeps.space import MAX_LISTED
from mlptrain.sweeps.spec import DEFAULT_METRIC, Spec
from mlptrain.sweeps.sweep import SweepResult, result_of
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import FAILED, FINISHED, Result, Trial, config_key, trial_of
from mlptrain.system.files import make_folder
from mlptrain.system.text import shell_line


@dataclass(frozen=True)
class Collection:
    """The collected result, the number of trials ``missing`` in all folders, and the numbers of the first of them."""

    result: SweepResult
    missing: int
    first_missing: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """A result and its run folder, which may be missing."""

    result: Result
    folder: Path


def collect(arguments: Sequence[str], *, run: str | None = None, runs_dir: Path = Path("runs")) -> Collection:
    """Rank the runs in folders: run folders, folders of run folders such as ``trials/``, sweeps and shards.

    ``arguments`` are the folders, as paths or as names under ``runs_dir``. If they contain no ``sweep.yaml``, the sweep
    file comes before them, with its ``KEY=VALUE``; without one the metric is val_accuracy, and the keys in which the
    runs differ are the varied ones. Leaderboard and ``best/`` are written to the folder ``runs_dir/run``, or to the one
    folder of a sweep that contains all others, or to ``runs_dir/collected-NNN``.

    Raises
    ------
    UsageError
        There is no run, or the runs are not those of one sweep.
    DataError
        A file is damaged.
    """
    folders, spec = _parse(arguments, runs_dir)
    found: dict[int, _Found] = {}
    for sweep in (sweep for folder in folders for sweep in _sweeps(folder)):
        own = read_sweep(sweep / SWEEP)
        if spec is not None and spec.digest != own.digest:
            raise UsageError(f"{sweep}: this sweep differs from the others\nhint: collect the folders of one sweep")
        spec = own
        results = read_record(sweep / JOURNAL, spec, retry=False).results
        found |= {trial: _Found(result, SweepFolder(sweep).run(trial)) for trial, result in results.items()}
    runs = {path: load_run_config(path) for folder in folders for path in _runs(folder)}
    trials: dict[Path, Trial] = {}
    if runs:
        trials = numbered_trials(runs) if spec is None else _trials_of_runs(runs, spec)
    found = {trial.number: _Found(result_of_run(path, trial), path) for path, trial in trials.items()} | found
    if not found:
        names = ", ".join(map(str, folders))
        raise UsageError(f"--collect: no run in {names}\nhint: name run folders, trials/ folders or shards")
    configs = {trial.number: trial.config for trial in trials.values()}
    return _ranked(found, spec, configs, SweepFolder(_target(folders, run, runs_dir)))


def _parse(arguments: Sequence[str], runs_dir: Path) -> tuple[list[Path], Spec | None]:
    """Return the folders, and the sweep if its file is named."""
    overrides = [each for each in arguments if is_override(each) and not (runs_dir / each).exists()]
    paths = [_path(argument, runs_dir) for argument in arguments if argument not in overrides]
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    if len(files) > 1 or (files and paths[0] != files[0]):
        raise UsageError(f"--collect: {files[-1]} is not a folder\nhint: name folders, and before them one sweep file")
    if not folders:
        raise UsageError("--collect: no folder\nhint: name run folders, trials/ folders or shards")
    if overrides and not files:
        raise UsageError(f"--collect: {overrides[0]} needs the file of the sweep\nhint: name it before the folders")
    return folders, read_sweep(files[0], overrides) if files else None


def _path(argument: str, runs_dir: Path) -> Path:
    """Return the path of a folder or a sweep file; folders of runs or shards count too, which RUN cannot mean."""
    for path in (Path(argument), runs_dir / argument):
        with suppress(OSError):
            if path.is_dir():
                return path
    with suppress(DataError):
        return locate(argument, runs_dir)
    return Path(argument)


def _sweeps(folder: Path) -> Iterator[Path]:
    """Yield a folder, and the shards in it, if they have a journal."""
    for path in (folder, *sorted(folder.glob("shard-*-of-*"))):
        if (path / JOURNAL).is_file():
            yield path


def _runs(folder: Path) -> Iterator[Path]:
    """Yield a folder, and those in it, if they are run folders that no journal describes; ``best/`` is a copy."""
    if (folder / JOURNAL).is_file():
        return
    for path in (folder, *sorted(folder.iterdir()), *sorted((folder / TRIALS).glob("*"))):
        if (path / CONFIG).is_file() and path.name != BEST:
            yield path


def _trials_of_runs(runs: Mapping[Path, Config], spec: Spec) -> dict[Path, Trial]:
    """Return the trial of a sweep that belongs to each run.

    A grid may be too large to be listed, so the trial whose number is the name of the run comes first.
    """
    found: dict[Path, Trial] = {}
    listed: dict[str, Trial] = {}
    for path, config in runs.items():
        key = config_key(config)
        trial = _trial_by_name(path.name, spec)
        if trial is None or trial.key != key:
            listed = listed or {each.key: each for each in islice(all_trials(spec), MAX_LISTED)}
            trial = listed.get(key)
        if trial is None:
            raise UsageError(f"{path}: is not a trial of this sweep\nhint: leave it out, or do not name the sweep")
        found[path] = trial
    return found


def _trial_by_name(name: str, spec: Spec) -> Trial | None:
    """Return the trial of a grid whose number is the name of its run folder, None if there is none."""
    if spec.run_cap is None and name.isdecimal():
        with suppress(UsageError):
            return find_trial(spec, int(name))
    return None


def numbered_trials(runs: Mapping[Path, Config]) -> dict[Path, Trial]:
    """Return runs that belong to no sweep as trials, numbered in their order."""
    flattened = [flat(plain_values(config)) for config in runs.values()]
    keys = differing(flattened)
    trials = {}
    for number, ((path, config), values) in enumerate(zip(runs.items(), flattened, strict=True)):
        trials[path] = Trial(number, number, {key: values.get(key) for key in keys}, config)
    return trials


def result_of_run(path: Path, trial: Trial) -> Result:
    """Return the result of a trial by its run folder."""
    if (path / METRICS).is_file():
        return trial.result(FINISHED, metrics=load_metrics(path))
    return trial.result(FAILED, message=f"{path}: the run has not finished, or it diverged")


def _target(folders: Sequence[Path], run: str | None, runs_dir: Path) -> Path:
    """Return the folder for the leaderboard."""
    if run is not None:
        path = run_path(runs_dir, run)
        make_folder(path, "choose another --runs-dir")
        return path
    (first, *others) = dict.fromkeys(map(_sweep_around, folders))
    return claim_next(runs_dir, "collected").path if others or first is None else first


def _sweep_around(folder: Path) -> Path | None:
    """Return the sweep folder that a folder is, or belongs to as ``trials/`` or shard; None for a run of its own."""
    if folder.name == TRIALS or folder.name.startswith("shard-"):
        return folder.parent
    if folder.parent.name == TRIALS:
        return folder.parent.parent
    return None if (folder / CONFIG).is_file() else folder


def _ranked(
    found: Mapping[int, _Found], spec: Spec | None, configs: Mapping[int, Config], target: SweepFolder
) -> Collection:
    """Rank the results, and write leaderboard and ``best/``."""
    results = {number: one.result for number, one in sorted(found.items())}
    keys = tuple(next(iter(results.values())).values) if spec is None else spec.space.varied
    metric, repeat = (DEFAULT_METRIC, 1) if spec is None else (spec.metric, spec.repeat)
    board = rank(keys, metric, repeat, results.values())
    runs = {trial: str(one.folder) for trial, one in found.items() if (one.folder / METRICS).is_file()}
    row, best = board.best, None
    if row is not None and (source := _best_folder(found[row.best_trial])) is not None:
        best = str(target.copy_best(source))
        runs.setdefault(row.best_trial, best)
    board = board.with_runs(runs)
    write_leaderboard(target.leaderboard, board)
    failed = tuple(result for result in results.values() if result.failed)
    seconds = sum(row.seconds for row in board.rows)
    importances = importances_of(keys, metric.name, results.values())

    def config_of(result: Result) -> Config:
        return configs[result.trial] if spec is None else trial_of(spec, result).config

    command = None
    if row is not None and spec is None:
        command = shell_line(["mlptrain", "train", str(found[row.best_trial].folder / CONFIG)])
    elif row is not None and spec is not None:
        command = train_command(spec, config_of(results[row.best_trial]))
    repeats = summarise_repeats(results.values()) if spec is not None and spec.seeds_only else None
    path = str(target.path)
    end = SweepEnd(path, board, best, failed, importances, seconds, collected=True, command=command, repeats=repeats)
    numbers = range(0 if spec is None else number_of_points(spec) * spec.repeat)
    missing = (number for number in numbers if number not in found)
    count = numbers.stop - sum(number in numbers for number in found)
    return Collection(result_of(end, results, config_of), count, tuple(islice(missing, 8)))


def _best_folder(best: _Found) -> Path | None:
    """Return the run folder of the best trial: its own, or ``best/`` of the shard that trained it."""
    for path in (best.folder, best.folder.parent.parent / BEST):
        if is_run_of(path, best.result):
            return path
    return None
