"""A run that another process trains, followed by its files: nothing is written, and the process never waits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlptrain.config.config import Config
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.files import CONFIG, HISTORY, LAYERS, METRICS, load_metrics
from mlptrain.runs.folder import load_run_config
from mlptrain.runs.history import finished_epochs, layers_until
from mlptrain.runs.job import outcome_of
from mlptrain.runs.status import COMPLETE, DIVERGED, RUNNING, run_state
from mlptrain.training.reports import EpochReport, Progress, Report

POLL_SECONDS = 0.5

SETTLED_SECONDS = 1.0
"""Time after which a state that could be a moment between two others is the end: a process that begins a run, or
replaces one, has no lock for a moment."""

GONE_SECONDS = 5.0
"""Time after which a folder that was deleted is not expected to be made again."""


@dataclass(frozen=True)
class RunFound:
    """A run at the beginning of the watch, or after it was resumed or replaced: its config and finished epochs."""

    path: Path
    config: Config
    history: tuple[EpochReport, ...]


@dataclass(frozen=True)
class RunEnd:
    """The end of the watch: the state of the run, None if its folder is gone, and the number of finished epochs."""

    path: Path
    state: str | None
    epochs: int


def watch_run(
    path: Path, *, layers: bool = False, poll_seconds: float = POLL_SECONDS
) -> Iterator[RunFound | Report | RunEnd]:
    """Yield a `RunFound`, the reports of the run as its files grow, and a `RunEnd`.

    The progress within an epoch is not in the files; a `Progress` without steps has the time since the last epoch. With
    ``layers`` each epoch is followed by the statistics of its layers.

    Raises
    ------
    MlptrainError
        A file is damaged.
    """
    found: RunFound | None = None
    version, shown, same = None, 0, Stopwatch()
    while True:
        state = run_state(path)  # before the files, so that those of an ended run are read to their end
        current = file_version(path / CONFIG)  # written when the run is started or resumed, and only then
        if current != version or found is None:
            version, found = current, _found(path)
            if found is not None:
                shown = len(found.history)
                yield found
        if found is None:
            if same.seconds("gone") >= GONE_SECONDS:
                yield RunEnd(path, None, shown)
                return
            time.sleep(poll_seconds)
            continue
        history = finished_epochs(path / HISTORY, found.config.epochs)
        new = history[shown:]
        measured = {each.epoch: each for each in layers_until(path / LAYERS, len(history))} if layers and new else {}
        for report in new:
            yield report
            if report.epoch in measured:
                yield measured[report.epoch]
        shown = max(shown, len(history))
        if state in (COMPLETE, DIVERGED) or (state != RUNNING and same.seconds(state) >= SETTLED_SECONDS):
            break
        if state == RUNNING:
            same.seconds(state)
            if shown < found.config.epochs:
                yield Progress(shown + 1, found.config.epochs, 0, 0, math.nan, math.nan, _age(path / HISTORY))
        time.sleep(poll_seconds)
    if state != DIVERGED and (path / METRICS).exists():
        yield outcome_of(load_metrics(path))
    yield RunEnd(path, state, shown)


class Stopwatch:
    """The time for which something has been so."""

    def __init__(self) -> None:
        self._what, self._since = "", 0.0

    def seconds(self, what: str) -> float:
        """Return how long the calls have had the same argument."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._since = what, now
        return now - self._since


def _found(path: Path) -> RunFound | None:
    """Return the run in a folder, None if it has no config."""
    if not (path / CONFIG).is_file():
        return None
    try:
        config = load_run_config(path)
    except (DataError, UsageError):
        if (path / CONFIG).is_file():
            raise
        return None  # deleted meanwhile
    return RunFound(path, config, finished_epochs(path / HISTORY, config.epochs))


def file_version(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is replaced; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _age(path: Path) -> float:
    """Return the time since a file was changed, in seconds; 0 if it is missing."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0
