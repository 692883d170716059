from __future__ import annotations

from random import Random

import pytest

from mlptrain.sweeps.importance import MIN_TRIALS, importances


def test_a_worked_example():
    """For 1, 3 | 5, 7 the sum of squares is 20, and 4 within the groups, so that R² is 0.8, and 0.7 adjusted."""
    trials = [({"a": value}, metric) for value, metric in (("x", 1.0), ("x", 3.0), ("y", 5.0), ("y", 7.0))]
    found = importances(("a",), trials)
    assert found is not None and found["a"] == pytest.approx(0.7)


def test_keys_without_effect_come_last_with_about_0():
    rng = Random(0)
    points = [
        {"none": rng.choice("abc"), "all": rng.choice((1, 2)), "list": rng.choice(([1], [2]))} for _ in range(400)
    ]
    found = importances(("none", "all", "list"), [(point, 10.0 * point["all"] + rng.random()) for point in points])
    assert found is not None and next(iter(found)) == "all"
    assert found["all"] > 0.99 and found["none"] < 0.02 and found["list"] < 0.02


def test_many_numbers_are_put_into_groups_of_equal_size():
    """Twelve rates in four groups of three, with the metrics 0, 1, 2, 3, explain all of the variance."""
    trials = [({"rate": 0.1 * 2**index}, float(index // 3)) for index in range(12)]
    Random(1).shuffle(trials)
    assert importances(("rate",), trials) == {"rate": 1.0}
    jagged = [({"rate": index}, float(index % 3)) for index in range(12)]
    assert importances(("rate",), jagged) == {"rate": 0.0}


def test_booleans_are_no_numbers_and_one_group_per_trial_explains_nothing():
    assert importances(("a",), [({"a": index > 1}, float(index > 1)) for index in range(4)]) == {"a": 1.0}
    assert importances(("a",), [({"a": str(index)}, float(index)) for index in range(6)]) == {"a": 0.0}
    assert importances(("a",), [({"a": 1}, float(index)) for index in range(6)]) == {"a": 0.0}


def test_few_trials_and_equal_metrics_have_no_importances():
    assert importances(("a",), [({"a": index}, float(index)) for index in range(MIN_TRIALS - 1)]) is None
    assert importances(("a",), [({"a": index}, 0.5) for index in range(9)]) is None
