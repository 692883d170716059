"""From the trials of a wave to its plan: which of them share a stack, on how many workers and threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlptrain.datasets.dataset import load_dataset
from mlptrain.datasets.split import make_split
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
        parts: dict[tuple[object, ...], list[Trial]] = {}
        for trial in trials:
            config = trial.config
            parts.setdefault((config.dataset, config.split, config.split_seed, config.subset), []).append(trial)
        stacks: list[PlannedStack] = []
        busy = 1
        for members in parts.values():
            first = members[0].config
            dataset = load_dataset(first.dataset, self.data_dir)
            split = make_split(dataset, first.split, seed=first.split_seed, subset=first.subset)
            configs = [trial.config for trial in members]
            pixels, images = dataset.images.shape[1], len(split.train)
            planned, useful = plan_stacks(configs, pixels, dataset.classes, images, workers, self.stacked)
            busy = max(busy, useful)
            for stack in planned:
                numbers = tuple(members[index].number for index in stack.members)
                stacks.append(PlannedStack(numbered + len(stacks), numbers, self.threads or stack.threads))
        return Plan(tuple(stacks), min(busy if len(parts) == 1 else workers, workers))
