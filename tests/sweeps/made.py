"""Small sweeps that the tests share, and an executor that trains where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlptrain.runs.job import default_data_dir
from mlptrain.sweeps.driver import Driver
from mlptrain.sweeps.executors import Done, Event, Task
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.planning import Planner
from mlptrain.sweeps.reports import SweepEnd, SweepReport
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result
from mlptrain.sweeps.worker import run_task

BASE = "hidden: [4]\nsubset: 120\nepochs: 2\nbatch_size: 20\n"


def spec(folder: Path, text: str, *arguments: str, base: str = BASE) -> Spec:
    """A sweep from the text of a sweep file, of which base, method and metric may be left out."""
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
    """Trains in this process; ``end_after`` events it raises KeyboardInterrupt, as a process that is killed ends."""

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


def drive(spec: Spec, path: Path, executor: Any = None, **options: Any) -> tuple[SweepEnd, list[SweepReport]]:
    """Run a sweep in a folder to its end."""
    keep = options.pop("keep", "best")
    stacked = options.pop("stacked", True)
    path.mkdir(exist_ok=True, parents=True)
    folder = SweepFolder(path, keep)
    folder.begin(spec)
    executor = executor or Inline()
    driver = Driver(spec, folder, lambda: executor, Planner(default_data_dir(), stacked), **options)
    reports = list(driver.run())
    end = reports[-1]
    assert isinstance(end, SweepEnd)
    return end, reports


def board_text(path: Path) -> str:
    """``leaderboard.csv`` without its seconds, and with the folder's name taken out."""
    rows = []
    for line in (path / "leaderboard.csv").read_text().replace(str(path), "HERE").splitlines():
        cells = line.split(",")
        rows.append(cells)
    at = rows[0].index("seconds")
    # a cell such as [4,3] is quoted and holds commas: the columns behind it are counted from the end
    back = len(rows[0]) - at
    return "\n".join(",".join(cells[:-back] + cells[len(cells) - back + 1 :]) for cells in rows)


def result(
    trial: int, figure: float | None, *, point: int | None = None, status: str = "finished", **more: Any
) -> Result:
    """A result whose val_accuracy is ``figure``."""
    metrics = {} if figure is None else {"val_accuracy": figure, "epochs": more.pop("epochs", 1), "seconds": 1.0}
    values = more.pop("values", {})
    return Result(
        trial, trial if point is None else point, f"key{trial}", values, status, metrics, more.pop("message", None)
    )
