"""Which parameters mattered: how much of the variance of the metric each explains by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from mlptrain.sweeps.samplers import fingerprint

BINS = 4
"""Groups of about equal size into which a parameter with more distinct numbers than this is cut."""

LEAST = 4
"""Finished trials below which nothing is said."""

EXPLANATION = (
    "share of the variance of the metric that a parameter explains by itself: adjusted R² of the means of its values "
    f"(more than {BINS} numbers: of {BINS} groups of equal size); interactions and failed trials are not in it"
)


def importances(keys: Sequence[str], trials: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, float] | None:
    """By key the share from 0 to 1, largest first; None with too few trials or where all are equally good.

    R² = 1 - Σ within / Σ total, adjusted for the g groups of n trials that it is taken over:
    1 - (1 - R²)(n - 1)/(n - g) (Ezekiel 1930), not below 0: a parameter without effect gets about 0, however many
    values it has. One with a group for each trial says nothing and gets 0.
    """
    known = list(trials)
    if len(known) < LEAST:
        return None
    mean = fmean(figure for _, figure in known)
    total = sum((figure - mean) ** 2 for _, figure in known)
    if total <= 0:
        return None
    shares = {key: _share([(point[key], figure) for point, figure in known], total) for key in keys}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _share(pairs: list[tuple[Any, float]], total: float) -> float:
    groups = _groups(pairs)
    count, parts = len(pairs), len(groups)
    if parts < 2 or parts >= count:
        return 0.0
    within = sum(sum((figure - fmean(group)) ** 2 for figure in group) for group in groups)
    return max(0.0, 1 - (within / total) * (count - 1) / (count - parts))


def _groups(pairs: list[tuple[Any, float]]) -> list[list[float]]:
    """The figures by value, or for many numbers by ranges of about equally many trials."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value, _ in pairs)
    if numbers and len({value for value, _ in pairs}) > BINS:
        ordered = sorted(pairs, key=lambda pair: pair[0])
        bounds = [round(len(ordered) * part / BINS) for part in range(BINS + 1)]
        parts = [ordered[low:high] for low, high in pairwise(bounds)]
        return [[figure for _, figure in part] for part in parts if part]
    by_value: dict[str, list[float]] = defaultdict(list)
    for value, figure in pairs:
        by_value[fingerprint({"": value})].append(figure)
    return list(by_value.values())
