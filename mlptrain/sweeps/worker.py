"""A task's networks trained side by side: from configs and states to figures, models and states."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.errors import MlptrainError
from mlptrain.models.evaluation import figures_together
from mlptrain.models.model import model_of
from mlptrain.runs.job import Job, metrics_of
from mlptrain.sweeps.executors import Broken, Done, State, Task, Trained
from mlptrain.training.reports import EpochReport, Outcome
from mlptrain.training.stack import architecture_of
from mlptrain.training.trainer import Trainer


@lru_cache(maxsize=2)
def _data(
    name: str, data_dir: str, rule: tuple[float, float, float] | str, seed: int, subset: int | None
) -> tuple[Dataset, Split]:
    """A dataset, mapped where it is cached, and its split: kept for the next stack of this worker."""
    dataset = load_dataset(name, Path(data_dir))
    return dataset, make_split(dataset, rule, seed=seed, subset=subset)


def train_stack(task: Task, on_epochs: Callable[[int], object]) -> tuple[Trained, ...]:
    """Train a task's stack and measure every member's model on the test part.

    Raises
    ------
    MlptrainError
        The data is missing or damaged, or the stack does not fit in memory.
    """
    first = task.configs[0]
    dataset, split = _data(first.dataset, task.data_dir, first.split, first.split_seed, first.subset)
    trainer = Trainer(task.configs, dataset, split)
    if task.states is not None:
        trainer.restore(task.states)
    histories: list[list[EpochReport]] = [[] for _ in task.configs]
    outcomes: dict[int, Outcome] = {}
    finished, epoch = 0, 0
    for report in trainer.run(until=task.until):
        if isinstance(report, Outcome):
            outcomes[report.member] = report
        elif isinstance(report, EpochReport):
            if report.epoch != epoch and finished:
                on_epochs(finished)
                finished = 0
            histories[report.member].append(report)
            finished, epoch = finished + 1, report.epoch
    states: dict[int, State] = {member: trainer.state(member) for member in trainer.active}
    outcomes |= {member: trainer.outcome(member, "halving") for member in trainer.active}
    del trainer
    return _measured(task, dataset, split, outcomes, histories, states)


def _measured(
    task: Task,
    dataset: Dataset,
    split: Split,
    outcomes: dict[int, Outcome],
    histories: list[list[EpochReport]],
    states: dict[int, State],
) -> tuple[Trained, ...]:
    """Each member's result; those whose weights remain are measured together."""
    kept = [(member, outcome.weights) for member, outcome in sorted(outcomes.items()) if outcome.weights is not None]
    tested: dict[int, tuple[float, float]] = {}
    if kept:
        first = task.configs[0]
        architecture = architecture_of(first, dataset.images.shape[1], dataset.classes)
        every = [weights for _, weights in kept]
        losses, accuracies = figures_together(architecture, every, first.dtype, dataset, split.test)
        for (member, _), loss, accuracy in zip(kept, losses, accuracies, strict=True):
            tested[member] = float(loss), float(accuracy)
    results = []
    for member, config in enumerate(task.configs):
        outcome, history = outcomes[member], tuple(histories[member])
        test = tested.get(member)
        if outcome.weights is None or test is None or not math.isfinite(test[0]):
            message = outcome.diverged or "training diverged: the test loss is not a finite number"
            results.append(Trained("diverged", {"seconds": round(outcome.seconds, 4)}, history, None, message))
            continue
        job, state = Job(config, dataset, split, None), states.get(member)
        metrics = metrics_of(job, replace(outcome, test_loss=test[0], test_accuracy=test[1]))
        model = model_of(job.architecture, outcome.weights, dataset.class_names, job.saved_config)
        results.append(Trained("finished" if state is None else "paused", metrics, history, model, None, state))
    return tuple(results)


def run_task(task: Task, on_epochs: Callable[[int], object] = lambda epochs: None) -> Done | Broken:
    """Train a stack; ``on_epochs`` is told how many epochs its members have finished since it was told last.

    A mistake of ours comes back as `Broken` with its type, so that one stack does not end the sweep.
    """
    # NumPy comes in with the trainer, after the worker's threads have been chosen.

    try:
        return Done(task.stack, train_stack(task, on_epochs))
    except MlptrainError as error:
        return Broken(task.stack, str(error))
    except MemoryError:
        return Broken(task.stack, "not enough memory for the stack; use --no-stack, or fewer --workers")
    except Exception as error:  # the journal keeps its words; the trial can be run alone for the traceback
        return Broken(task.stack, f"{type(error).__name__}: {error}")
