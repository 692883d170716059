from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.dropout import Dropout
from mlptrain.engine.network import ForwardPass, Network
from mlptrain.engine.parameters import Architecture, Parameters


def make(rates: list[float], shape: tuple[int, int] = (200, 100), seed: int = 0, dtype: str = "float64") -> Dropout:
    generators = [np.random.default_rng([seed, k]) for k in range(len(rates))]
    return Dropout(np.array(rates), generators, (len(rates), *shape), np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_units_are_dropped_at_the_rate_and_the_mean_is_1(rate: float, dtype: str) -> None:
    dropout = make([rate], dtype=dtype)
    masks = np.array([dropout.draw().copy() for _ in range(10)])
    assert masks.dtype == dtype
    count = masks.size
    share = (masks == 0).mean()
    assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / count) + 1 / 65_536
    assert abs(masks.mean() - 1) < 4 * np.sqrt(rate / (1 - rate) / count)


def test_kept_units_have_the_exact_scale() -> None:
    # A rate of 1/4 is a multiple of 1/65,536, so the scale is 4/3.
    for rate, scale in ((0.25, 4 / 3), (0.5, 2.0), (0.875, 8.0)):
        mask = make([rate]).draw()
        assert set(np.unique(mask)) == {0.0, scale}
    # 0.1 is rounded to 6554 / 65,536, and the scale is that of the rounded rate.
    assert make([0.1]).draw().max() == 65_536 / (65_536 - 6554)
    assert make([0.1], dtype="float32").draw().max() == np.float32(65_536 / (65_536 - 6554))


def test_each_random_word_decides_for_four_consecutive_units() -> None:
    words = np.random.default_rng([0, 0]).integers(0, 2**64 - 1, 125_000, np.uint64, endpoint=True)
    numbers = words.view(np.uint16).reshape(1, 1000, 500)
    assert (numbers == 49_152).any() and (numbers == 49_151).any(), "the threshold is tested"
    np.testing.assert_array_equal(make([0.25], (1000, 500)).draw() > 0, numbers < 49_152)


def test_networks_of_a_stack_have_separate_rates() -> None:
    rates = [0.0, 0.3, 0.8]
    mask = make(rates).draw()
    for member, rate in zip(mask, rates, strict=True):
        assert (member == 0).mean() == pytest.approx(rate, abs=0.015)
        assert member.max() == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_units_and_examples_are_independent() -> None:
    dropout = make([0.5], (40, 60))
    masks = np.array([dropout.draw()[0].copy() > 0 for _ in range(200)])
    # Over 200 draws each entry is kept about 100 times, standard deviation 7; neighbours are uncorrelated.
    kept = masks.sum(axis=0)
    assert kept.min() > 60 and kept.max() < 140
    centred = masks - 0.5
    for other in (np.roll(centred, 1, axis=1), np.roll(centred, 1, axis=2), np.roll(centred, 1, axis=0)):
        assert abs((centred * other).mean()) < 4 * 0.25 / np.sqrt(masks.size)


def test_draws_differ_and_are_reproducible() -> None:
    one, same, other = make([0.5, 0.5]), make([0.5, 0.5]), make([0.5, 0.5], seed=1)
    first, second = one.draw().copy(), one.draw().copy()
    assert (first != second).any() and (first[0] != first[1]).any()
    np.testing.assert_array_equal(same.draw(), first)
    np.testing.assert_array_equal(same.draw(), second)
    assert (other.draw() != first).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 3), (1, 6)])
def test_sizes_that_are_not_multiples_of_four(shape: tuple[int, int]) -> None:
    dropout = make([0.5, 0.5], shape)
    draws = np.array([dropout.draw().copy() for _ in range(400)])
    assert draws.shape[2:] == shape
    assert abs((draws == 0).mean(axis=0) - 0.5).max() < 0.15


def test_network_without_dropout_draws_no_numbers() -> None:
    """Its later layers then get the same masks in a stack and alone."""
    generators = [np.random.default_rng(k) for k in range(2)]
    before = [generator.bit_generator.state for generator in generators]
    mask = Dropout(np.array([0.0, 0.5]), generators, (2, 8, 8), np.dtype("float64")).draw()
    assert (mask[0] == 1).all() and (mask[1] == 0).any()
    assert generators[0].bit_generator.state == before[0]
    assert generators[1].bit_generator.state != before[1]


def test_extreme_rates() -> None:
    assert (make([1e-9]).draw() == 1).all(), "rounded to 0"
    # The highest rate keeps one unit in 65,536 with that scale: 61 of 4 million, standard deviation 8.
    mask = make([1 - 1e-9], (2000, 2000), dtype="float32").draw()
    assert 30 < (mask > 0).sum() < 100 and mask.max() == 65_536


# ---- in the network -----------------------------------------------------------------------------------


def network(hidden: tuple[int, ...] = (30,), members: int = 1) -> Network:
    made = Network(Architecture((40, *hidden, 3), "linear", "linear", "mse"), members, "float64")
    made.initialize("normal", [np.random.default_rng(k) for k in range(members)])
    return made


def test_mean_over_masks_is_the_network_without_dropout() -> None:
    """Exactly so for a linear network."""
    plain = network()
    x = np.random.default_rng(7).random((5, 40))
    expected, logits, total = np.empty((1, 3, 5)), np.empty((1, 3, 5)), np.zeros((1, 3, 5))
    ForwardPass(plain, 5).forward(x, expected)
    step = TrainingPass(
        plain,
        5,
        Parameters(plain.architecture, 1, plain.dtype),
        [make([0.3], (30, 5))],
        make([0.1], (5, 40), seed=1),
    )
    seen = []
    for _ in range(4000):
        step.forward(x, logits)
        seen.append(logits.copy())
        total += logits
    spread = np.std(seen, axis=0) / np.sqrt(4000)
    assert (abs(total / 4000 - expected) < 5 * spread).all()
    assert (spread > 0).all()


def test_weights_of_dropped_units_have_no_gradient() -> None:
    dropping = network((6,))
    gradients = Parameters(dropping.architecture, 1, dropping.dtype)
    dropout = make([0.5], (6, 1), seed=3)
    step = TrainingPass(dropping, 1, gradients, [dropout])
    x, y, logits = np.random.default_rng(7).random((1, 40)), np.array([[1.0], [0], [0]]), np.empty((1, 3, 1))
    step.forward(x, logits)
    step.backward(x, y, logits, 1.0)
    dropped = dropout.mask[0, :, 0] == 0
    assert 0 < dropped.sum() < 6
    assert not gradients.weights[0][0][dropped].any() and gradients.weights[0][0][~dropped].all()
    assert not gradients.weights[1][0][:, dropped].any() and gradients.weights[1][0][:, ~dropped].all()


def test_weights_of_dropped_pixels_have_no_gradient_and_networks_drop_different_ones() -> None:
    stack = network((), members=2)
    gradients = Parameters(stack.architecture, 2, stack.dtype)
    dropout = make([0.5, 0.5], (1, 40))
    step = TrainingPass(stack, 1, gradients, input_dropout=dropout)
    x, y, logits = np.random.default_rng(7).random((1, 40)) + 0.1, np.array([[1.0], [0], [0]]), np.empty((2, 3, 1))
    step.forward(x, logits)
    step.backward(x, y, logits, 1.0)
    dropped = dropout.mask[:, 0] == 0
    assert (dropped[0] != dropped[1]).any()
    for k in range(2):
        assert not gradients.weights[0][k][:, dropped[k]].any() and gradients.weights[0][k][:, ~dropped[k]].all()
