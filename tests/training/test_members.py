from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import EarlyStopping
from mlptrain.training.members import Patience
from mlptrain.training.reports import EpochReport


def report(epoch: int, **figures: float | None) -> EpochReport:
    known: dict[str, Any] = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, **figures}
    return EpochReport(epoch, 100, 1, learning_rate=0.1, seconds=0.1, **known)


def follow(rule: EarlyStopping | None, values: list[float | None], key: str = "val_loss") -> tuple[Patience, list[int]]:
    """The patience after these epochs, and those at which it was exhausted; the weights of epoch e are e."""
    patience, exhausted = Patience(rule), []
    weights = np.zeros(3)
    for epoch, value in enumerate(values, 1):
        weights[:] = epoch
        patience.update(report(epoch, **{key: value}), weights.copy)
        if patience.exhausted:
            exhausted.append(epoch)
    return patience, exhausted


def best(patience: Patience) -> int | None:
    return None if patience.best is None else patience.best.epoch


@pytest.mark.parametrize(
    ("patience", "values", "expected", "exhausted"),
    [
        (2, [3, 2, 1], 3, []),
        (2, [3, 1, 2, 2], 2, [4]),
        (2, [3, 1, 1, 1], 2, [4]),  # no better is not better
        (2, [3, 1, 2, 0.5, 2], 4, []),  # a new best starts the count again
        (3, [1, 2, 2, 2, 2], 1, [4, 5]),
        (1, [2, 1, 3], 2, [3]),
        (0, [2, 1, 3], 2, [3]),  # zero is as impatient as one
    ],
)
def test_the_loss_has_to_fall(patience: int, values: list[float], expected: int, exhausted: list[int]) -> None:
    followed, ends = follow(EarlyStopping(patience=patience), values)
    assert (best(followed), ends) == (expected, exhausted)


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy"])
def test_accuracies_have_to_rise(monitor: Any) -> None:
    rule = EarlyStopping(monitor=monitor, patience=2)
    followed, ends = follow(rule, [0.1, 0.3, 0.2, 0.3, 0.25], monitor)
    assert (best(followed), ends) == (2, [4, 5])


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "val_loss", "val_accuracy"])
def test_only_the_monitored_figure_counts(monitor: Any) -> None:
    other = {"loss": "val_loss", "val_loss": "loss", "accuracy": "val_accuracy", "val_accuracy": "accuracy"}[monitor]
    followed, ends = follow(EarlyStopping(monitor=monitor, patience=1), [0.1, 0.2, 0.05, 0.9], other)
    assert (best(followed), ends) == (1, [2, 3, 4])


def test_min_delta_is_what_an_improvement_must_exceed() -> None:
    rule = EarlyStopping(patience=2, min_delta=0.125)
    followed, ends = follow(rule, [1.0, 0.875, 0.875])  # exactly min_delta is too little
    assert (best(followed), ends) == (1, [3])
    followed, ends = follow(rule, [1.0, 0.9, 0.8, 0.7])  # measured from the best, not from the epoch before
    assert (best(followed), ends) == (3, [])
    rule = EarlyStopping(monitor="val_accuracy", patience=2, min_delta=0.125)
    followed, ends = follow(rule, [0.5, 0.625, 0.6875], "val_accuracy")
    assert (best(followed), ends) == (3, [])


def test_the_weights_of_the_best_epoch_are_copied() -> None:
    followed, _ = follow(EarlyStopping(patience=9), [3, 1, 2])
    np.testing.assert_array_equal(followed.weights, [2, 2, 2])


def test_no_copies_where_nothing_is_to_be_restored() -> None:
    followed, ends = follow(EarlyStopping(patience=1, restore_best=False), [3, 1, 2])
    assert followed.weights is None and (best(followed), ends) == (2, [3])


def test_without_early_stopping_the_best_validation_loss_is_for_the_record() -> None:
    followed, ends = follow(None, [3, 1, 2, 2, 2, 2, 2, 2])
    assert (best(followed), ends, followed.weights) == (2, [], None)
    assert best(follow(None, [1, 0.9, 0.9], "loss")[0]) == 1


@pytest.mark.parametrize("absent", [None, math.nan, math.inf])
def test_an_epoch_without_the_figure_changes_nothing(absent: float | None) -> None:
    followed, ends = follow(EarlyStopping(patience=2), [absent, 1.0, absent, 2.0, absent])
    assert (best(followed), ends) == (2, [])
    assert best(follow(EarlyStopping(), [absent, absent])[0]) is None
