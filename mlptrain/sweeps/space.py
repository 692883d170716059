"""What a sweep varies: for each config key the values that it may take, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

DIGITS = 6
"""Significant digits of a number drawn from a continuous range: enough for a search, short enough to type."""


@dataclass(frozen=True)
class Choice:
    """One of several values; ``weights`` are their probabilities, None where all are alike."""

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None

    @property
    def count(self) -> int | None:
        """How many values there are."""
        return len(self.values)

    def at(self, index: int) -> Any:
        """The value of this index."""
        return self.values[index]

    def draw(self, rng: Random) -> Any:
        """One value by its probability."""
        return rng.choices(self.values, self.weights)[0]


@dataclass(frozen=True)
class Interval:
    """A number from ``low`` to ``high``, both included: whole or not, uniform or uniform in its logarithm.

    ``step`` leaves only low, low + step, low + 2 step, ...
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    @property
    def count(self) -> int | None:
        """How many values there are; None where the range is continuous."""
        step = self._spacing
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    @property
    def _spacing(self) -> float | None:
        return 1 if self.step is None and self.whole else self.step

    def at(self, index: int) -> Any:
        """The value of this index, in ascending order; only where they can be counted."""
        step = self._spacing
        if step is None:
            raise ValueError("a continuous range has no list of values")
        value = self.low + index * step
        return int(value) if self.whole else _rounded(value, 12)

    def nearest(self, value: float) -> Any:
        """The value of the range that is nearest, continuous ones rounded to a few digits."""
        count, step = self.count, self._spacing
        if count is None or step is None:
            return min(max(_rounded(value, DIGITS), self.low), self.high)
        return self.at(min(max(round((value - self.low) / step), 0), count - 1))

    def draw(self, rng: Random) -> Any:
        """One value."""
        count, step = self.count, self._spacing
        if self.log:
            # Each whole number n stands for the range from n to n + 1, or the last would hardly ever come.
            top = self.high + 1 if self.whole and step == 1 else self.high
            value = math.exp(rng.uniform(math.log(self.low), math.log(top)))
            return self.nearest(math.floor(value) if self.whole and step == 1 else value)
        if count is not None:
            return self.at(rng.randrange(count))
        return self.nearest(rng.uniform(self.low, self.high))


Parameter = Choice | Interval


@dataclass(frozen=True)
class Space:
    """The parameters by dotted config key, in the order in which they were written."""

    parameters: Mapping[str, Parameter]

    @property
    def varied(self) -> tuple[str, ...]:
        """The keys that take more than one value."""
        return tuple(key for key, parameter in self.parameters.items() if parameter.count != 1)

    @property
    def size(self) -> int | None:
        """How many points there are; None where a range is continuous."""
        size = 1
        for parameter in self.parameters.values():
            if parameter.count is None:
                return None
            size *= parameter.count
        return size

    def point(self, index: int) -> dict[str, Any]:
        """The point of this index in a finite space; the last parameter moves fastest."""
        values = {}
        for key, parameter in reversed(list(self.parameters.items())):
            count = parameter.count
            if count is None:
                raise ValueError(f"{key} is continuous")
            index, position = divmod(index, count)
            values[key] = parameter.at(position)
        return {key: values[key] for key in self.parameters}

    def points(self) -> Iterator[dict[str, Any]]:
        """All points of a finite space, made one at a time."""
        return map(self.point, range(self.size or 0))

    def draw(self, rng: Random) -> dict[str, Any]:
        """One point, each parameter by its own distribution."""
        return {key: parameter.draw(rng) for key, parameter in self.parameters.items()}


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
