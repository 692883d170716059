from __future__ import annotations

import math

import pytest

from mlptrain.sweeps.repeats import summarise_repeats, tolerance_factor
from mlptrain.sweeps.trials import Result

FACTORS = {2: 59.30, 3: 16.60, 5: 8.97, 10: 6.22, 20: 5.17, 30: 4.82, 50: 4.51, 100: 4.25, 200: 4.08}
"""Factors for 99.99 % coverage at 95 % confidence, from scipy.stats.nct."""


def results(*accuracies: float | None) -> list[Result]:
    """Return results with these test accuracies; None is a trial that diverged."""
    return [
        Result(number, 0, "", {}, "finished", {"test_accuracy": value})
        if value is not None
        else Result(number, 0, "", {}, "diverged")
        for number, value in enumerate(accuracies)
    ]


def test_the_factors_are_those_of_the_table() -> None:
    assert {count: round(tolerance_factor(count), 2) for count in FACTORS} == FACTORS


@pytest.mark.parametrize(("coverage", "confidence"), [(0.9999, 0.95), (0.99, 0.9), (0.9, 0.99)])
def test_the_factors_are_quantiles_of_the_noncentral_t_distribution(coverage: float, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    for count in (2, 4, 7, 20, 500):
        shift = math.sqrt(count) * stats.norm.ppf(coverage)
        expected = stats.nct.ppf(confidence, count - 1, shift) / math.sqrt(count)
        assert tolerance_factor(count, coverage, confidence) == pytest.approx(expected, rel=1e-3)


def test_the_limit_is_below_the_mean_by_the_factor() -> None:
    found = summarise_repeats(results(0.9, 0.92, 0.94))
    assert found is not None and (found.count, found.minimum) == (3, 0.9)
    assert found.mean == pytest.approx(0.92) and found.sd == pytest.approx(0.02)
    assert found.min_accuracy == pytest.approx(0.92 - 16.5979 * 0.02, abs=1e-4) and found.min_accuracy < 0.5881


def test_no_limit_without_a_deviation_or_if_a_run_failed() -> None:
    for accuracies in ((0.9,), (0.9, 0.91, None)):
        found = summarise_repeats(results(*accuracies))
        assert found is not None and found.min_accuracy is None and found.minimum == 0.9
    assert summarise_repeats(results(None, None)) is None
    assert summarise_repeats(results(0.1, 0.9)).min_accuracy == 0.0
