from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

import pytest
from threadpoolctl import threadpool_limits

from benchmarks.importance import SURFACES, measure
from mlptrain.sweeps.importance import MIN_TRIALS, importances, trials_needed


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Use one BLAS thread, as the command does: the products are small."""
    with threadpool_limits(1):
        yield


SIZES = ([5], [10], [15], [30], [64], [128])


def test_one_parameter_explains_everything() -> None:
    accuracies = (0.769, 0.851, 0.874, 0.889, 0.894, 0.893)
    found = importances(("hidden",), [({"hidden": size}, value) for size, value in zip(SIZES, accuracies, strict=True)])
    assert found == {"hidden": pytest.approx(1.0)}


def test_a_grid_by_hand() -> None:
    """For 0, 2 | 4, 10 the means of a are 1 and 7, those of b 2 and 6: 36 and 16 of a sum of squares of 56."""
    trials = [({"a": a, "b": b}, value) for (a, b), value in zip(product((1, 9), "xy"), (0, 2, 4, 10), strict=True)]
    assert importances(("b", "a"), trials) == {"a": pytest.approx(36 / 56), "b": pytest.approx(16 / 56)}
    assert list(importances(("b", "a"), trials) or ()) == ["a", "b"]


def test_a_full_grid_of_rate_and_batch_size_with_an_interaction() -> None:
    grid = list(product((8, 16, 32, 64, 128, 256), (0.03, 0.1, 0.3, 1.0, 3.0)))
    trials = [({"batch_size": b, "learning_rate": r}, 0.9 - 0.1 * abs(b / r - 100) ** 0.1) for b, r in grid]
    mean = sum(value for _, value in trials) / 30
    total = sum((value - mean) ** 2 for _, value in trials)
    found = importances(("batch_size", "learning_rate"), trials)
    assert found is not None
    for key in found:
        groups = {values[key]: [v for other, v in trials if other[key] == values[key]] for values, _ in trials}
        between = sum(len(group) * (sum(group) / len(group) - mean) ** 2 for group in groups.values())
        assert found[key] == pytest.approx(between / total)
    assert sum(found.values()) < 1


def test_the_noise_of_repeated_points_is_no_importance() -> None:
    """The means 2 and 6 of two trials each have a sum of squares of 16, of 20; the variance within points is 2."""
    trials = [({"a": value}, metric) for value, metric in (("x", 1.0), ("x", 3.0), ("y", 5.0), ("y", 7.0))]
    assert importances(("a",), trials) == {"a": pytest.approx((16 - 2) / 20)}
    rng = Random(0)
    noise = [({"a": a, "b": b}, rng.random()) for a, b, _ in product(range(5), "xyz", range(20))]
    assert max((importances(("a", "b"), noise) or {}).values()) < 0.03


@pytest.mark.parametrize("surface", SURFACES)
def test_known_shares_of_variance_in_random_samples(surface: str) -> None:
    right, error = measure(surface, 100, seed=0)
    assert right and error < 0.1


def test_a_thousand_trials() -> None:
    right, error = measure("ishigami", 1000, seed=0)
    assert right and error < 0.05


@pytest.mark.parametrize("surface", ["g_function", "training"])
def test_forty_random_trials_over_ten_parameters(surface: str) -> None:
    measured = [measure(surface, 40, seed) for seed in range(5)]
    assert all(right for right, _ in measured)
    assert sorted(error for _, error in measured)[2] < 0.1


def test_a_sample_without_any_effect() -> None:
    rng = Random(1)
    trials = [({"a": rng.random(), "b": rng.choice("xyz"), "c": rng.randrange(9)}, rng.random()) for _ in range(300)]
    assert max((importances(("a", "b", "c"), trials) or {"": 1.0}).values()) < 0.05


def test_only_the_order_of_numbers_counts() -> None:
    rng = Random(2)
    rates = [10 ** rng.uniform(-3, 0) for _ in range(60)]
    metrics = [rate**0.2 + 0.2 * rng.random() for rate in rates]
    plain = importances(("rate", "none"), [({"rate": r, "none": 1}, m) for r, m in zip(rates, metrics, strict=True)])
    assert plain is not None and 0.75 < plain["rate"] < 0.97 and plain["none"] == pytest.approx(0.0)
    squared = [({"rate": r * r, "none": 1}, m) for r, m in zip(rates, metrics, strict=True)]
    assert importances(("rate", "none"), squared) == plain


def test_a_grid_with_missing_points() -> None:
    grid = [({"a": a, "b": b}, 3.0 * a + b) for a, b in product(range(6), range(5))]
    whole, part = importances(("a", "b"), grid), importances(("a", "b"), grid[:4] + grid[5:20] + grid[22:])
    assert whole is not None and part is not None
    assert all(abs(part[key] - whole[key]) < 0.1 for key in whole)


def test_values_of_other_types_are_categories() -> None:
    kinds = (True, False, [15], [15, 30], None, "relu")
    trials = [({"kind": kinds[index % 6]}, float(index % 6 == 3)) for index in range(36)]
    assert importances(("kind",), trials) == {"kind": pytest.approx(1.0)}


def test_too_few_trials_and_equal_metrics_have_no_importances() -> None:
    assert importances(("a",), [({"a": index}, float(index)) for index in range(MIN_TRIALS - 1)]) is None
    assert importances(("a",), [({"a": index}, 0.5) for index in range(9)]) is None
    assert importances((), [({}, float(index)) for index in range(9)]) is None
    rng = Random(3)
    points = [{"a": rng.random(), "b": rng.random(), "c": rng.random()} for _ in range(trials_needed(3))]
    trials = [(point, point["a"]) for point in points]
    assert importances(("a", "b", "c"), trials[1:]) is None
    assert importances(("a", "b", "c"), trials) is not None


def test_extreme_metrics() -> None:
    for huge in (1e308, 1e-308):
        trials = [({"a": index % 2, "b": index // 2}, huge * (index % 2)) for index in range(4)]
        assert importances(("a", "b"), trials) == {"a": pytest.approx(1.0), "b": pytest.approx(0.0)}
    bad = [({"a": index}, float("nan")) for index in range(40)]
    assert importances(("a",), bad) is None
