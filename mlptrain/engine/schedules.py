"""Learning-rate schedules: the factor by which the learning rate is multiplied at each step.

A schedule is a function of ``step``, the number t of updates done so far, and ``steps``, the number T of updates of the
whole run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlptrain.engine.state import State

Schedule = Callable[[int, int], float]


def constant(step: int, steps: int) -> float:
    """1 at every step."""
    return 1.0


def _power(gamma: float, exponent: int) -> float:
    try:
        return gamma**exponent
    except OverflowError:  # training diverges, as with any rate that is too large
        return math.inf


def step_decay(every: int, gamma: float) -> Schedule:
    """γ^⌊t / every⌋."""
    return lambda step, steps: _power(gamma, step // every)


def exponential(gamma: float) -> Schedule:
    """γ^t."""
    return lambda step, steps: _power(gamma, step)


def cosine(step: int, steps: int) -> float:
    """½ (1 + cos(π t / T)): from 1 to 0 (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


ONE_CYCLE_RISE = 0.3
"""Share of the steps with a rising rate."""

ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-4 / 25


def one_cycle(step: int, steps: int) -> float:
    """From 1/25 to 1 at t = 0.3 T − 1, then to 1/250,000 at t = T − 1, both along half a cosine.

    Smith & Topin 2018, with the defaults of PyTorch's OneCycleLR. No integer T makes a denominator 0.
    """
    peak, last = ONE_CYCLE_RISE * steps - 1, steps - 1
    if step <= peak:
        first, second, share = ONE_CYCLE_START, 1.0, step / peak
    else:
        first, second, share = 1.0, ONE_CYCLE_END, min((step - peak) / (last - peak), 1.0)
    return second + (first - second) * 0.5 * (1 + math.cos(math.pi * share))


def with_warmup(schedule: Schedule, warmup: float) -> Schedule:
    """Return a schedule with a linear rise over the share ``warmup`` of all steps, then ``schedule`` over the rest.

    At step t of w warm-up steps the factor is (t + 1) / w times the first factor of the schedule.
    """

    def warmed(step: int, steps: int) -> float:
        rise = int(warmup * steps + 1e-9)  # in floating point 0.29 · 100 is 28.999999999999996
        rest = max(1, steps - rise)
        return (step + 1) / rise * schedule(0, rest) if step < rise else schedule(step - rise, rest)

    return warmed


class Plateau:
    """A schedule that multiplies by ``factor`` after each ``patience`` epochs in a row without a lower loss.

    The same as Keras's ReduceLROnPlateau with min_delta 0.
    """

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.best, self.waited, self.value = math.inf, 0, 1.0

    def observe(self, loss: float) -> None:
        """Update the factor with the loss of an epoch."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.value *= self.factor
            self.waited = 0

    def state(self) -> State:
        """Return the best loss, the number of epochs without a lower one, and the factor."""
        return {"best": self.best, "waited": self.waited, "value": self.value}

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self.best, self.waited, self.value = state["best"], state["waited"], state["value"]

    def __call__(self, step: int, steps: int) -> float:
        """Return the factor, which is the same at every step of an epoch."""
        return self.value


@dataclass(frozen=True)
class ScheduleKind:
    """A function that makes a schedule, and the options that it takes, each with an example value."""

    make: Callable[..., Schedule]
    options: Mapping[str, float] = field(default_factory=dict)


SCHEDULES: dict[str, ScheduleKind] = {
    "constant": ScheduleKind(lambda: constant),
    "step": ScheduleKind(step_decay, {"every": 5000, "gamma": 0.5}),
    "exponential": ScheduleKind(exponential, {"gamma": 0.9999}),
    "cosine": ScheduleKind(lambda: cosine),
    "one_cycle": ScheduleKind(lambda: one_cycle),
    "plateau": ScheduleKind(Plateau, {"factor": 0.5, "patience": 3}),
}


def make_schedule(name: str, options: Mapping[str, float], warmup: float) -> tuple[Schedule, Plateau | None]:
    """Return the schedule with its warm-up, and for ``plateau`` the `Plateau` that needs the loss of each epoch."""
    kind = SCHEDULES[name]
    schedule = kind.make(**{key: options[key] for key in kind.options})
    plateau = schedule if isinstance(schedule, Plateau) else None
    return (with_warmup(schedule, warmup) if warmup > 0 else schedule), plateau
