"""Parameter importance: the share of the variance of the metric that each parameter explains alone.

In the terms of sensitivity analysis this is the first-order Sobol index of the parameter over the values that were
tried (Sobol 1993, Hutter, Hoos and Leyton-Brown 2014). ``benchmarks/LOG.md`` compares the methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from mlptrain.engine.arrays import Floats
from mlptrain.sweeps.space import fingerprint
from mlptrain.sweeps.trials import Result

MIN_TRIALS = 4
"""Smallest number of trials for which importances are computed."""

MAX_COSINES = 16
"""Number of cosines, at most, that describe the effect of a number."""

MAX_FUNCTIONS_IN_PAIRS = 2
"""Number of functions of each parameter, at most, that describe the interaction of two."""

MAX_STEPS = 200
"""Number of steps, at most, after which the variances of the effects are taken as they are."""

TOLERANCE = 1e-3
"""Change of all shares in a step, at most, at which the variances have converged."""


def trials_needed(parameters: int) -> int:
    """Return the number of trials that importances of this many parameters need, unless they are a complete grid."""
    return min(10 * parameters, 30)


def importances_of(keys: Sequence[str], metric: str, results: Iterable[Result]) -> dict[str, float] | None:
    """Return the `importances` for the metric of this name, over all results that have it and did not fail."""
    metrics = ((result.values, result.metrics.get(metric)) for result in results if not result.failed)
    return importances(keys, [(values, float(value)) for values, value in metrics if value is not None])


def importances(keys: Sequence[str], trials: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, float] | None:
    """Return the importance of each key from 0 to 1, largest first; None for too few trials or equal metrics.

    ``trials`` are pairs of values and metric. The sum of all importances is at most 1; the rest is due to interactions
    and to noise. For a complete grid the importances are exact, see `_shares_of_grid`; for other trials they are
    estimates, see `_shares_of_sample`.
    """
    known = [(values, metric) for values, metric in trials if math.isfinite(metric)]
    if len(known) < MIN_TRIALS or not keys:
        return None
    y = np.array([metric for _, metric in known])
    y = y / max(np.abs(y).max(), 1e-300)
    if np.ptp(y) == 0:
        return None
    y = (y - y.mean()) / y.std()
    effects = [_effect([values[key] for values, _ in known]) for key in keys]
    shares = _shares_of_grid(effects, y)
    if shares is None and len(known) >= trials_needed(len(keys)):
        shares = _shares_of_sample(effects, y)
    if shares is None:
        return None
    return dict(sorted(zip(keys, map(float, shares), strict=True), key=lambda item: -item[1]))


@dataclass(frozen=True)
class _Effect:
    """The functions whose sum can be the effect of a parameter.

    ``level`` (trials,) is the index of each trial's value. ``functions`` (trials, k) have mean 0, variance 1 and
    covariance 0 over the trials; ``prior`` (k,) is the part of the effect's variance that is expected of each.
    """

    level: Floats
    functions: Floats
    prior: Floats


def _effect(values: Sequence[Any]) -> _Effect:
    """Return cosines of the rank for numbers, so that a logarithmic scale needs no care, and indicators for others."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    names: list[Any] = list(values) if numbers else [fingerprint({"": value}) for value in values]
    levels = {name: index for index, name in enumerate(sorted(set(names)))}
    level = np.array([levels[name] for name in names])
    share = np.bincount(level) / len(values)
    if numbers:
        frequency = np.arange(1, min(len(levels) - 1, MAX_COSINES) + 1)
        functions, prior = np.cos(np.pi * np.outer(np.cumsum(share) - share / 2, frequency)), frequency**-2.0
    else:
        functions = np.eye(len(levels))[:, 1:]
        prior = np.ones(len(levels) - 1)
    functions = functions - share @ functions
    orthonormal = np.linalg.qr(functions * np.sqrt(share)[:, None])[0] / np.sqrt(share)[:, None]
    return _Effect(level, orthonormal[level], prior / max(1.0, prior.sum()))


