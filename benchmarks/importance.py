"""Check of parameter importances: ``python -m benchmarks.importance [--trials 20 40 100 1000] [--samples 100]``.

Draws random samples from response surfaces whose shares of variance are known, and compares the importances with them.
A ranking is right if every two parameters whose shares differ by at least 10 points are in the right order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlptrain.sweeps import importance
from mlptrain.sweeps.importance import importances

Sample = tuple[list[Sequence[Any]], np.ndarray]
"""The values of each parameter, and the metric."""


def additive(rng: np.random.Generator, count: int) -> Sample:
    """Draw from 4a + 2b + c + 0d + noise, for a to d uniform from 0 to 1, and noise of variance 1/4."""
    x = rng.random((4, count))
    return list(x), np.array([4, 2, 1, 0]) @ x + rng.normal(0, 0.5, count)


def ishigami(rng: np.random.Generator, count: int) -> Sample:
    """Draw from sin a + 7 sin² b + 0.1 c⁴ sin a, for a to c uniform from −π to π (Ishigami and Homma 1990)."""
    a, b, c = x = rng.uniform(-np.pi, np.pi, (3, count))
    return list(x), np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


G_WEIGHTS = np.array([0, 1, 4.5, 9, 99, 99, 99, 99, 99, 99])


def g_function(rng: np.random.Generator, count: int) -> Sample:
    """Draw from Π (|4x − 2| + w) / (1 + w) for ten x uniform from 0 to 1, which interact (Sobol 1993)."""
    x, w = rng.random((10, count)), G_WEIGHTS[:, None]
    return list(x), np.prod((np.abs(4 * x - 2) + w) / (1 + w), axis=0)


def product(rng: np.random.Generator, count: int) -> Sample:
    """Draw from ab + 0.8c + 0d for a to d of variance 1: a and b matter only together."""
    x = math.sqrt(12) * (rng.random((4, count)) - 0.5)
    return list(x), x[0] * x[1] + 0.8 * x[2]


def training(rng: np.random.Generator, count: int) -> Sample:
    """Draw an accuracy of training: ten parameters, of which six have no effect.

    It rises with the logarithm u of the rate up to a half, falls from 0.9 to 0.5 at u = 0.85, and depends on an
    activation, on the batch size, on dropout, on an interaction of these two, and on noise.
    """
    u, rest = rng.random(count), rng.random((6, count))
    kinds, activation = np.array(["relu", "sigmoid", "tanh"]), rng.integers(0, 3, count)
    doublings, dropout = rng.choice([-1, 0, 1], count, p=[0.25, 0.5, 0.25]), 0.1 * rng.integers(0, 6, count)
    accuracy = np.where(u < 0.85, 0.6 * np.minimum(u, 0.5), -0.1) + 0.03 * activation - 0.04 * doublings
    accuracy += -0.2 * dropout + 0.25 * (dropout - 0.25) * doublings + rng.normal(0.6, 0.02, count)
    columns = [10 ** (3 * u - 3), kinds[activation].tolist(), 32 * 2.0**doublings, dropout, *rest]
    return columns, accuracy


def shares_of(variances: Sequence[float], total: float) -> np.ndarray:
    """Return the share of each variance in the total."""
    return np.array(variances) / total


_G = 1 / (3 * (1 + G_WEIGHTS) ** 2)

_RATE = 0.36 * 0.5**3 / 3 + 0.09 * 0.35 + 0.01 * 0.15 - (0.6 * 0.5**2 / 2 + 0.3 * 0.35 - 0.1 * 0.15) ** 2

_DROPOUT = 0.01 * 35 / 12  # variance of 0, 0.1, ..., 0.5

_TRAINING = [_RATE, 0.0009 * 2 / 3, 0.0016 / 2, 0.04 * _DROPOUT]

SURFACES: dict[str, tuple[Callable[[np.random.Generator, int], Sample], np.ndarray]] = {
    "additive": (additive, shares_of([16 / 12, 4 / 12, 1 / 12, 0], 24 / 12)),
    "ishigami": (
        ishigami,
        shares_of(
            [(1 + np.pi**4 / 50) ** 2 / 2, 49 / 8, 0],
            (1 + np.pi**4 / 50) ** 2 / 2 + 49 / 8 + 0.01 * np.pi**8 * 8 / 225,
        ),
    ),
    "g_function": (g_function, shares_of([*_G], float(np.prod(1 + _G) - 1))),
    "product": (product, shares_of([0, 0, 0.64, 0], 1.64)),
    "training": (training, shares_of([*_TRAINING, *[0] * 6], sum(_TRAINING) + 0.0625 * _DROPOUT / 2 + 0.0004)),
}
"""The surfaces, each with the shares of variance of its parameters (their first-order Sobol indices)."""


def measure(name: str, trials: int, seed: int) -> tuple[bool, float]:
    """Return whether the ranking is right for a sample, and the largest error of a share."""
    draw, true = SURFACES[name]
    columns, metric = draw(np.random.default_rng(seed), trials)
    keys = [str(number) for number in range(len(columns))]
    points = [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]
    found = importances(keys, list(zip(points, metric.tolist(), strict=True)))
    assert found is not None, f"no importances for {trials} trials"
    shares = np.array([found[key] for key in keys])
    apart = true[:, None] - true >= 0.1
    return bool((shares[:, None] > shares)[apart].all()), float(np.abs(shares - true).max())


def main() -> None:
    """Print a line per surface and number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 40, 100, 1000])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    importance.trials_needed = lambda parameters: 0  # measure below the limit too
    print(f"{'surface':<11} {'trials':>6} {'right':>6} {'median':>7} {'90 %':>6} {'max':>6} {'<= 0.10':>8}")
    for trials in options.trials:
        for name in SURFACES:
            seeds = range(options.first_seed, options.first_seed + options.samples)
            right, errors = zip(*(measure(name, trials, seed) for seed in seeds), strict=True)
            near = np.mean(np.array(errors) <= 0.1)
            print(
                f"{name:<11} {trials:>6} {np.mean(right):>6.0%} {np.median(errors):>7.2f} "
                f"{np.quantile(errors, 0.9):>6.2f} {max(errors):>6.2f} {near:>8.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
