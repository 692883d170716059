"""Learning-rate schedules: the factor by which the rate is multiplied at a step.

A schedule is a function of ``(step, steps)``: updates done so far, and updates of the whole run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mlptrain.engine.state import State

Schedule = Callable[[int, int], float]


def constant(step: int, steps: int) -> float:
    """1 at every step."""
    return 1.0


def _power(gamma: float, exponent: int) -> float:
    try:
        return gamma**exponent
    except OverflowError:  # training meets it as it meets any other rate that is too large
        return math.inf


def step_decay(every: int, gamma: float) -> Schedule:
    """γ^⌊t / every⌋: down by γ once every ``every`` steps."""
    return lambda step, steps: _power(gamma, step // every)


def exponential(gamma: float) -> Schedule:
    """γ^t."""
    return lambda step, steps: _power(gamma, step)


def cosine(step: int, steps: int) -> float:
    """½ (1 + cos(π t / T)): from 1 to 0 (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


RISE = 0.3

START, END = 1 / 25, 1e-4 / 25


def one_cycle(step: int, steps: int) -> float:
    """From 1/25 up to 1 in the first 30 % of the steps, then down to 1/250,000, along cosines.

    Smith & Topin 2018, with the numbers of PyTorch's OneCycleLR: its peak falls on step 0.3 T − 1, its end on
    the last step, T − 1. No whole T puts the peak at 0 or at the end.
    """
    peak, last = RISE * steps - 1, steps - 1
    if step <= peak:
        low, high, share = START, 1.0, step / peak
    else:
        low, high, share = 1.0, END, min((step - peak) / (last - peak), 1.0)
    return high + (low - high) * 0.5 * (1 + math.cos(math.pi * share))


def with_warmup(schedule: Schedule, warmup: float) -> Schedule:
    """A linear rise from near 0 over the first ``warmup`` share of all steps, then the schedule over the rest.

    Step t of w warm-up steps has the factor (t + 1) / w times the schedule's first.
    """

    def warmed(step: int, steps: int) -> float:
        rise = int(warmup * steps + 1e-9)  # 0.29 of 100 steps are 29, not 28.999999999999996
        rest = max(1, steps - rise)
        return (step + 1) / rise * schedule(0, rest) if step < rise else schedule(step - rise, rest)

    return warmed


class Plateau:
    """The factor of ``plateau``: times ``factor`` once a loss has not fallen for ``patience`` epochs.

    Between two falls another ``patience`` epochs must pass (Keras's ReduceLROnPlateau, with min_delta 0).
    """

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.best, self.waited, self.value = math.inf, 0, 1.0

    def epoch(self, loss: float) -> None:
        """Take an epoch's loss into account."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.value *= self.factor
            self.waited = 0

    def state(self) -> State:
        """The best loss, the epochs waited since, and the factor."""
        return {"best": self.best, "waited": self.waited, "value": self.value}

    def restore(self, state: State) -> None:
        """Continue from there."""
        self.best, self.waited, self.value = state["best"], state["waited"], state["value"]

    def __call__(self, step: int, steps: int) -> float:
        """The factor in force, at whatever step."""
        return self.value


SCHEDULES: dict[str, Callable[[Mapping[str, float]], Schedule]] = {
    "constant": lambda options: constant,
    "step": lambda options: step_decay(int(options["every"]), options["gamma"]),
    "exponential": lambda options: exponential(options["gamma"]),
    "cosine": lambda options: cosine,
    "one_cycle": lambda options: one_cycle,
    "plateau": lambda options: Plateau(options["factor"], int(options["patience"])),
}


def make_schedule(name: str, options: Mapping[str, float], warmup: float) -> tuple[Schedule, Plateau | None]:
    """The schedule of that name, with its warm-up; and the ``Plateau`` within it that wants each epoch's loss."""
    schedule = SCHEDULES[name](options)
    plateau = schedule if isinstance(schedule, Plateau) else None
    return (with_warmup(schedule, warmup) if warmup > 0 else schedule), plateau