def _shares_of_grid(effects: Sequence[_Effect], y: Floats) -> Floats | None:
    """Return the shares of a complete grid, None if the trials are not one; ``y`` has the mean 0 and the variance 1.

    The share of a parameter with L values is the variance of the means of its values, minus the part of it that is due
    to noise if the points have repeats, whose variance within the points is s²:

        S = max(0, Σ n_value mean_value² − (L − 1) s²) / Σ y²
    """
    points, point, repeats = np.unique([e.level for e in effects], axis=1, return_inverse=True, return_counts=True)
    counts = [effect.level.max() + 1 for effect in effects]
    if points.shape[1] != math.prod(map(int, counts)) or (repeats != repeats[0]).any():
        return None
    if max(counts) == len(y) >= trials_needed(1):
        return None  # one trial per value explains everything; a smooth curve through many tells effect and noise apart
    within = y - (np.bincount(point.ravel(), y) / repeats)[point.ravel()]
    noise = within @ within / max(1, len(y) - len(repeats))
    between = [np.sum(np.bincount(e.level, y) ** 2 / np.bincount(e.level)) for e in effects]
    shares: Floats = np.maximum(0.0, between - (np.array(counts) - 1) * noise) / (y @ y)
    return shares


def _shares_of_sample(effects: Sequence[_Effect], y: Floats) -> Floats:
    """Return the estimated shares of trials at any points; ``y`` has the mean 0 and the variance 1.

    The model is that of smoothing splines: y is the sum of an effect of each parameter, of interactions of two and of
    noise. The coefficients of an effect have a normal prior with a variance of their own, and the variances maximise
    the likelihood (MacKay 1992), so that parameters without effect get none. A share is the expected variance of the
    effect, given the trials.
    """
    groups = [(effect.functions, effect.prior) for effect in effects]
    pairs = [_products(a, b) for a, b in combinations(effects, 2)]
    if pairs:
        groups.append((np.hstack([functions for functions, _ in pairs]), np.concatenate([prior for _, prior in pairs])))
    prior = np.concatenate([prior / max(prior.sum(), 1e-300) for _, prior in groups])
    group = np.repeat(np.arange(len(groups)), [len(prior) for _, prior in groups])
    functions = np.hstack([functions for functions, _ in groups])
    # Rotating the trials changes no product, and leaves at most as many rows as there are functions.
    rotated = np.asarray(np.linalg.qr(np.column_stack([functions, y]), mode="r"))
    functions, target = rotated[:, :-1], rotated[:, -1]
    variance, noise, shares = np.full(len(groups), 0.5 / len(groups)), 0.5, np.zeros(len(groups))
    for _ in range(MAX_STEPS):
        scale = np.sqrt(variance[group] * prior)
        scaled = functions * scale
        solved = np.linalg.solve(scaled @ scaled.T + noise * np.eye(len(target)), scaled)
        mean, known = scale * (target @ solved), np.sum(solved * scaled, axis=0)
        expected = np.bincount(group, mean**2 + scale**2 * (1 - known), len(groups))
        previous, shares = shares, expected / (expected.sum() + noise)
        if np.abs(shares - previous).max() < TOLERANCE:
            break
        weight = np.bincount(group, mean**2 / np.maximum(prior, 1e-300), len(groups))
        variance = np.minimum(weight / np.maximum(np.bincount(group, known, len(groups)), 1e-9), 100.0)
        rest = target - functions @ mean
        noise = max(rest @ rest / max(len(y) - 1 - known.sum(), 1.0), 1e-4)
    return shares[: len(effects)]


def _products(a: _Effect, b: _Effect) -> tuple[Floats, Floats]:
    """Return the products of the first functions of two parameters, with the mean 0, and their prior."""
    one, two = a.functions[:, :MAX_FUNCTIONS_IN_PAIRS], b.functions[:, :MAX_FUNCTIONS_IN_PAIRS]
    products = (one[:, :, None] * two[:, None, :]).reshape(len(one), -1)
    prior = np.outer(a.prior[:MAX_FUNCTIONS_IN_PAIRS], b.prior[:MAX_FUNCTIONS_IN_PAIRS]).ravel()
    return products - products.mean(axis=0), prior
