"""One stack trained from a task: what runs in a worker, on whatever machine that is."""

from __future__ import annotations

from collections.abc import Callable

from mlptrain.errors import MlptrainError
from mlptrain.sweeps.executors import Broken, Done, Task


def run_task(task: Task, on_epochs: Callable[[int], object] = lambda epochs: None) -> Done | Broken:
    """Train a stack; ``on_epochs`` is told how many epochs its members have finished since it was told last.

    A mistake of ours comes back as `Broken` with its type, so that one stack does not end the sweep.
    """
    # NumPy comes in with the trainer, after the worker's threads have been chosen.
    from mlptrain.sweeps.stacks import train_stack

    try:
        return Done(task.stack, train_stack(task, on_epochs))
    except MlptrainError as error:
        return Broken(task.stack, str(error))
    except MemoryError:
        return Broken(task.stack, "not enough memory for the stack; use --no-stack, or fewer --workers")
    except Exception as error:  # the journal keeps its words; the trial can be run alone for the traceback
        return Broken(task.stack, f"{type(error).__name__}: {error}")
