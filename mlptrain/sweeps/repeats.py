"""The test accuracy of one config over many seeds, and the limit for ``--min-accuracy`` that follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from mlptrain.sweeps.trials import Result

COVERAGE = 0.9999
"""Share of all runs that are above the suggested limit."""

CONFIDENCE = 0.95
"""Probability that this holds, over samples of as many runs."""


@dataclass(frozen=True)
class Repeats:
    """Test accuracies of the runs that did not fail: their ``count``, ``mean``, ``sd`` and ``minimum``.

    ``min_accuracy`` is the lower normal tolerance limit for `COVERAGE` and `CONFIDENCE`, rounded down to four decimals;
    None if a run failed or there are less than two.
    """

    count: int
    mean: float
    sd: float | None
    minimum: float
    min_accuracy: float | None

    def plain(self) -> dict[str, Any]:
        """Return the JSON object of the command."""
        values = {"count": self.count, "mean": self.mean, "sd": self.sd, "min": self.minimum}
        return {"metric": "test_accuracy", **values, "min_accuracy": self.min_accuracy}


def summarise_repeats(results: Iterable[Result]) -> Repeats | None:
    """Return the summary of the results of one config; None if no run has a test accuracy."""
    every = list(results)
    values = [float(result.metrics["test_accuracy"]) for result in every if not result.failed]
    if not values:
        return None
    mean, sd = fmean(values), stdev(values) if len(values) > 1 else None
    limit = None
    if sd is not None and len(values) == len(every):
        limit = max(0.0, math.floor((mean - tolerance_factor(len(values)) * sd) * 1e4) / 1e4)
    return Repeats(len(values), mean, sd, min(values), limit)


def tolerance_factor(count: int, coverage: float = COVERAGE, confidence: float = CONFIDENCE) -> float:
    """Return the k with which mean - k sd of ``count`` normal values is below a share ``coverage`` of the distribution.

    For the mean m and the standard deviation s of n values from N(0, 1), k solves P(m - k s < -z) = ``confidence``,
    where z is the quantile of ``coverage``. Then k sqrt(n) is a quantile of the noncentral t distribution with n - 1
    degrees of freedom and noncentrality z sqrt(n) (ISO 16269-6). P is integrated over the distribution of s.
    """
    normal, degrees = NormalDist(), count - 1
    z = normal.inv_cdf(coverage)
    # The density of s, up to a factor, on a grid over all but a negligible share of the distribution.
    spread = 9 / math.sqrt(2 * degrees)
    low, high, steps = max(0.0, 1 - spread), 1 + spread, 2000
    grid = [low + (high - low) * (index + 0.5) / steps for index in range(steps)]
    density = [math.exp((degrees - 1) * math.log(s) - degrees * (s * s - 1) / 2) for s in grid]

    def probability(k: float) -> float:
        below = (math.erfc(-math.sqrt(count / 2) * (k * s - z)) / 2 for s in grid)
        return sum(share * weight for share, weight in zip(below, density, strict=True)) / sum(density)

    under, over = 0.0, 1.0
    while probability(over) < confidence:
        under, over = over, 2 * over
    while over - under > 1e-6 * over:
        middle = (under + over) / 2
        under, over = (middle, over) if probability(middle) < confidence else (under, middle)
    return over
