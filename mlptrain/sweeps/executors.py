"""Where stacks are trained: one small interface for processes of this machine and for a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mlptrain.config.config import Config
from mlptrain.training.reports import EpochReport

if TYPE_CHECKING:
    from mlptrain.models.model import Model

State = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A stack to train: to the members' ends, or up to the epoch ``until``; with ``states`` from there on.

    ``dataset`` is looked for in ``data_dir`` of the machine that trains it.
    """

    stack: int
    configs: tuple[Config, ...]
    data_dir: str
    threads: int
    until: int | None = None
    states: tuple[State, ...] | None = None


@dataclass(frozen=True)
class Trained:
    """What became of a member: figures as in ``metrics.json``, the epochs of this task, and its model.

    ``status`` is finished, paused (then with the ``state`` to go on from) or diverged (with its ``message``).
    """

    status: str
    metrics: dict[str, Any] = field(default_factory=dict)
    history: tuple[EpochReport, ...] = ()
    model: Model | None = None
    message: str | None = None
    state: State | None = None


@dataclass(frozen=True)
class Advanced:
    """Members of a stack have finished epochs: ``epochs`` in all since the last such event, of all members."""

    stack: int
    epochs: int


@dataclass(frozen=True)
class Done:
    """A stack has been trained; one result a member."""

    stack: int
    members: Sequence[Trained]


@dataclass(frozen=True)
class Broken:
    """A stack cannot be trained, and trying again would not help."""

    stack: int
    message: str


@dataclass(frozen=True)
class Lost:
    """The worker that trained a stack ended; the stack can be submitted again."""

    stack: int
    reason: str


Event = Advanced | Done | Broken | Lost


class Executor(Protocol):
    """Trains as many stacks at a time as it has ``workers``."""

    @property
    def workers(self) -> int:
        """How many stacks can be trained at the same time."""

    def submit(self, task: Task) -> None:
        """Train a stack; at most ``workers`` may be on their way."""

    def events(self, seconds: float) -> Sequence[Event]:
        """What happened, waiting for it at most ``seconds``; nothing, where nothing did."""

    def close(self) -> None:
        """End all workers, also in the middle of a stack; more than once."""
