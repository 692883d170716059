"""What a sweep tells while it goes: frozen reports, from the driver to whoever shows or stores them."""

from __future__ import annotations

from dataclasses import dataclass

from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import Result


@dataclass(frozen=True)
class SweepStart:
    """What is about to be tried; ``trials`` is None where only the sampler knows, ``done`` were done before."""

    name: str
    base: str
    method: str
    keys: tuple[str, ...]
    metric: Metric
    repeat: int
    trials: int | None
    done: int


@dataclass(frozen=True)
class WaveStart:
    """What trains now: so many trials in so many stacks, up to the epoch ``until`` or to their end."""

    trials: int
    stacks: int
    workers: int
    threads: int
    until: int | None


@dataclass(frozen=True)
class Advance:
    """How far the sweep is: ``done`` trials, counted in parts of the epochs that each of them trains."""

    done: float
    total: int


@dataclass(frozen=True)
class TrialEnd:
    """A trial has ended; ``board`` is the leaderboard with it."""

    result: Result
    done: int
    board: Leaderboard


@dataclass(frozen=True)
class Retry:
    """A stack is trained again from its start, because its worker ended."""

    trials: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class SweepEnd:
    """The result: ``importances`` by key from 0 to 1, None where too few trials say anything about it.

    ``seconds`` are those of the clock; of a sweep that was ``collected`` the sum of its trials'.
    """

    folder: str
    board: Leaderboard
    best: str | None
    failed: tuple[Result, ...]
    importances: dict[str, float] | None
    seconds: float
    collected: bool = False


SweepReport = SweepStart | WaveStart | Advance | TrialEnd | Retry | SweepEnd
