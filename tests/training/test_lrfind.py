from __future__ import annotations

import math

import numpy as np
import pytest

from mlptrain.config.config import load_config
from mlptrain.runs.job import prepare
from mlptrain.training.lrfind import HIGHEST, LOWEST, MAX_RISE, RangeTest, range_test, suggest


def raised(*overrides: str, steps: int = 60) -> RangeTest:
    hidden = [] if any(override.startswith("hidden") for override in overrides) else ["hidden=[12]"]
    job = prepare(load_config(None, [*hidden, "batch_size=32", "subset=1000", *overrides]))
    return range_test(job.config, job.dataset, job.split, steps)


def test_the_rates_rise_by_one_factor_from_the_lowest_to_the_highest() -> None:
    result = raised("loss=mse")  # bounded, so it never gives up
    assert not result.stopped and len(result.rates) == 60
    assert result.rates[0] == LOWEST and result.rates[-1] == pytest.approx(HIGHEST)
    ratios = np.diff(np.log(result.rates))
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)


def test_the_first_loss_is_that_of_the_initial_network() -> None:
    assert raised("init=zeros", "hidden=[]").losses[0] == pytest.approx(math.log(10), rel=1e-6)


def test_it_gives_up_at_four_times_the_best_loss() -> None:
    result = raised("activation=relu", "output=linear", "loss=mse")
    assert result.stopped and len(result.rates) < 60
    assert all(math.isfinite(loss) for loss in result.losses)
    before = result.smoothed[:-1]
    assert all(value <= MAX_RISE * min(before[: index + 1]) for index, value in enumerate(before))


def test_the_suggested_rate_trains_well() -> None:
    job = prepare(load_config(None, ["hidden=[12]", "batch_size=32", "subset=1000"]))
    rate = range_test(job.config, job.dataset, job.split).suggestion
    assert rate is not None and 0.01 < rate < 3


def test_nothing_else_is_moved() -> None:
    job = prepare(load_config(None, ["hidden=[12]", "subset=200"]))
    first = range_test(job.config, job.dataset, job.split, 20)
    assert first == range_test(job.config, job.dataset, job.split, 20)


def test_every_part_of_training_takes_part() -> None:
    result = raised(
        "batch_norm=true", "dropout=0.2", "optimizer=adamw", "augment.shift=1", "label_smoothing=0.1", "ema=0.9"
    )
    assert len(result.losses) > 10


def test_suggest_by_hand() -> None:
    rates = [1e-3, 1e-2, 1e-1, 1.0, 10.0]
    assert suggest(rates, [2.3, 2.2, 1.5, 0.9, 3.0]) == 0.1
    assert suggest(rates, [2.3, 2.29, 2.28, 2.25, 3.0]) is None  # never below 95 % of its start
    assert suggest([], []) is None


def test_a_notebook_shows_the_suggestion_and_some_of_the_rates() -> None:
    rates = tuple(10 ** (step / 100 - 6) for step in range(800))
    html = RangeTest(rates, rates, (2.5, *rates[1:]), 0.1, True)._repr_html_()
    assert "learning_rate=0.1" in html and html.count("<tr>") == 21 and "2.5000" in html
    assert repr(RangeTest(rates, rates, rates, None, False)) == "RangeTest(suggestion=None, stopped=False)"
    assert "did not fall" in RangeTest((), (), (), None, True)._repr_html_()
