from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.network import Architecture, ForwardPass, Network, Parameters, TrainingPass, predict
from mlptrain.engine.optimizers import Optimizer


def test_parameters_are_views_of_one_array():
    parameters = Parameters((4, 3, 2), 2, np.dtype("float32"))
    assert parameters.flat.size == 2 * (4 * 3 + 3 * 2 + 3 + 2)
    assert [array.shape for array in parameters.arrays] == [(2, 3, 4), (2, 2, 3), (2, 3, 1), (2, 2, 1)]
    parameters.flat[:] = 7
    assert all((array == 7).all() for array in parameters.arrays)


def test_the_number_of_parameters():
    assert Architecture((784, 30, 10), "sigmoid", "softmax", "cross_entropy").parameters == 23_860
    assert Architecture((784, 10), "sigmoid", "softmax", "cross_entropy").parameters == 7_850


def test_a_worked_forward_pass():
    # One hidden unit: z = 1·2 + 2·(−1) + 0.5 = 0.5, relu 0.5; outputs 0.5·4 + 1 = 3 and 0.5·(−2) = −1.
    network = Network(Architecture((2, 1, 2), "relu", "linear", "mse"), dtype="float64")
    network.assign(0, [np.array([[1.0, 2.0]]), np.array([[4.0], [-2.0]])], [np.array([0.5]), np.array([1.0, 0.0])])
    np.testing.assert_array_equal(predict(network, np.array([[2.0, -1.0]]))[0, :, 0], [3, -1])


def test_without_hidden_layers_it_is_softmax_regression():
    network = Network(Architecture((2, 3), "relu", "softmax", "cross_entropy"), dtype="float64")
    network.assign(0, [np.array([[1.0, 0], [2, 0], [3, 0]])], [np.zeros(3)])
    np.testing.assert_allclose(predict(network, np.array([[1.0, 9]]))[0, :, 0], [0.0900, 0.2447, 0.6652], atol=5e-5)


def train(network: Network, x: np.ndarray, y: np.ndarray, rates: np.ndarray, momenta: np.ndarray, steps: int) -> None:
    optimizer = Optimizer("momentum", network, {"momentum": momenta})
    step = TrainingPass(network, len(x), optimizer.gradients)
    logits = np.empty((network.members, y.shape[0], len(x)), network.dtype)
    scale = (rates / len(x)).astype(network.dtype).reshape(-1, 1, 1)
    for _ in range(steps):
        step.forward(x, logits)
        step.backward(x, y, logits, scale)
        optimizer.update()


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_three_stacked_networks_train_as_three_alone(hidden, dtype):
    rng = np.random.default_rng(0)
    x = rng.random((20, 12)).astype(dtype)
    y = np.eye(4, dtype=dtype)[rng.integers(0, 4, 20)].T.copy()
    rates, momenta = np.array([0.01, 0.1, 0.5]), np.array([0.0, 0.5, 0.9])
    architecture = Architecture((12, *hidden, 4), "sigmoid", "softmax", "cross_entropy")
    stack = Network(architecture, 3, dtype)
    stack.initialize("glorot_uniform", [np.random.default_rng(seed) for seed in (1, 2, 3)])
    train(stack, x, y, rates, momenta, steps=10)
    for k in range(3):
        solo = Network(architecture, 1, dtype)
        solo.initialize("glorot_uniform", [np.random.default_rng(k + 1)])
        train(solo, x, y, rates[k : k + 1], momenta[k : k + 1], steps=10)
        for stacked, single in zip(stack.parameters.arrays, solo.parameters.arrays, strict=True):
            np.testing.assert_allclose(stacked[k], single[0], rtol=0, atol=1e-6)


def test_a_diverged_member_leaves_its_neighbours_alone():
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 12)), np.eye(4)[rng.integers(0, 4, 20)].T.copy()
    architecture = Architecture((12, 8, 4), "tanh", "linear", "mse")

    def trained(rate: float) -> np.ndarray:
        stack = Network(architecture, 2, "float64")
        stack.initialize("auto", [np.random.default_rng(seed) for seed in (1, 2)])
        with np.errstate(all="ignore"):
            train(stack, x, y, np.array([0.1, rate]), np.array([0.5, 0.5]), steps=100)
        return stack.parameters.weights[1]

    wild, tame = trained(1e6), trained(0.1)
    assert not np.isfinite(wild[1]).all()
    np.testing.assert_allclose(wild[0], tame[0], rtol=0, atol=1e-12)


def test_a_pass_of_another_size_gives_the_same_outputs():
    network = Network(Architecture((6, 5, 3), "tanh", "softmax", "cross_entropy"), dtype="float64")
    network.initialize("auto", [np.random.default_rng(0)])
    x = np.random.default_rng(1).random((9, 6))
    whole = np.empty((1, 3, 9))
    ForwardPass(network, 9).forward(x, whole)
    part = np.empty((1, 3, 4))
    ForwardPass(network, 4).forward(x[5:], part)
    np.testing.assert_allclose(part, whole[:, :, 5:], atol=1e-14)
