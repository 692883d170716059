from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.network import ForwardPass, Network, refresh_plain
from mlptrain.engine.normalization import EPSILON, BatchNorm, fold
from mlptrain.engine.optimizers import Optimizer
from mlptrain.engine.parameters import Architecture, Parameters
from tests.peers import assert_same, torch_or_skip, twin


class Layer:
    """A normalised layer of K networks with its arrays."""

    def __init__(self, members: int, units: int, batch: int, dtype: str = "float64") -> None:
        shape = (members, units, 1)
        rng = np.random.default_rng(5)
        self.gains, self.shifts = (rng.normal(size=shape).astype(dtype) for _ in range(2))
        self.mean, self.variance = np.zeros(shape, dtype), np.ones(shape, dtype)
        self.norm = self.of_size(batch)

    def of_size(self, batch: int) -> BatchNorm:
        """Return the normalisation of the same layer for another batch size."""
        return BatchNorm(self.gains, self.shifts, self.mean, self.variance, batch)

    def backward(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gains, shifts = np.empty_like(self.gains), np.empty_like(self.gains)
        self.norm.backward(delta, np.empty_like(delta), gains, shifts)
        return gains, shifts


def test_worked_batch() -> None:
    # z = (1, 3): mean 2, variance 1, ẑ = ∓1 (but for ε); y = 2 ẑ + 5. The unbiased variance is 2.
    layer = Layer(1, 1, 2)
    layer.gains[:], layer.shifts[:] = 2, 5
    z = np.array([[[1.0, 3.0]]])
    layer.norm.forward(z)
    np.testing.assert_allclose(z[0, 0], [3, 7], rtol=0, atol=2e-5)
    assert layer.mean[0, 0, 0] == pytest.approx(0.2)
    assert layer.variance[0, 0, 0] == pytest.approx(0.9 * 1 + 0.1 * 2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normalised_values_have_mean_0_and_variance_1(dtype: str) -> None:
    layer = Layer(3, 4, 50, dtype)
    layer.gains[:], layer.shifts[:] = 1, 0
    z = (np.random.default_rng(0).normal(size=(3, 4, 50)) * 30 + 100).astype(dtype)
    layer.norm.forward(z)
    np.testing.assert_allclose(z.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(z.var(axis=-1), 1, atol=1e-4)


@pytest.mark.parametrize("batch", [2, 3, 20])
def test_normalisation_agrees_with_torch_in_training_and_evaluation(batch: int) -> None:
    torch = torch_or_skip()
    layer, rng = Layer(1, 4, batch), np.random.default_rng(0)
    peer = torch.nn.BatchNorm1d(4, dtype=torch.float64)
    peer.load_state_dict(
        {"weight": torch.from_numpy(layer.gains[0, :, 0]), "bias": torch.from_numpy(layer.shifts[0, :, 0])},
        strict=False,
    )
    for _ in range(5):
        inputs, above = rng.normal(size=(batch, 4)) * [1, 5, 0.1, 2] + 3, rng.normal(size=(batch, 4))
        theirs = torch.from_numpy(inputs).requires_grad_()
        outputs = peer(theirs)
        peer.zero_grad()
        outputs.backward(torch.from_numpy(above))
        z, delta = inputs.T[np.newaxis].copy(), above.T[np.newaxis].copy()
        layer.norm.forward(z)
        gains, shifts = layer.backward(delta)
        for ours, expected in [
            (z[0].T, outputs.detach()),
            (delta[0].T, theirs.grad),
            (gains[0, :, 0], peer.weight.grad),
            (shifts[0, :, 0], peer.bias.grad),
            (layer.mean[0, :, 0], peer.running_mean),
            (layer.variance[0, :, 0], peer.running_var),
        ]:
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)
    peer.eval()
    identity, w, b = np.eye(4)[np.newaxis], np.empty((1, 4, 4)), np.empty((1, 4, 1))
    fold(identity, layer.gains, layer.shifts, layer.mean, layer.variance, w, b)
    expected = peer(torch.from_numpy(inputs)).detach().numpy().T
    np.testing.assert_allclose((w @ inputs.T + b)[0], expected, rtol=0, atol=1e-12)


def test_one_example_is_normalised_by_unchanged_running_statistics() -> None:
    layer = Layer(2, 3, 1)
    layer.mean[:], layer.variance[:] = 4, 9
    z = np.random.default_rng(0).normal(size=(2, 3, 1))
    expected = layer.gains * (z - 4) / np.sqrt(9 + EPSILON) + layer.shifts
    normalized = (z - 4) / np.sqrt(9 + EPSILON)
    layer.norm.forward(z)
    np.testing.assert_allclose(z, expected, rtol=1e-12)
    assert (layer.mean == 4).all() and (layer.variance == 9).all()
    delta = np.full((2, 3, 1), 2.0)
    gains, shifts = layer.backward(delta)
    np.testing.assert_allclose(delta, 2 * layer.gains / np.sqrt(9 + EPSILON), rtol=1e-12)
    np.testing.assert_allclose(gains, 2 * normalized, rtol=1e-12)
    np.testing.assert_array_equal(shifts, 2)


def test_constant_unit_stays_finite() -> None:
    layer = Layer(1, 2, 4, "float32")
    z = np.full((1, 2, 4), 7, "float32")
    layer.norm.forward(z)
    np.testing.assert_allclose(z, np.broadcast_to(layer.shifts, z.shape), rtol=0, atol=1e-6)
    delta = np.ones((1, 2, 4), "float32")
    layer.backward(delta)
    np.testing.assert_allclose(delta, 0, atol=1e-3)


def make(members: int = 1, hidden: tuple[int, ...] = (16, 8), batch_norm: bool = True) -> Network:
    architecture = Architecture((20, *hidden, 4), "relu", "softmax", "cross_entropy", batch_norm)
    network = Network(architecture, members, "float64")
    network.initialize("auto", [np.random.default_rng(seed) for seed in range(members)])
    return network


def examples(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 4, count)
    return rng.random((count, 20)), np.eye(4)[labels].T.copy(), labels


def train(network: Network, sizes: list[int], rate: float = 0.05) -> None:
    optimizer = Optimizer("momentum", network, {"momentum": np.full(network.members, 0.9)})
    rates = np.full(network.members, rate)
    for size in sizes:
        x, y, _ = examples(size)
        step, logits = TrainingPass(network, size, optimizer.gradients), np.empty((network.members, 4, size))
        step.forward(x, logits)
        step.backward(x, y, logits, optimizer.delta_scale(rates, size))
        optimizer.update(rates)


@pytest.mark.parametrize("sizes", [[50] * 20, [16, 16, 16, 7] * 5, [8, 2] * 10], ids=["full", "short last", "two last"])
def test_training_agrees_with_torch(sizes: list[int]) -> None:
    torch, network = torch_or_skip(), make()
    model, before = twin(network), network.parameters.flat.copy()
    peer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for size in sizes:
        x, _, labels = examples(size)
        peer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(labels)).backward()
        peer.step()
    train(network, sizes)
    assert abs(network.parameters.flat - before).max() > 0.1
    assert_same(network, model)
    # The plain network agrees with torch in evaluation.
    x, _, _ = examples(31)
    model.eval()
    logits = np.empty((1, 4, 31))
    ForwardPass(network.plain(), 31).forward(x, logits)
    np.testing.assert_allclose(logits[0].T, model(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-8)


def normalised_outputs(network: Network, x: np.ndarray) -> np.ndarray:
    """Return the outputs (K, classes, n) of a network with its running statistics, layer by layer."""
    p, s = network.parameters, network.statistics
    a = np.broadcast_to(x.T, (network.members, *x.T.shape))
    for w, beta, gain, mean, variance in zip(p.weights, p.biases, p.gains, s.means, s.variances, strict=False):
        a = np.maximum(gain * (w @ a - mean) / np.sqrt(variance + EPSILON) + beta, 0)
    return p.weights[-1] @ a + p.biases[-1]


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)], ids=str)
def test_plain_network_computes_the_same_as_the_running_statistics(hidden: tuple[int, ...]) -> None:
    network = make(3, hidden)
    x, _, _ = examples(11)
    plain = network.plain()
    train(network, [20] * 5)
    refresh_plain(plain, network.parameters, network.statistics)
    assert not plain.architecture.batch_norm and not plain.parameters.gains
    logits = np.empty((3, 4, 11))
    ForwardPass(plain, 11).forward(x, logits)
    np.testing.assert_allclose(logits, normalised_outputs(network, x), rtol=0, atol=1e-12)


def test_batch_of_one_trains_every_parameter_and_keeps_the_statistics() -> None:
    network = make()
    train(network, [16, 16])
    weights, statistics = network.parameters.flat.copy(), network.statistics.flat.copy()
    train(network, [1])
    assert np.isfinite(network.parameters.flat).all()
    np.testing.assert_array_equal(network.statistics.flat, statistics)
    # With its own statistics every ẑ would be 0, and only shifts would change.
    assert all((a != b).any() for a, b in zip(split(network, weights), network.parameters.arrays, strict=True))


def split(network: Network, flat: np.ndarray) -> list[np.ndarray]:
    copy = Parameters(network.architecture, network.members, network.dtype)
    copy.flat[:] = flat
    return copy.arrays
