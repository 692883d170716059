"""The state of runs and sweeps, from the files of their folders alone: nothing is written, and no writer waits."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlptrain.runs.files import HISTORY, JOURNAL, LEADERBOARD, TRIALS, is_complete, is_run
from mlptrain.system.lock import LOCK, is_in_use

RUNNING, COMPLETE, INTERRUPTED, DIVERGED = "running", "complete", "interrupted", "diverged"

STALE = "stale lock"
"""State of a folder whose process was killed, so that its lock file is left."""

MAX_BYTES = 256 * 1024 * 1024

_PLAN = re.compile(rb'^\{"event": "plan".*\n', re.MULTILINE)

_ENDED = re.compile(rb'^\{"event": "trial", "trial": (\d+).*\n', re.MULTILINE)


@dataclass(frozen=True)
class Course:
    """The finished epochs of a history: their number, the metrics of the last one by column, and their time.

    ``diverged`` is True if the history ends with the row of an epoch that diverged.
    """

    epochs: int = 0
    last: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    diverged: bool = False


@dataclass(frozen=True)
class Trials:
    """The state of a sweep, and the numbers of trials that it has planned so far and that have ended."""

    state: str
    planned: int
    ended: int


def run_state(path: Path) -> str:
    """Return the state of a run folder: running, complete, interrupted, diverged or stale lock."""
    if is_in_use(path):
        return RUNNING
    if is_complete(path):
        return COMPLETE
    return DIVERGED if read_course(path / HISTORY).diverged else _unfinished(path)


def read_course(path: Path) -> Course:
    """Return what a history contains, without its last line if that is incomplete; of a missing one nothing.

    A damaged history has the epochs before the damage. `mlptrain.runs.history.read_history` checks every cell.
    """
    heading, *lines = _read(path).decode(errors="replace").split("\n")[:-1] or [""]
    names = heading.split(",")
    epochs, seconds, last, diverged = 0, 0.0, dict[str, float](), False
    with suppress(ValueError, KeyError):
        for line in lines:
            cells = dict(zip(names, line.split(","), strict=True))
            diverged = not cells["loss"]
            if diverged:
                break
            values = {name: float(cell) for name, cell in cells.items() if cell}
            if not all(map(math.isfinite, values.values())):
                break
            epochs, last, seconds = epochs + 1, values, seconds + values["seconds"]
    return Course(epochs, last, seconds, diverged)


def sweep_status(path: Path) -> Trials:
    """Return the state of a sweep folder, with the trials of its journal, of its shards, or of its job-array tasks.

    It is running while one of them is, and complete if all planned trials have ended, or if they were collected.
    """
    parts = journals(path)
    if parts:
        statuses = [_journal_status(part) for part in parts]
        count = parts[0].name.rpartition("-of-")[2]
        if path not in parts and count.isdecimal() and len(parts) < int(count):
            statuses.append(Trials(INTERRUPTED, 0, 0))  # a shard that has not started
    else:
        each = [run_state(run) for run in (path / TRIALS).glob("*") if is_run(run)]
        statuses = [Trials(state, 1, int(state in (COMPLETE, DIVERGED))) for state in each]
    states = {status.state for status in statuses}
    state = next((state for state in (RUNNING, STALE, INTERRUPTED) if state in states), COMPLETE)
    if state != RUNNING and parts != [path] and (path / LEADERBOARD).is_file():
        state = COMPLETE
    return Trials(state, sum(status.planned for status in statuses), sum(status.ended for status in statuses))


def journals(path: Path) -> list[Path]:
    """Return the folder of a sweep, or those of its shards, if they have a journal."""
    return [part for part in (path, *sorted(path.glob("shard-*-of-*"))) if (part / JOURNAL).is_file()]


def _journal_status(path: Path) -> Trials:
    content = _read(path / JOURNAL)
    planned: set[int] = set()
    with suppress(ValueError, KeyError, TypeError, RecursionError):  # a damaged plan
        for line in _PLAN.findall(content):
            planned.update(trial for stack in json.loads(line)["stacks"] for trial in stack["trials"])
    ended = {int(number) for number in _ENDED.findall(content)}
    over = COMPLETE if planned and planned <= ended else _unfinished(path)
    return Trials(RUNNING if is_in_use(path) else over, len(planned), len(ended))


def _unfinished(path: Path) -> str:
    return STALE if (path / LOCK).exists() else INTERRUPTED


def _read(path: Path) -> bytes:
    """Return the content of a file, nothing if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES)
    except OSError:
        return b""
