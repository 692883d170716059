"""The work of a worker process: train the stack of a task, and measure each of its networks on the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.engine.state import State
from mlptrain.errors import MlptrainError
from mlptrain.models.model import make_model
from mlptrain.runs.job import Job, add_test_metrics, metrics_of
from mlptrain.sweeps.executors import Advanced, Broken, Done, Task
from mlptrain.sweeps.trials import DIVERGED, FINISHED, PAUSED, Result, Trial
from mlptrain.system.failures import failure_message
from mlptrain.training.memory import check_memory
from mlptrain.training.reports import EpochReport, LayersReport, Outcome
from mlptrain.training.stack import architecture_of
from mlptrain.training.trainer import Trainer

_load = lru_cache(maxsize=2)(load_dataset)
_split = lru_cache(maxsize=2)(make_split)


def run_task(
    task: Task, on_event: Callable[[Advanced], object] = lambda event: None, dataset: Dataset | None = None
) -> Done | Broken:
    """Train a stack and return its results, or the reason why it cannot be trained.

    ``on_event`` is called when all members have finished an epoch, except for the last. An unexpected exception also
    becomes `Broken`, so that one stack does not stop the sweep. ``dataset`` is None to load it from the task's folder.
    """
    try:
        return Done(task.stack, _train_stack(task, on_event, dataset))
    except MlptrainError as error:
        return Broken(task.stack, str(error))
    except MemoryError:
        return Broken(task.stack, "not enough memory for the stack\nhint: use --no-stack, or fewer --workers")
    except Exception as error:  # training the trial alone, with --index, shows the traceback of a bug
        return Broken(task.stack, failure_message(error) or f"{type(error).__name__}: {error}")


def _train_stack(task: Task, on_event: Callable[[Advanced], object], dataset: Dataset | None) -> tuple[Result, ...]:
    """Return the result of each trial; see `run_task`."""
    configs = [trial.config for trial in task.trials]
    first = configs[0]
    if dataset is None:
        dataset = _load(first.dataset, task.data_dir)
    split = _split(dataset, first.split, seed=first.split_seed, subset=first.subset)
    architecture = architecture_of(first, dataset.images.shape[1], dataset.classes, *configs)
    check_memory(first, architecture, len(split.train), len(configs))
    trainer = Trainer(configs, dataset, split)
    if task.states is not None:
        trainer.restore(task.states)
    histories: list[list[EpochReport]] = [[] for _ in configs]
    layers: list[list[LayersReport]] = [[] for _ in configs]
    outcomes: dict[int, Outcome] = {}
    finished, epoch = 0, 0
    for report in trainer.run(until=task.until):
        if isinstance(report, Outcome):
            outcomes[report.member] = report
        elif isinstance(report, LayersReport):
            layers[report.member].append(report)
        elif isinstance(report, EpochReport):
            if report.epoch != epoch and finished:
                on_event(Advanced(task.stack, finished))
                finished = 0
            histories[report.member].append(report)
            finished, epoch = finished + 1, report.epoch
    states = {member: trainer.state(member) for member in trainer.active}
    outcomes |= {member: trainer.outcome(member, "halving") for member in trainer.active}
    del trainer  # its memory is needed for the evaluation
    jobs = [Job(config, dataset, split, None) for config in configs]
    tested = add_test_metrics(jobs[0], [outcomes[member] for member in range(len(jobs))])
    return tuple(
        replace(
            _result(trial, jobs[member], tested[member], states.get(member)),
            history=tuple(histories[member]),
            layers=tuple(layers[member]),
        )
        for member, trial in enumerate(task.trials)
    )


def _result(trial: Trial, job: Job, outcome: Outcome, state: State | None) -> Result:
    if outcome.weights is None:
        seconds = {"seconds": round(outcome.seconds, 4)}
        return trial.result(DIVERGED, metrics=seconds, message=outcome.diverged)
    return trial.result(
        FINISHED if state is None else PAUSED,
        metrics=metrics_of(job, outcome),
        model=make_model(job.architecture, outcome.weights, job.dataset.class_names, job.saved_config),
        state=state,
    )
