"""Backpropagation against central differences, for every function with a gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Architecture, Parameters
from tests.engine.gradcheck import analytic_gradient, numerical_gradient, relative_error

HIDDEN = [(), (4,), (4, 3), (4, 3, 3)]


def make_network(
    hidden: tuple[int, ...], activation: str, output: str, loss: str, members: int = 1, batch_norm: bool = False
) -> Network:
    network = Network(Architecture((5, *hidden, 3), activation, output, loss, batch_norm), members, "float64")
    network.initialize("glorot_normal", [np.random.default_rng(seed) for seed in range(members)])
    rng = np.random.default_rng(9)
    for bias in network.parameters.biases:
        bias[:] = rng.normal(size=bias.shape) / 3  # away from the kink of relu at 0
    for gain in network.parameters.gains:
        gain[:] = rng.uniform(0.5, 1.5, gain.shape) * rng.choice([-1, 1], gain.shape)
    return network


def examples(count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((count, 5)), np.eye(3)[rng.integers(0, 3, count)].T.copy()


class FixedMask:
    """A replacement of ``Dropout`` that always draws the same mask."""

    def __init__(self, *shape: int, rate: float = 0.4, seed: int = 0) -> None:
        self.mask = (np.random.default_rng(seed).random(shape) > rate) / (1 - rate)

    def draw(self) -> np.ndarray:
        return self.mask


def masks(hidden: tuple[int, ...], members: int, batch: int = 7) -> dict[str, Any]:
    layers = [FixedMask(members, units, batch, seed=index) for index, units in enumerate(hidden)]
    return {"dropout": layers, "input_dropout": FixedMask(members, batch, 5, seed=8)}


def error_of(network: Network, batch: int = 7, **dropout: Any) -> float:
    x, y = examples(batch)
    return relative_error(analytic_gradient(network, x, y, **dropout), numerical_gradient(network, x, y, **dropout))


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_every_activation_output_and_loss(
    activation: str, loss: str, output: str, hidden: tuple[int, ...]
) -> None:
    assert error_of(make_network(hidden, activation, output, loss)) < 1e-6


@pytest.mark.parametrize("hidden", HIDDEN[1:], ids=str)
@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_with_batch_normalisation(activation: str, loss: str, output: str, hidden: tuple[int, ...]) -> None:
    assert error_of(make_network(hidden, activation, output, loss, batch_norm=True)) < 1e-6


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_with_dropout_of_units_and_pixels(activation: str, batch_norm: bool) -> None:
    network = make_network((4, 3), activation, "softmax", "cross_entropy", batch_norm=batch_norm)
    assert error_of(network, **masks((4, 3), 1)) < 1e-6


@pytest.mark.parametrize("which", ["dropout", "input_dropout"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_gradients_with_one_kind_of_dropout(hidden: tuple[int, ...], which: str) -> None:
    network = make_network(hidden, "tanh", "sigmoid", "mse")
    assert error_of(network, **{which: masks(hidden, 1)[which]}) < 1e-6


def test_gradients_with_dropout_of_the_second_layer_only() -> None:
    network = make_network((4, 3), "silu", "softmax", "cross_entropy")
    assert error_of(network, dropout=[None, FixedMask(1, 3, 7)]) < 1e-6


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("dropout", [False, True], ids=["all units", "dropout"])
@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
def test_gradients_of_stacks(loss: str, output: str, dropout: bool, batch_norm: bool) -> None:
    network = make_network((4, 3), "gelu", output, loss, members=2, batch_norm=batch_norm)
    assert error_of(network, **(masks((4, 3), 2) if dropout else {})) < 1e-6


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_with_batch_normalisation_of_the_smallest_batches(batch: int) -> None:
    """One example is normalised by the running statistics, which are constants."""
    network = make_network((4, 3), "tanh", "softmax", "cross_entropy", batch_norm=True)
    rng = np.random.default_rng(4)
    for mean, variance in zip(network.statistics.means, network.statistics.variances, strict=True):
        mean[:], variance[:] = rng.normal(size=mean.shape), rng.uniform(0.2, 2, variance.shape)
    assert error_of(network, batch) < 1e-6


def test_gradients_with_different_targets_per_network() -> None:
    network = make_network((4,), "elu", "softmax", "cross_entropy", members=2)
    x, y = examples()
    share = np.array([0.1, 0.4]).reshape(2, 1, 1)
    smoothed = y * (1 - share) + share / 3
    assert relative_error(analytic_gradient(network, x, smoothed), numerical_gradient(network, x, smoothed)) < 1e-6


def test_targets_of_one_network_may_have_the_model_axis() -> None:
    network = make_network((4,), "elu", "softmax", "cross_entropy")
    x, y = examples()
    with_axis, without = analytic_gradient(network, x, y[np.newaxis]), analytic_gradient(network, x, y)
    np.testing.assert_array_equal(with_axis.flat, without.flat)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_stack_of_different_sizes_has_the_gradients_of_its_members(activation: str, batch_norm: bool) -> None:
    """Padding has no gradient, even if f(0) is not 0."""
    sizes = [(5, 2, 3, 3), (5, 4, 1, 3)]
    largest = Architecture((5, 4, 3, 3), activation, "softmax", "cross_entropy", batch_norm)
    stack = Network(largest, 2, "float64", sizes)
    rng = np.random.default_rng(9)
    for k in range(2):
        stack.parameters.write(k, rng.normal(size=stack.flatten(k).shape))
    x, y = examples()
    stacked = analytic_gradient(stack, x, y)
    for k, layers in enumerate(sizes):
        solo = Network(replace(largest, layers=layers), 1, "float64")
        solo.parameters.write(0, stack.flatten(k))
        np.testing.assert_allclose(stacked.read(k), analytic_gradient(solo, x, y).read(0), rtol=1e-10, atol=1e-13)
    assert np.count_nonzero(stacked.flat) == sum(np.count_nonzero(stacked.read(k)) for k in range(2))


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_stack_has_the_gradients_of_its_members(hidden: tuple[int, ...], batch_norm: bool) -> None:
    stack = make_network(hidden, "sigmoid", "softmax", "cross_entropy", members=3, batch_norm=batch_norm)
    x, y = examples()
    stacked = analytic_gradient(stack, x, y)
    for k in range(3):
        solo = Network(stack.architecture, 1, "float64")
        for ours, theirs in zip(solo.parameters.arrays, stack.parameters.arrays, strict=True):
            ours[0] = theirs[k]
        for whole, single in zip(stacked.arrays, analytic_gradient(solo, x, y).arrays, strict=True):
            np.testing.assert_allclose(whole[k], single[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_scale_multiplies_every_gradient(hidden: tuple[int, ...]) -> None:
    network = make_network(hidden, "softplus", "softmax", "cross_entropy", members=2, batch_norm=True)
    x, y = examples()
    plain, gradients = analytic_gradient(network, x, y), analytic_gradient(network, x, y)
    step, logits = TrainingPass(network, 7, gradients), np.empty((2, 3, 7))
    step.forward(x, logits)
    step.backward(x, y, logits, np.array([0.5, -3.0]).reshape(2, 1, 1) / 7)
    for scaled, array in zip(gradients.arrays, plain.arrays, strict=True):
        np.testing.assert_allclose(scaled, array * np.array([0.5, -3.0]).reshape(2, 1, 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("array", range(6), ids=["W1", "W2", "b1", "b2", "gain", "all"])
def test_central_differences_detect_a_wrong_gradient(array: int) -> None:
    network = make_network((4,), "tanh", "softmax", "cross_entropy", batch_norm=True)
    x, y = examples()
    analytic = analytic_gradient(network, x, y)
    wrong = analytic.flat if array == 5 else analytic.arrays[array]
    wrong *= 1.0001
    assert relative_error(analytic, numerical_gradient(network, x, y)) > 1e-6


def test_worked_relative_errors() -> None:
    architecture = Architecture((2, 1), "tanh", "linear", "mse")
    analytic, numerical = (Parameters(architecture, 1, np.dtype("float64")) for _ in range(2))
    assert relative_error(analytic, numerical) == 0
    analytic.flat[:], numerical.flat[:] = [3, 4, 1e-3], [3, 0, -1e-3]  # weights, bias: norms 5 and 3, 1e-3 twice
    assert relative_error(analytic, numerical) == pytest.approx(4 / 8)
    numerical.flat[:2] = [3, 4]
    assert relative_error(analytic, numerical) == pytest.approx(2e-3 / (1e-3 * 10), rel=1e-3)
