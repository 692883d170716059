"""RUN in commands and functions: a path, a name, ``latest`` or ``best:METRIC``, and in functions a result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Protocol
from zipfile import is_zipfile

from mlptrain.config.messages import enumerate_words, hint
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.files import (
    BEST,
    BEST_BY,
    CONFIG,
    FINGERPRINTS,
    LATEST,
    METRICS,
    MODEL,
    is_complete,
    is_run,
    is_sweep,
    load_metrics,
)
from mlptrain.training.reports import METRIC_NAMES


class Result(Protocol):
    """The result of training or of a sweep, with the path of its folder, or None if nothing was written."""

    @property
    def folder(self) -> Path | None:
        """Path of the folder."""


Run = str | Path | Result
"""A run as an argument of functions; see `locate`."""


def locate(run: Run, runs_dir: str | Path = "runs") -> Path:
    """Return the run folder, sweep folder or model file that RUN means.

    RUN is a path; else a name under ``runs_dir``; else ``latest``, the newest complete run under ``runs_dir``, or
    ``best:METRIC``, the complete run there with the best value of a metric (the lowest loss, the highest accuracy)
    among those with the data and the split of the newest. Only runs whose folders are directly in ``runs_dir`` count,
    not those in sweeps. The ``model.npz`` of a run folder means the run. A result means its folder.

    Raises
    ------
    UsageError
        The metric is unknown, or the result has no folder.
    DataError
        There is nothing of this path or name.
    """
    if not isinstance(run, str | Path):
        if run.folder is None:
            raise UsageError("the result has no folder\nhint: keep the run: mlptrain.train(config, run=NAME)")
        run = run.folder
    name, runs_dir = str(run), Path(runs_dir)
    for path in (Path(run), runs_dir / run):
        with suppress(OSError):
            if is_run(path) or is_sweep(path):
                return path
            if path.name == MODEL and (path.parent / CONFIG).is_file():
                return path.parent
            if path.is_file() and is_zipfile(path):  # a model file
                return path
    if name == LATEST:
        return _complete_runs(runs_dir)[0]
    if name.startswith(BEST_BY):
        return _best_run(runs_dir, name.removeprefix(BEST_BY))
    with suppress(OSError):
        if Path(run).is_file():  # no model; its reader reports the reason
            return Path(run)
    raise DataError(
        f"{name}: no run there (no {CONFIG} in {name} or {runs_dir / run}){hint(name, [*_names(name, runs_dir)])}\n"
        "hint: train one with `mlptrain train`, or name another folder of runs with --runs-dir"
    )


def find_model(run: Run, runs_dir: str | Path = "runs") -> Path:
    """Return the run folder or model file that RUN means.

    Raises
    ------
    UsageError
        It is a sweep, which has many models.
    DataError
        There is nothing of this path or name.
    """
    path = locate(run, runs_dir)
    if is_sweep(path):
        best = path / BEST
        remedy = f"name its best run, {best}" if is_run(best) else "repeat the sweep with --keep best or --keep all"
        raise UsageError(f"{path}: a sweep, where one run is expected\nhint: {remedy}")
    return path


def find_run(run: Run, runs_dir: str | Path = "runs") -> Path:
    """Return the run folder that RUN means.

    Raises
    ------
    UsageError
        It is a sweep, or a file outside of a run folder.
    DataError
        There is nothing of this path or name.
    """
    path = find_model(run, runs_dir)
    if path.is_file():
        raise UsageError(f"{path}: a file, which has no history\nhint: name the folder of a run")
    return path


def is_selection(run: str) -> bool:
    """Return whether RUN is ``latest`` or ``best:METRIC``, which do not name a run."""
    return run == LATEST or run.startswith(BEST_BY)


def _complete_runs(runs_dir: Path) -> list[Path]:
    """Return the folders of the complete runs, from the newest to the oldest.

    Raises
    ------
    DataError
        There is none.
    """
    found: list[tuple[int, Path]] = []
    with suppress(OSError):
        for path in sorted(runs_dir.iterdir()):
            if is_complete(path):
                found.append(((path / METRICS).stat().st_mtime_ns, path))
    if not found:
        raise DataError(
            f"{runs_dir}: no complete run\n"
            "hint: train one with `mlptrain train`, or name another folder of runs with --runs-dir"
        )
    return [path for _, path in sorted(found, reverse=True)]


def _best_run(runs_dir: Path, metric: str) -> Path:
    if metric not in METRIC_NAMES:
        raise UsageError(
            f"{BEST_BY}{metric}: unknown metric{hint(metric, METRIC_NAMES)}\n"
            f"hint: use {enumerate_words(METRIC_NAMES, 'or')}"
        )
    sign = -1 if metric.endswith("loss") else 1
    found: list[tuple[Path, dict[str, Any]]] = []
    for path in _complete_runs(runs_dir):
        with suppress(DataError):  # one with damaged metrics
            found.append((path, load_metrics(path)))
    values = {path: sign * metrics[metric] for path, metrics in found if _is_comparable(metrics, found[0][1], metric)}
    if not values:
        raise DataError(
            f"{BEST_BY}{metric}: no complete run in {runs_dir} with the data and split of the newest has a {metric}\n"
            "hint: name a run"
        )
    return max(values, key=values.__getitem__)  # of equal ones the newest


def _is_comparable(metrics: dict[str, Any], newest: dict[str, Any], metric: str) -> bool:
    value = metrics.get(metric)
    same = all(metrics.get(key) == newest.get(key) for key in FINGERPRINTS)
    return same and isinstance(value, int | float) and math.isfinite(value)


def _names(run: str, runs_dir: Path) -> Iterator[str]:
    """Yield what the user may have meant: the runs and sweeps beside the missing one, and ``latest``."""
    yield LATEST
    outer = PurePath(run).parent
    for folder in (Path(outer), runs_dir / outer):
        with suppress(OSError):
            yield from (str(outer / path.name) for path in folder.iterdir() if is_run(path) or is_sweep(path))
