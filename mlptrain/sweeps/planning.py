"""From the trials of a wave to its plan: which of them share a stack, on how many workers and threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlptrain.config import Config
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.footprint import check_memory
from mlptrain.sharing import stack_key
from mlptrain.stack import architecture_of
from mlptrain.sweeps.grouping import plan_stacks
from mlptrain.sweeps.record import Plan, PlannedStack
from mlptrain.sweeps.trials import Trial


@dataclass(frozen=True)
class Planner:
    """Plans waves for the data in ``data_dir``; ``stacked`` False gives every trial a stack of its own.

    ``threads`` are the BLAS threads of every stack, None where its size decides.
    """

    data_dir: Path
    stacked: bool = True
    threads: int | None = None

    def plan(self, trials: Sequence[Trial], workers: int, numbered: int) -> Plan:
        """The plan of a wave for at most ``workers`` at a time; its stacks are numbered on from ``numbered``.

        Raises
        ------
        MlptrainError
            A dataset is missing or damaged, or a split impossible: nothing has been trained yet.
        """
        stacks: list[PlannedStack] = []
        busy, parts = 1, _by_data(trials)
        for members in parts:
            dataset, images = self._data(members[0].config)
            configs = [trial.config for trial in members]
            pixels = dataset.images.shape[1]
            planned, useful = plan_stacks(configs, pixels, dataset.classes, images, workers, self.stacked)
            busy = max(busy, useful)
            for stack in planned:
                numbers = tuple(members[index].number for index in stack.members)
                stacks.append(PlannedStack(numbered + len(stacks), numbers, self.threads or stack.threads))
        return Plan(tuple(stacks), min(busy if len(parts) == 1 else workers, workers))

    def check(self, trials: Sequence[Trial]) -> None:
        """Load and split the data of every trial, so that what is wrong with it is said before anything is written.

        Raises
        ------
        MlptrainError
            A dataset is missing or damaged, a split impossible, or a network larger than the memory available.
        """
        for members in _by_data(trials):
            dataset, images = self._data(members[0].config)
            shapes = {stack_key(trial.config): trial.config for trial in members}
            for config in shapes.values():
                check_memory(config, architecture_of(config, dataset.images.shape[1], dataset.classes), images)

    def _data(self, config: Config) -> tuple[Dataset, int]:
        """A config's dataset, and how many images it trains on."""
        dataset = load_dataset(config.dataset, self.data_dir)
        split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
        return dataset, len(split.train)


def _by_data(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials that train on the same images together."""
    parts: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        config = trial.config
        parts.setdefault((config.dataset, config.split, config.split_seed, config.subset), []).append(trial)
    return list(parts.values())
