"""Parameter importance: the share of the variance of the metric that each parameter explains alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from mlptrain.sweeps.space import fingerprint
from mlptrain.sweeps.trials import Result

BINS = 4
"""Number of groups of about equal size for a parameter with more distinct numbers than this."""

MIN_TRIALS = 4
"""Smallest number of trials for which importances are computed."""


def importances_of(keys: Sequence[str], metric: str, results: Iterable[Result]) -> dict[str, float] | None:
    """Return the `importances` for the metric of this name, over all results that have it and did not fail."""
    metrics = ((result.values, result.metrics.get(metric)) for result in results if not result.failed)
    return importances(keys, [(values, float(value)) for values, value in metrics if value is not None])


def importances(keys: Sequence[str], trials: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, float] | None:
    """Return the importance of each key from 0 to 1, largest first; None for too few trials or equal metrics.

    ``trials`` are pairs of values and metric. A key's importance is the R² of the group means of its values, adjusted
    for g groups of n trials (Ezekiel 1930), and at least 0:

        R² = 1 − Σ within groups / Σ total,    importance = 1 − (1 − R²)(n − 1) / (n − g)

    A key without effect has about 0, however many values it has. One with a group per trial has 0.
    """
    known = list(trials)
    if len(known) < MIN_TRIALS:
        return None
    mean = fmean(metric for _, metric in known)
    total = sum((metric - mean) ** 2 for _, metric in known)
    if total <= 0:
        return None
    shares = {key: _share([(values[key], metric) for values, metric in known], total) for key in keys}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _share(pairs: Sequence[tuple[Any, float]], total: float) -> float:
    """Return the adjusted R² of the groups of pairs of value and metric; ``total`` is Σ total."""
    groups = _groups(pairs)
    if not 2 <= len(groups) < len(pairs):
        return 0.0
    within = sum(sum((metric - fmean(group)) ** 2 for metric in group) for group in groups)
    return max(0.0, 1 - (within / total) * (len(pairs) - 1) / (len(pairs) - len(groups)))


def _groups(pairs: Sequence[tuple[Any, float]]) -> list[list[float]]:
    """Return the metrics grouped by value, or many numbers by ranges with about equally many trials."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in pairs)
    if numbers and len({value for value, _ in pairs}) > BINS:
        ordered = sorted(pairs, key=lambda pair: pair[0])
        bounds = [round(len(ordered) * group / BINS) for group in range(BINS + 1)]
        return [[metric for _, metric in ordered[low:high]] for low, high in pairwise(bounds)]
    by_value: dict[str, list[float]] = defaultdict(list)
    for value, metric in pairs:
        by_value[fingerprint({"": value})].append(metric)
    return list(by_value.values())
