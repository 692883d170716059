"""Search spaces: the values that each config key of a sweep may take, and how they are drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

Point = dict[str, Any]
"""One value for each dotted config key of a space."""

DIGITS = 6
"""Significant digits of a number drawn from a continuous range: enough for a search, short enough to type."""

MAX_MISSES = 200
"""Number of consecutive draws of known points after which `Space.sample` lists the remaining ones."""

MAX_LISTED = 1_000_000
"""Number of points of the largest space that is listed as a whole."""


@dataclass(frozen=True)
class Choice:
    """One of several values; ``weights`` are their probabilities, None if they are equal."""

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.values)

    def at(self, index: int) -> Any:
        """Return the value of this index."""
        return self.values[index]

    def draw(self, rng: Random) -> Any:
        """Return a random value."""
        return rng.choices(self.values, self.weights)[0]


@dataclass(frozen=True)
class Interval:
    """A number from ``low`` to ``high``, both included; ``whole`` for integers, ``log`` for uniform in the logarithm.

    With ``step`` only low, low + step, low + 2 step, ...
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    @property
    def count(self) -> int | None:
        """Number of values; None for a continuous range."""
        step = self._spacing
        if step is None:
            return None
        steps = (self.high - self.low) // step if self.whole else (self.high - self.low) / step + 1e-9
        return math.floor(steps) + 1

    @property
    def _spacing(self) -> float | None:
        return 1 if self.step is None and self.whole else self.step

    def at(self, index: int) -> Any:
        """Return the value of this index, in ascending order.

        Raises
        ------
        ValueError
            The range is continuous.
        """
        step = self._spacing
        if step is None:
            raise ValueError("the range is continuous")
        value = self.low + index * step
        return int(value) if self.whole else _rounded(value, 12)

    def nearest(self, value: float) -> Any:
        """Return the nearest value of the range; of a continuous one, rounded to `DIGITS`."""
        count, step = self.count, self._spacing
        if count is None or step is None:
            return min(max(_rounded(value, DIGITS), self.low), self.high)
        return self.at(min(max(round((value - self.low) / step), 0), count - 1))

    def draw(self, rng: Random) -> Any:
        """Return a random value."""
        count, step = self.count, self._spacing
        if self.log:
            # An integer n represents the range from n to n + 1; otherwise the last one would hardly ever be drawn.
            top = self.high + 1 if self.whole and step == 1 else self.high
            value = math.exp(rng.uniform(math.log(self.low), math.log(top)))
            return self.nearest(math.floor(value) if self.whole and step == 1 else value)
        if count is not None:
            return self.at(rng.randrange(count))
        return self.nearest(rng.uniform(self.low, self.high))


Parameter = Choice | Interval


@dataclass(frozen=True)
class Space:
    """The parameters by dotted config key, in the order of the sweep file."""

    parameters: Mapping[str, Parameter]

    @property
    def varied(self) -> tuple[str, ...]:
        """The keys that take more than one value."""
        return tuple(key for key, parameter in self.parameters.items() if parameter.count != 1)

    @property
    def size(self) -> int | None:
        """Number of points; None if a range is continuous."""
        size = 1
        for parameter in self.parameters.values():
            if parameter.count is None:
                return None
            size *= parameter.count
        return size

    def point(self, index: int) -> Point:
        """Return the point of this index; the last parameter changes fastest.

        Raises
        ------
        ValueError
            A range is continuous.
        """
        values = {}
        for key, parameter in reversed(list(self.parameters.items())):
            if parameter.count is None:
                raise ValueError(f"the range of {key} is continuous")
            index, position = divmod(index, parameter.count)
            values[key] = parameter.at(position)
        return {key: values[key] for key in self.parameters}

    def draw(self, rng: Random) -> Point:
        """Return a random point, each parameter by its own distribution."""
        return {key: parameter.draw(rng) for key, parameter in self.parameters.items()}

    def sample(self, seed: int, count: int | None = None) -> Iterator[Point]:
        """Yield up to ``count`` distinct random points; fewer if the space has no more.

        If random draws hardly find new points, the remaining ones of a finite space follow in random order.
        """
        return islice(self._distinct(Random(seed)), count)

    def _distinct(self, rng: Random) -> Iterator[Point]:
        seen: set[str] = set()
        misses = 0
        while misses < MAX_MISSES:
            point = self.draw(rng)
            name = fingerprint(point)
            misses = misses + 1 if name in seen else 0
            if not misses:
                seen.add(name)
                yield point
        size = self.size
        if size is None or size > MAX_LISTED or len(seen) >= size:
            return
        rest = [index for index in range(size) if fingerprint(self.point(index)) not in seen]
        rng.shuffle(rest)
        yield from map(self.point, rest)


def fingerprint(point: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal points."""
    return json.dumps(point, sort_keys=True)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
