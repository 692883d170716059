"""Axes of sweeps: positions from 0 to 1 of numbers and categories, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from mlptrain.config.values import short
from mlptrain.reporting.text import shortened
from mlptrain.sweeps.spec import Metric

LOG_RATIO = 20  # of the largest to the smallest value, from which an axis is logarithmic

MAX_CATEGORIES = 6  # distinct numbers, up to which an axis has one tick per value

MAX_LABELS = 12  # tick labels of an axis with many categories

MIN_LOG_TICKS = 3

TUKEY = 3  # interquartile ranges beyond the quartile, from which values are "far out" (Tukey 1977)


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes
    ----------
    place
        Return the position of a value: 0 at the beginning of the axis, 1 at its end, beyond them if it is clipped.
    ticks
        Positions and labels in ascending order.
    categories
        Number of categories; 0 if the axis is one of numbers.
    """

    place: Callable[[Any], Any]
    ticks: tuple[tuple[float, str], ...]
    categories: int = 0

    def spread(self, values: Sequence[Any]) -> list[float]:
        """Return the positions of values; those of a category are spread out, the same way in every plot."""
        positions = [self.place(value) for value in values]
        if not self.categories:
            return positions
        shifts = [0.36 * (index * 0.618 % 1) - 0.18 if index else 0.0 for index in range(len(values))]
        return [position + shift / self.categories for position, shift in zip(positions, shifts, strict=True)]

    def ticks_up_to(self, most: int) -> tuple[tuple[float, str], ...]:
        """Return at most this many ticks, at equal distances."""
        return self.ticks[:: -(-len(self.ticks) // most)]

    def labels(self, characters: float) -> list[tuple[float, str, int]]:
        """Return position, text and row of the tick labels of a horizontal axis as long as this many characters.

        The labels are in two rows, 0 and 1, if they would overlap in one.
        """
        ticks = self.ticks_up_to(MAX_LABELS)
        gaps = [after[0] - before[0] for before, after in pairwise(ticks)]
        room = characters * min(gaps, default=1.0) - 1
        rows = 2 if any(len(label) > room for _, label in ticks) else 1
        width = max(3, int(rows * room)) if self.categories else 99
        return [(at, shortened(label, width), index % rows) for index, (at, label) in enumerate(ticks)]


def parameter_scale(values: Sequence[Any]) -> Scale:
    """Return the axis of a parameter that took these values: of numbers if there are many, else of categories."""
    if all(map(_is_number, values)) and len(set(values)) > MAX_CATEGORIES:
        low, high = min(values), max(values)
        # Half of the numbers of a logarithmic range are below its geometric mean, far below the middle.
        skewed = float(np.median(values)) < 0.35 * (low + high)
        logarithmic = low > 0 and high / low >= LOG_RATIO and skewed
        return _number_scale(low, high, logarithmic, all(isinstance(value, int) for value in values))
    kinds = distinct(values)
    positions = {short(kind): (index + 0.5) / len(kinds) for index, kind in enumerate(kinds)}
    texts = [number_label(kind) if isinstance(kind, float) else short(kind) for kind in kinds]
    texts = texts if len(set(texts)) == len(texts) else [*positions]
    ticks = tuple(zip(positions.values(), texts, strict=True))
    return Scale(lambda value: positions[short(value)], ticks, len(kinds))


def metric_scale(values: Sequence[float], metric: Metric) -> tuple[Scale, float | None]:
    """Return the axis of a metric, and the value beyond which outliers are clipped; None if there are none.

    Outliers on the worse side would leave no room for the differences between the other values.
    """
    lower, upper = np.quantile(values, (0.25, 0.75))
    margin, good = TUKEY * (upper - lower), metric.sign > 0
    kept = [value for value in values if (value >= lower - margin if good else value <= upper + margin)]
    if min(kept) == max(kept):
        kept = [*values]
    limit = None if len(kept) == len(values) else min(kept) if good else max(kept)
    return _number_scale(min(kept), max(kept)), limit


def _number_scale(low: float, high: float, logarithmic: bool = False, whole: bool = False) -> Scale:
    if low == high:
        return Scale(lambda value: 0.5 + (value > high) - (value < low), ((0.5, number_label(low)),))
    if logarithmic:
        ratio = math.log(high / low)
        return _with_ticks(Scale(lambda value: math.log(value / low) / ratio, ()), *_log_ticks(low, high))
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    decimals = max(0, math.ceil(-math.log10(ticks[1] - ticks[0]) - 1e-9))
    labels = [f"{tick:.{decimals}f}" if decimals < 6 and abs(tick) < 1e6 else number_label(tick) for tick in ticks]
    return _with_ticks(Scale(lambda value: (value - low) / (high - low), ()), ticks, labels)


def _with_ticks(scale: Scale, values: Sequence[float], labels: Sequence[str]) -> Scale:
    """Return a scale with those ticks that are on the axis."""
    placed = ((scale.place(value), label) for value, label in zip(values, labels, strict=True))
    return replace(scale, ticks=tuple(tick for tick in placed if -1e-9 <= tick[0] <= 1 + 1e-9))


def _log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return powers of ten or, if there are few, also their multiples."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for multiples in ((1,), (1, 3), (1, 2, 5)):
        step = -(-(last - first) // 6)
        ticks = [float(f"{digit}e{power}") for power in range(first, last + 1, step) for digit in multiples]
        if sum(low <= tick <= high for tick in ticks) >= MIN_LOG_TICKS:
            break
    return ticks, [*map(number_label, ticks)]


def number_label(value: float) -> str:
    """Return a number with at most four significant digits, in few characters: 0.5, 1e-5, 1.312e8."""
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def distinct(values: Sequence[Any]) -> list[Any]:
    """Return the distinct values in order: numbers by size, lists by their numbers, the rest by their text."""

    def order(value: Any) -> tuple[int, Any]:
        if _is_number(value):
            return 0, value
        if isinstance(value, list) and all(map(_is_number, value)):
            return 1, value
        return 2, short(value)

    return sorted({short(value): value for value in values}.values(), key=order)
