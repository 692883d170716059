"""Where the time of training goes: phases that make up the whole, and operations counted by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mlptrain.training.profiling import PHASES, Profiler, peak
from mlptrain.training.reports import Outcome
from mlptrain.training.trainer import Trainer
from tests.made import config, dataset, split

ALL = {"batch_norm": True, "dropout": 0.5, "input_dropout": 0.1, "optimizer": "adam", "learning_rate": 0.01}


def watched(count: int = 1, pause: float = 0.0, **values):
    """The profile of a run of K networks, whose reports take so many seconds to show; and the final weights."""
    configs = [config(hidden=[5], batch_size=8, epochs=2, batch_seed=0, seed=k, **values) for k in range(count)]
    trainer, profiler = Trainer(configs, dataset(60), split(44, 16)), Profiler()
    profiler.watch(trainer)
    outcomes = []
    for report in trainer.run():
        if isinstance(report, Outcome):
            outcomes.append(report)
        time.sleep(pause)
    return profiler.profile(), outcomes


@pytest.mark.parametrize("values", [{}, ALL])
def test_the_phases_make_up_the_whole(values):
    profile, _ = watched(**values)
    assert sum(profile.phases.values()) == pytest.approx(profile.seconds)
    there = set(PHASES) - (set() if values else {"normalisation", "dropout"})
    assert set(profile.phases) == there | {"the rest"}
    assert all(seconds > 0 for phase, seconds in profile.phases.items() if phase != "the rest")


@pytest.mark.parametrize("count", [1, 2])
def test_every_product_of_a_pass_is_timed(monkeypatch, count):
    """W·x, its gradient and the bias gradients; of the layer above W·a, its gradient, and back."""
    configs = [
        config(hidden=[5], batch_size=8, loss="mse", output="sigmoid", seed=k, batch_seed=0) for k in range(count)
    ]
    trainer, profiler, calls = Trainer(configs, dataset(60), split(44)), Profiler(), []
    monkeypatch.setattr(
        profiler, "_timed", lambda phase, function: lambda *a, **k: (calls.append(phase), function(*a, **k))[1]
    )
    made = trainer.stack._pass(8)
    profiler._watch_pass(made)
    x, y, logits = np.zeros((8, 6), np.float32), np.zeros((3, 8), np.float32), np.zeros((count, 3, 8), np.float32)
    made.forward(x, logits)
    made.backward(x, y, logits, 1.0)
    assert calls.count("products") == 6


def test_operations_are_those_of_the_products():
    # 6-5-3 on 44 images, two epochs: forward 30 + 15 products an image, back 30 + 15 to the weights, 15 to the units.
    expected = 2 * 2 * 44 * (30 + 15 + 30 + 15 + 15)
    assert watched()[0].operations == expected
    assert watched(count=3)[0].operations == 3 * expected


def test_reporting_is_the_time_of_whoever_takes_the_reports():
    profile, _ = watched(pause=0.02)
    assert profile.phases["reporting"] >= 0.02 * 4
    assert profile.seconds >= profile.phases["reporting"]


def test_watching_changes_no_bit():
    configs = [config(hidden=[5], batch_size=8, epochs=2, batch_seed=0, seed=0, **ALL)]
    *_, plain = Trainer(configs, dataset(60), split(44, 16)).run()
    (seen,) = watched(**ALL)[1]
    for ours, theirs in zip(seen.weights[0] + seen.weights[1], plain.weights[0] + plain.weights[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_peak_is_some_speed():
    assert peak(np.dtype("float32")) > 1e6
