from __future__ import annotations

import time
from itertools import chain
from typing import Any

import numpy as np
import pytest

from mlptrain.training.profiling import PHASES, Clock, peak
from mlptrain.training.reports import Outcome
from mlptrain.training.trainer import Trainer
from tests.made import config, dataset, split

ALL: dict[str, Any] = {
    "batch_norm": True,
    "dropout": 0.5,
    "input_dropout": 0.1,
    "optimizer": "adam",
    "learning_rate": 0.01,
}


def profiled(count: int = 1, pause: float = 0.0, **values: Any) -> tuple[Any, Any]:
    """Train K networks with a clock; whoever takes a report takes ``pause`` seconds for it."""
    configs = [config(hidden=[5], batch_size=8, epochs=2, batch_seed=0, seed=k, **values) for k in range(count)]
    clock, outcomes = Clock(), []
    trainer = Trainer(configs, dataset(60), split(44, 16), clock=clock)
    for report in clock.reports(trainer.run()):
        if isinstance(report, Outcome):
            outcomes.append(report)
        time.sleep(pause)
    return clock.profile((6, 5, 3), np.dtype("float32")), outcomes


@pytest.mark.parametrize("values", [{}, ALL])
def test_the_phases_make_up_the_whole(values: dict[str, Any]) -> None:
    profile, _ = profiled(**values)
    assert sum(profile.phases.values()) == pytest.approx(profile.seconds)
    expected = set(PHASES) - (set() if values else {"normalisation", "dropout"})
    assert set(profile.phases) == expected | {"the rest"}
    assert all(seconds > 0 for phase, seconds in profile.phases.items() if phase != "the rest")


@pytest.mark.parametrize("count", [1, 2])
def test_every_product_of_a_step_is_timed(count: int) -> None:
    """W·x, its gradient and the bias gradients; of the layer above W·a, its gradient, and back."""

    class Counting(Clock):
        calls = 0

        def timed(self, phase: Any, function: Any) -> Any:
            def counted(*arguments: Any, **keywords: Any) -> Any:
                self.calls += phase == "products"
                return function(*arguments, **keywords)

            return counted

    values = {"hidden": [5], "batch_size": 8, "loss": "mse", "output": "sigmoid", "epochs": 1, "batch_seed": 0}
    clock = Counting()
    list(Trainer([config(seed=k, **values) for k in range(count)], dataset(8), split(8), clock=clock).run())
    assert clock.calls == 6


def test_operations_are_those_of_the_products() -> None:
    # 6-5-3 on 44 images, two epochs: forward 30 + 15 products per image, back 30 + 15 to the weights, 15 to the units.
    expected = 2 * 2 * 44 * (30 + 15 + 30 + 15 + 15)
    assert profiled()[0].operations == expected
    assert profiled(count=3)[0].operations == 3 * expected


def test_the_time_between_two_reports_is_reporting() -> None:
    profile, _ = profiled(pause=0.02)
    assert profile.phases["reporting"] >= 0.02 * 4
    assert profile.seconds >= profile.phases["reporting"]


def test_a_clock_changes_no_bit() -> None:
    configs = [config(hidden=[5], batch_size=8, epochs=2, batch_seed=0, seed=0, **ALL)]
    *_, plain = Trainer(configs, dataset(60), split(44, 16)).run()
    (timed,) = profiled(**ALL)[1]
    for ours, theirs in zip(chain(*timed.weights), chain(*plain.weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_peak_is_measured() -> None:
    assert peak(np.dtype("float32")) > 1e6
