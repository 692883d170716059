from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.network import ForwardPass, Network, predict, refresh_plain
from mlptrain.engine.optimizers import Optimizer
from mlptrain.engine.parameters import Architecture, Parameters


def test_gains_start_at_1() -> None:
    architecture = Architecture((4, 3, 5, 2), "relu", "softmax", "cross_entropy", batch_norm=True)
    assert all((gains == 1).all() for gains in Network(architecture, 2).parameters.gains)


def random_network(members: int, batch_norm: bool) -> Network:
    """Return a network in which all parameters and running statistics differ."""
    network = Network(Architecture((4, 3, 5, 2), "relu", "softmax", "cross_entropy", batch_norm), members, "float64")
    rng = np.random.default_rng(0)
    network.parameters.flat[:] = rng.normal(size=network.parameters.flat.size)
    network.statistics.flat[:] = rng.random(network.statistics.flat.size)
    return network


def test_entries_of_a_member_are_its_weights_and_biases() -> None:
    network = random_network(3, batch_norm=False)
    weights, biases = network.unflatten(1, network.flatten(1))
    for ours, theirs in zip((weights, biases), network.member(1), strict=True):
        assert len(ours) == 3
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
    pair = random_network(2, batch_norm=False)
    pair.parameters.flat[:] = 0
    pair.assign(1, weights, biases)
    np.testing.assert_array_equal(pair.flatten(1), network.flatten(1))
    assert not pair.flatten(0).any()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_restored_members_have_their_parameters_and_statistics(batch_norm: bool) -> None:
    network = random_network(3, batch_norm)
    other = Network(network.architecture, 2, "float64")
    other.restore([network.state(2), network.state(0)])
    pairs = zip(
        other.parameters.arrays + other.statistics.arrays,
        network.parameters.arrays + network.statistics.arrays,
        strict=True,
    )
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs[[2, 0]])


def test_worked_forward_pass() -> None:
    # One hidden unit: z = 1·2 + 2·(−1) + 0.5 = 0.5, relu 0.5; outputs 0.5·4 + 1 = 3 and 0.5·(−2) = −1.
    network = Network(Architecture((2, 1, 2), "relu", "linear", "mse"), dtype="float64")
    network.assign(0, [np.array([[1.0, 2.0]]), np.array([[4.0], [-2.0]])], [np.array([0.5]), np.array([1.0, 0.0])])
    np.testing.assert_array_equal(predict(network, np.array([[2.0, -1.0]]))[0, :, 0], [3, -1])


def test_network_without_hidden_layers_is_softmax_regression() -> None:
    network = Network(Architecture((2, 3), "relu", "softmax", "cross_entropy"), dtype="float64")
    network.assign(0, [np.array([[1.0, 0], [2, 0], [3, 0]])], [np.zeros(3)])
    np.testing.assert_allclose(predict(network, np.array([[1.0, 9]]))[0, :, 0], [0.0900, 0.2447, 0.6652], atol=5e-5)


def train(network: Network, x: np.ndarray, y: np.ndarray, rates: np.ndarray, momenta: np.ndarray, steps: int) -> None:
    optimizer = Optimizer("momentum", network, {"momentum": momenta}, same_rates=False)
    step = TrainingPass(network, len(x), optimizer.gradients)
    logits = np.empty((network.members, y.shape[0], len(x)), network.dtype)
    scale = optimizer.delta_scale(rates, len(x))
    for _ in range(steps):
        step.forward(x, logits)
        step.backward(x, y, logits, scale)
        optimizer.update(rates)


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stacked_networks_train_as_they_do_alone(hidden: tuple[int, ...], dtype: str) -> None:
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


def test_diverged_member_does_not_affect_the_others() -> None:
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


def test_batch_size_does_not_change_the_outputs() -> None:
    network = Network(Architecture((6, 5, 3), "tanh", "softmax", "cross_entropy"), dtype="float64")
    network.initialize("auto", [np.random.default_rng(0)])
    x = np.random.default_rng(1).random((9, 6))
    whole = np.empty((1, 3, 9))
    ForwardPass(network, 9).forward(x, whole)
    last = np.empty((1, 3, 4))
    ForwardPass(network, 4).forward(x[5:], last)
    np.testing.assert_allclose(last, whole[:, :, 5:], atol=1e-14)


def test_network_without_normalisation_is_plain() -> None:
    network = Network(Architecture((6, 5, 3), "tanh", "softmax", "cross_entropy"))
    assert network.plain() is network


def test_refresh_copies_the_parameters_of_a_plain_network() -> None:
    architecture = Architecture((6, 5, 3), "tanh", "softmax", "cross_entropy")
    source, target = Network(architecture, 2), Network(architecture, 2)
    source.initialize("normal", [np.random.default_rng(seed) for seed in range(2)])
    refresh_plain(target, source.parameters, source.statistics)
    np.testing.assert_array_equal(target.parameters.flat, source.parameters.flat)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)], ids=str)
@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "selu"])
def test_training_pass_and_forward_pass_agree(hidden: tuple[int, ...], activation: str) -> None:
    architecture = Architecture((6, *hidden, 3), activation, "softmax", "cross_entropy")
    network = Network(architecture, 2, "float64")
    network.initialize("normal", [np.random.default_rng(seed) for seed in range(2)])
    x = np.random.default_rng(1).random((9, 6))
    training, plain = np.empty((2, 3, 9)), np.empty((2, 3, 9))
    TrainingPass(network, 9, Parameters(architecture, 2, network.dtype)).forward(x, training)
    ForwardPass(network, 9).forward(x, plain)
    np.testing.assert_allclose(training, plain, rtol=0, atol=1e-13)
