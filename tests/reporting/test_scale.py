from __future__ import annotations

from typing import Any

import pytest

from mlptrain.reporting.plots.scale import MAX_LABELS, metric_scale, parameter_scale
from mlptrain.sweeps.spec import Metric

ACCURACY, LOSS = Metric(), Metric("val_loss", "minimize")


def labels(values: list) -> list[str]:
    return [label for _, label in parameter_scale(values).ticks]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.003 * 1.4**n for n in range(24)], ["0.01", "0.1", "1"]),
        ([1e-6 * 2**n for n in range(14)], ["1e-6", "1e-5", "0.0001", "0.001"]),
        ([2e-3 * 1.4**n for n in range(10)], ["0.003", "0.01", "0.03"]),
        ([0.05 * n for n in range(11)], ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        ([0.001, *(0.05 * n for n in range(1, 11))], ["0.1", "0.2", "0.3", "0.4", "0.5"]),  # wide, but not skewed
        ([*range(1, 10)], ["2", "4", "6", "8"]),
        ([64, 16, 32], ["16", "32", "64"]),
        ([[64, 32], [15], True, "relu"], ["[15]", "[64,32]", "relu", "true"]),
        ([0.5], ["0.5"]),
    ],
)
def test_ticks_are_round_and_have_the_same_decimals(values: list[Any], expected: list[str]) -> None:
    assert labels(values) == expected


def test_every_value_has_a_place_on_the_axis() -> None:
    for values in ([0.003 * 1.4**n for n in range(24)], [*range(1, 10)], [[1], [2]], [True, False, "a"]):
        scale = parameter_scale(values)
        assert all(0 <= scale.place(value) <= 1 for value in values)
        assert [at for at, _ in scale.ticks] == sorted(at for at, _ in scale.ticks)
        assert all(0 <= at <= 1 for at in scale.spread(values * 9))


def test_outliers_on_the_worse_side_are_clipped() -> None:
    close = [0.9 + 0.001 * n for n in range(40)]
    scale, limit = metric_scale([*close, 0.1, 0.2], ACCURACY)
    assert limit == 0.9 and scale.place(0.1) < 0 and scale.place(0.9) == 0 and scale.place(close[-1]) == 1
    assert metric_scale([*close, 5.0], ACCURACY)[1] is None
    scale, limit = metric_scale([*close, 5.0], LOSS)
    assert limit == close[-1] and scale.place(5.0) > 1
    assert metric_scale([*close, 0.1], LOSS)[1] is None
    for few in ([0.5], [0.5, 0.5, 0.5, 0.1], [0.9, 0.1]):
        scale, limit = metric_scale(few, ACCURACY)
        assert limit is None and all(0 <= scale.place(value) <= 1 for value in few)


def test_labels_that_would_overlap_are_in_two_rows_or_shortened() -> None:
    short, long = parameter_scale(["a", "b"]), parameter_scale(["cross_entropy", "mse", "x" * 50])
    assert [row for _, _, row in short.labels(30)] == [0, 0]
    assert [row for _, _, row in long.labels(30)] == [0, 1, 0]
    assert all(len(label) < 20 for _, label, _ in long.labels(30))
    many = parameter_scale([[n] for n in range(100)])
    assert len(many.labels(30)) <= MAX_LABELS
