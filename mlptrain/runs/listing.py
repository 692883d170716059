"""The list of the runs and sweeps in a folder, from their small files, with filters and an order."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlptrain.config.registry import DATASET_NAMES
from mlptrain.config.values import differing, flat
from mlptrain.config.yaml import read_saved, read_yaml
from mlptrain.errors import DataError, MlptrainError
from mlptrain.runs.files import (
    BASE,
    CONFIG,
    HISTORY,
    JOURNAL,
    LEADERBOARD,
    METRICS,
    MODEL,
    SWEEP,
    TRIALS,
    is_run,
    is_sweep,
    load_metrics,
)
from mlptrain.runs.status import RUNNING, journals, read_course, run_state, sweep_status
from mlptrain.system.files import reason
from mlptrain.system.lock import is_in_use
from mlptrain.training.reports import METRIC_NAMES

RUN, SWEEP_KIND, OTHER = "run", "sweep", "other"

DAMAGED = "damaged"
"""State of a folder with files that cannot be read."""

NAME_OF_SCHEDULE = "schedule.name"

MAX_NUMBER = 1e300

MAX_SECONDS = 253_402_300_000
"""The year 9999, in seconds since 1970."""

NUMBERS = ("epochs", "seconds", "parameters", *METRIC_NAMES)
"""Keys of ``metrics.json`` with a number or null."""


@dataclass(frozen=True)
class Row:
    """A run, a sweep or another folder.

    Attributes
    ----------
    name, path
        Path relative to the listed folder, and path as an argument of commands.
    kind, state
        ``run``, ``sweep`` or ``other``; one of the states of `mlptrain.runs.status`, or ``damaged``. Other folders have
        no state.
    started
        Time at which training began or was resumed, in seconds since 1970, from the times of files.
    config
        Values by dotted key; of a sweep without the keys that it varies.
    metrics
        Metrics of a complete run, of the last epoch of another run, or of the best trial of a sweep.
    progress
        The epochs of a run, or the trials of a sweep, that are done and that are planned, if they are known.
    varied
        Keys that a sweep varies.
    problem
        Reason why the folder cannot be read.
    """

    name: str
    path: Path
    kind: str
    state: str | None = None
    started: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    progress: tuple[int, int | None] | None = None
    varied: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def layers(self) -> list[int] | None:
        """Sizes of the layers from input to output; None if they are unknown, as for folders of data."""
        hidden = self.config.get("hidden")
        hidden = [hidden] if type(hidden) is int else hidden
        if not isinstance(hidden, list) or not all(type(units) is int for units in hidden):
            return None
        layers, known = [784, *hidden, 10], self.metrics.get("parameters")
        gains = sum(hidden) if self.config.get("batch_norm") is True else 0
        count = gains + sum(outputs * (inputs + 1) for inputs, outputs in pairwise(layers))
        return layers if known == count or self.config.get("dataset") in DATASET_NAMES else None

    def plain(self) -> dict[str, Any]:
        """Return the row as the JSON output contains it."""
        dataset = self.config.get("dataset")
        return {
            "name": self.name,
            "path": str(self.path),
            "kind": self.kind,
            "state": self.state,
            "started": None if self.started is None else _iso(self.started),
            "dataset": dataset if isinstance(dataset, str) else None,
            "layers": self.layers,
            "epochs": self.metrics.get("epochs"),
            "val_accuracy": self.metrics.get("val_accuracy"),
            "test_accuracy": self.metrics.get("test_accuracy"),
            "seconds": self.metrics.get("seconds"),
            "problem": self.problem,
        }

    def values(self, key: str) -> list[Any]:
        """Return the values of a metric, a column or a config key, in this order: several, if they share a name."""
        key = "schedule" if key == NAME_OF_SCHEDULE else key
        columns = {"name": self.name, "kind": self.kind, "state": self.state, "started": self.started}
        sources = (self.metrics, columns, self.config)
        return [source[key] for source in sources if key in source]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def list_runs(folder: Path) -> list[Row]:
    """Return a row for each folder in ``folder``, the newest first; those in a sweep are its trials.

    A folder without a run in which others are, as ``--run group/a`` makes them, is replaced by these.

    Raises
    ------
    DataError
        The folder is missing or cannot be read.
    """
    inner = folder / TRIALS if is_sweep(folder) and (folder / TRIALS).is_dir() else folder
    try:
        rows = [row for path in _folders(inner) for row in _rows(path, path.name)]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read: {reason(error)}\nhint: train a run, or name another folder"
        ) from error
    return sorted(rows, key=lambda row: (-(row.started or 0), row.name))


def read_row(path: Path) -> Row:
    """Return the row of one folder."""
    return next(_rows(path, path.name, nested=False))


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir()]


def _rows(path: Path, name: str, *, nested: bool = True) -> Iterator[Row]:
    if is_run(path):
        yield read_run(path, name)
    elif is_sweep(path) or (path / TRIALS).is_dir() or journals(path):
        yield _sweep_row(path, name)
    elif is_in_use(path):  # a run that has not written its config yet
        yield Row(name, path, RUN, RUNNING, _changed(path))
    else:
        found: list[Row] = []
        if nested:
            with suppress(OSError):
                found = [row for inner in _folders(path) for row in _rows(inner, f"{name}/{inner.name}", nested=False)]
            found = [row for row in found if row.kind != OTHER]
        yield from found or [Row(name, path, OTHER, problem=f"not a run: no {CONFIG}")]


def read_run(path: Path, name: str) -> Row:
    """Return the row of a run folder."""
    state, problem = run_state(path), None
    config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    try:
        config = _flat(read_saved(path / CONFIG))
        if state != RUNNING and (path / METRICS).exists():
            metrics = load_metrics(path)
            if wrong := [name for name in NUMBERS if metrics.get(name) is not None and not _is_number(metrics[name])]:
                problem, metrics = f"{METRICS}: {wrong[0]} is no number", {}
            else:
                (path / MODEL).stat()
    except OSError as error:
        problem = f"{MODEL}: {reason(error)}"
    except MlptrainError as error:
        problem = _problem(path, error)
    if not metrics:
        course = read_course(path / HISTORY)
        metrics = {**course.last, "epochs": course.epochs, "seconds": round(course.seconds, 4)}
    planned = config.get("epochs")
    return Row(
        name,
        path,
        RUN,
        state if problem is None or state == RUNNING else DAMAGED,
        _changed(path / CONFIG) or _changed(path),
        config,
        metrics,
        (metrics.get("epochs") or 0, planned if type(planned) is int else None),
        problem=problem,
    )


def _sweep_row(path: Path, name: str) -> Row:
    status, problem = sweep_status(path), None
    parts = [part for part in (path, *journals(path)) if (part / SWEEP).exists()]
    sweep: dict[str, Any] = {}
    config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    try:
        if parts:
            sweep, config = read_yaml(parts[0] / SWEEP).values, _flat(read_saved(parts[0] / BASE))
        trials = [] if parts else [read_run(run, name) for run in sorted((path / TRIALS).glob("*")) if is_run(run)]
        if trials:  # of a job array
            config = dict(trials[0].config)
            sweep = {"parameters": {key: {} for key in differing([trial.config for trial in trials])}}
        metrics = _best_of(path, sweep.get("metric"), [trial.metrics for trial in trials], status.state == RUNNING)
    except MlptrainError as error:
        problem = _problem(path, error)
    parameters = sweep.get("parameters")
    given = parameters.items() if isinstance(parameters, dict) else ()
    ranges = {key: values for key, values in given if isinstance(values, dict)}
    fixed = {key: values["value"] for key, values in ranges.items() if "value" in values}
    varied = [key for key in ranges if key not in fixed]
    return Row(
        name,
        path,
        SWEEP_KIND,
        status.state if problem is None or status.state == RUNNING else DAMAGED,
        next(filter(None, (_changed(file) for file in (*(part / SWEEP for part in parts), path))), None),
        {key: value for key, value in {**config, **_flat(fixed)}.items() if key not in varied},
        metrics,
        (status.ended, status.planned or None) if status.planned or status.ended else None,
        tuple(varied),
        problem,
    )


def _best_of(path: Path, metric: Any, single: Sequence[Mapping[str, Any]], running: bool) -> dict[str, Any]:
    """Return the metrics of the best trial of a sweep so far, with the training time of all trials as ``seconds``.

    ``single`` are the metrics of trials that no journal describes.

    Raises
    ------
    DataError
        The leaderboard is damaged.
    """
    given = metric if isinstance(metric, dict) else {}
    name, sign = str(given.get("name", "val_accuracy")), -1 if given.get("goal") == "minimize" else 1
    if (path / LEADERBOARD).is_file() and not running:
        results: list[Mapping[str, Any]] = [*_ranked(path / LEADERBOARD)]
        best = results[0] if results else {}
    else:
        results = [*single, *(metrics for part in journals(path) for metrics in _ended(part / JOURNAL))]
        known = [metrics for metrics in results if _is_number(metrics.get(name))]
        best = max(known, key=lambda metrics: sign * metrics[name], default={})
    return {**best, "seconds": round(sum(metrics.get("seconds") or 0 for metrics in results), 4)}


def _ranked(path: Path) -> list[dict[str, Any]]:
    """Return the metrics of each row of a leaderboard; those without a rank have only their time."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            head, *lines = csv.reader(stream)
        status = head.index("status")
        rows = [dict(zip(head[status:], cells[status:], strict=True)) for cells in lines]
        return [{key: _parsed(cell) for key, cell in row.items() if cell and key != "status"} for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: damaged, or not a leaderboard") from error


def _ended(journal: Path) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each trial of a journal that has ended, and of those that diverged their time."""
    with suppress(OSError):
        for line in journal.read_bytes().split(b"\n")[:-1]:
            if line.startswith(b'{"event": "trial"'):
                with suppress(ValueError, RecursionError):
                    metrics = json.loads(line).get("metrics")
                    if isinstance(metrics, dict):
                        yield {key: value for key, value in metrics.items() if _is_number(value)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config by dotted key, the name of a schedule as ``schedule`` also if it has options."""
    return {"schedule" if key == NAME_OF_SCHEDULE else key: value for key, value in flat(values).items()}


def _problem(path: Path, error: MlptrainError) -> str:
    return str(error).splitlines()[0].removeprefix(f"{path}/")


def _changed(path: Path) -> float | None:
    with suppress(OSError):
        seconds = path.stat().st_mtime
        if 0 <= seconds < MAX_SECONDS:
            return seconds
    return None


def _parsed(cell: str) -> float:
    """Return the number in a cell, an int if it is written as one.

    Raises
    ------
    ValueError
        There is none.
    """
    number = int(cell) if cell.isdecimal() else float(cell)
    if not _is_number(number):
        raise ValueError(f"{cell} is out of range")
    return number


def _is_number(value: object) -> bool:
    """Return whether a value is a finite number that can be printed."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER  # not NaN
