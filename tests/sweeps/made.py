"""Small sweeps that the tests share, and an executor that trains in the process of the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlptrain.datasets.dataset import data_folder
from mlptrain.sweeps.driver import Driver
from mlptrain.sweeps.executors import Done, Event, Task
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.reports import SweepEnd, SweepReport
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result, Trial
from mlptrain.sweeps.worker import run_task
from tests.made import config

BASE = "hidden: [4]\nsubset: 120\nepochs: 2\nbatch_size: 20\n"


def spec(folder: Path, text: str, *arguments: str, base: str = BASE) -> Spec:
    """Return the sweep of a sweep file, in which base, method and metric are optional."""
    (folder / "base.yaml").write_text(base)
    for key, line in (
        ("metric:", "metric: {name: val_accuracy, goal: maximize}"),
        ("method:", "method: grid"),
        ("base:", "base: base.yaml"),
    ):
        if key not in text:
            text = f"{line}\n{text}"
    (folder / "sweep.yaml").write_text(text)
    return read_sweep(folder / "sweep.yaml", arguments)


class Inline:
    """Trains in this process, and raises KeyboardInterrupt after ``end_after`` events."""

    def __init__(self, workers: int = 2, end_after: int | None = None) -> None:
        self._workers, self._left = workers, end_after
        self._tasks: list[Task] = []
        self.trained: list[int] = []
        self.closed = False

    @property
    def workers(self) -> int:
        return self._workers

    def submit(self, task: Task) -> None:
        assert len(self._tasks) < self._workers
        self._tasks.append(task)

    def events(self, seconds: float) -> Sequence[Event]:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        task = self._tasks.pop(0)
        self.trained.append(task.stack)
        event = run_task(task)
        assert isinstance(event, Done), event
        return [event]

    def close(self) -> None:
        self.closed = True


def task(stack: int, *, seeds: int = 1, until: int | None = None, states: Any = None, **values: Any) -> Task:
    """Return a task of small networks that differ in their seed."""
    values = {"hidden": (4,), "subset": 120, "epochs": 2, "batch_size": 20, **values}
    configs = [config(**values, seed=seed, batch_seed=0) for seed in range(seeds)]
    trials = tuple(Trial(number, number, {}, each) for number, each in enumerate(configs))
    return Task(stack, trials, "no-data", 1, until, states)


def drive(spec: Spec, path: Path, executor: Any = None, **options: Any) -> tuple[SweepEnd, list[SweepReport]]:
    """Run a sweep in a folder to its end; return the last report and all reports."""
    keep = options.pop("keep", "best")
    path.mkdir(exist_ok=True, parents=True)
    folder = SweepFolder(path, keep)
    folder.begin(spec)
    executor = executor or Inline()
    reports = list(Driver(spec, folder, lambda: executor, data_folder(), **options).run())
    end = reports[-1]
    assert isinstance(end, SweepEnd)
    return end, reports


def board_text(path: Path) -> str:
    """Return ``leaderboard.csv`` without its seconds and without the name of the folder."""
    rows = []
    for line in (path / "leaderboard.csv").read_text().replace(str(path), "HERE").splitlines():
        cells = line.split(",")
        rows.append(cells)
    at = rows[0].index("seconds")
    back = len(rows[0]) - at  # counted from the end, because a cell such as [4,3] contains commas
    return "\n".join(",".join(cells[:-back] + cells[len(cells) - back + 1 :]) for cells in rows)


def result(
    trial: int, accuracy: float | None, *, point: int | None = None, status: str = "finished", epochs: int = 1
) -> Result:
    """Return a result with this val_accuracy."""
    metrics = {} if accuracy is None else {"val_accuracy": accuracy, "epochs": epochs, "seconds": 1.0}
    return Result(trial, trial if point is None else point, f"key{trial}", {}, status, metrics)
