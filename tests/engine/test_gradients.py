"""Backpropagation against central differences, for every activation, output and loss that go together."""

from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.gradcheck import analytic_gradient, numerical_gradient, relative_error
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Architecture, Network

HIDDEN = [(), (5,), (5, 4), (5, 4, 6)]


def make_network(hidden: tuple[int, ...], activation: str, output: str, loss: str, members: int = 1) -> Network:
    network = Network(Architecture((6, *hidden, 3), activation, output, loss), members, "float64")
    network.initialize("glorot_normal", [np.random.default_rng(seed) for seed in range(members)])
    for bias in network.parameters.biases:
        bias[:] = np.random.default_rng(9).normal(size=bias.shape) / 3  # off the kink of relu at 0
    return network


def examples(count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((count, 6)), np.eye(3)[rng.integers(0, 3, count)].T.copy()


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backpropagation_agrees_with_central_differences(activation, loss, output, hidden):
    network = make_network(hidden, activation, output, loss)
    x, y = examples()
    error = relative_error(analytic_gradient(network, x, y), numerical_gradient(network, x, y))
    assert error < 1e-6


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_a_stack_has_the_gradients_of_its_members(hidden):
    stack = make_network(hidden, "sigmoid", "softmax", "cross_entropy", members=3)
    x, y = examples()
    stacked = analytic_gradient(stack, x, y)
    for k in range(3):
        solo = Network(stack.architecture, 1, "float64")
        solo.assign(0, *stack.member(k))
        for whole, single in zip(stacked.arrays, analytic_gradient(solo, x, y).arrays, strict=True):
            np.testing.assert_allclose(whole[k], single[0], rtol=0, atol=1e-12)


def test_central_differences_notice_a_wrong_gradient():
    network = make_network((5,), "tanh", "softmax", "cross_entropy")
    x, y = examples()
    analytic = analytic_gradient(network, x, y)
    analytic.weights[0][0, 2, 3] *= 1.001
    assert relative_error(analytic, numerical_gradient(network, x, y)) > 1e-6
