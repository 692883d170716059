"""Executors: the interface of the worker processes or Dask cluster that train stacks, with its tasks and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlptrain.engine.state import State
from mlptrain.sweeps.trials import Result, Trial


@dataclass(frozen=True)
class Task:
    """A stack to train, up to the epoch ``until`` or to the end of each trial.

    ``states`` are those from which the trials continue, None if they start. ``data_dir`` is the data folder of the
    machine on which the sweep was started.
    """

    stack: int
    trials: tuple[Trial, ...]
    data_dir: str
    threads: int
    until: int | None = None
    states: tuple[State, ...] | None = None


@dataclass(frozen=True)
class Advanced:
    """Progress of a stack: its trials have finished ``epochs`` more epochs, counted over all of them."""

    stack: int
    epochs: int


@dataclass(frozen=True)
class Done:
    """The end of a stack that was trained, with one result per trial."""

    stack: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Broken:
    """The end of a stack that cannot be trained; another attempt would not help."""

    stack: int
    message: str


@dataclass(frozen=True)
class Lost:
    """The death of the worker process of a stack; the stack can be submitted again."""

    stack: int
    reason: str


Event = Advanced | Done | Broken | Lost


class Executor(Protocol):
    """A pool of worker processes that trains up to ``workers`` stacks at a time."""

    @property
    def workers(self) -> int:
        """Number of stacks that can train at the same time; 0 while it is out of reach."""

    def submit(self, task: Task) -> None:
        """Start to train a stack; at most ``workers`` may be in progress."""

    def events(self, seconds: float) -> Sequence[Event]:
        """Return what has happened, after at most ``seconds``; empty if nothing has."""

    def close(self) -> None:
        """End all worker processes, also while they train; may be called more than once."""
