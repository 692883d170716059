"""Profiling: a clock that times the phases of training, and the profile that it measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from mlptrain.engine.products import multiplication
from mlptrain.training.reports import Profile

PHASES = (
    *("products", "activations", "normalisation", "dropout", "update"),
    *("gather", "metrics", "validation", "layers", "reporting"),
)

PEAK_SIZE = 1024  # rows and columns of the matrices whose product measures the peak
PEAK_REPEATS = 8

R = TypeVar("R")


class Clock:
    """The seconds of each phase of training, and the number of examples trained on.

    A `Trainer` with a clock wraps its functions with ``timed`` when it is made, and one without does not. With
    augmentation, ``gather`` is the time spent waiting for the next images.
    """

    def __init__(self) -> None:
        self.phases = dict.fromkeys(PHASES, 0.0)
        self.seconds = 0.0
        self.examples = 0

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, wrapped so that the time of each call is added to a phase."""
        phases, now = self.phases, time.perf_counter

        def timed(*arguments: Any, **keywords: Any) -> Any:
            began = now()
            result = function(*arguments, **keywords)
            phases[phase] += now() - began
            return result

        return timed

    def reports(self, reports: Iterator[R]) -> Iterator[R]:
        """Yield the reports of a trainer; the time until the next one is requested is the phase ``reporting``."""
        mark = time.perf_counter()
        for report in reports:
            given = time.perf_counter()
            self.seconds += given - mark
            yield report
            mark = time.perf_counter()
            self.phases["reporting"] += mark - given
            self.seconds += mark - given
        self.seconds += time.perf_counter() - mark

    def profile(self, layers: tuple[int, ...], dtype: np.dtype) -> Profile:
        """Return the times so far for networks of these layer sizes, and measure the speed of large products."""
        rest = self.seconds - sum(self.phases.values())
        phases = {name: seconds for name, seconds in self.phases.items() if seconds > 0}
        operations = self.examples * operations_per_example(layers)
        return Profile(phases | {"the rest": max(0.0, rest)}, self.seconds, operations, peak(dtype))


def operations_per_example(layers: tuple[int, ...]) -> int:
    """Return the operations per example of the products: forward, and backward to weights and hidden units."""
    sizes = [inputs * out for inputs, out in pairwise(layers)]
    return 2 * (3 * sum(sizes) - sizes[0])


def peak(dtype: np.dtype) -> float:
    """Measure the operations per second of a product of large matrices: the best of `PEAK_REPEATS`."""
    a = np.ones((PEAK_SIZE, PEAK_SIZE), dtype)
    out, multiply = np.empty_like(a), multiplication()
    best = 0.0
    for _ in range(PEAK_REPEATS):
        began = time.perf_counter()
        multiply(a, a, out=out)
        best = max(best, 2 * PEAK_SIZE**3 / (time.perf_counter() - began))
    return best
