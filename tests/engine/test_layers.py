from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.layers import LayerStatistics, measure_layers
from mlptrain.engine.network import Network
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer
from mlptrain.engine.parameters import Architecture
from tests.peers import layer_statistics

RATES = np.array([0.1])


def random_network(activation: str, *, batch_norm: bool = False, dtype: str = "float64", members: int = 1) -> Network:
    """Return networks 9-8-7-4 with weights and biases large enough that some units saturate or are dead."""
    network = Network(Architecture((9, 8, 7, 4), activation, "softmax", "cross_entropy", batch_norm), members, dtype)
    network.initialize("normal", [np.random.default_rng(seed) for seed in range(members)])
    network.parameters.biases[0][:, :2] = -30
    return network


def examples(dtype: str = "float64", count: int = 25) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.random((count, 9)).astype(dtype), np.eye(4, dtype=dtype)[:, rng.integers(4, size=count)]


def optimizer_of(network: Network, name: str = "sgd") -> Optimizer:
    values = {"momentum": 0.9, "epsilon": 1e-7, "rho": 0.9, "beta1": 0.9, "beta2": 0.999, "decay": 0.01}
    return Optimizer(name, network, {key: np.full(network.members, value) for key, value in values.items()})


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_the_statistics_are_those_of_pytorch_hooks(name: str, batch_norm: bool, dtype: str, tolerance: float) -> None:
    network = random_network(name, batch_norm=batch_norm, dtype=dtype)
    x, y = examples(dtype)
    (layers,) = measure_layers(network, optimizer_of(network), x, y, RATES)
    for ours, theirs in zip(layers, layer_statistics(network, x, y, 0.1), strict=True):
        np.testing.assert_allclose(
            np.array(ours, np.float64), np.array(theirs, np.float64), rtol=tolerance, atol=tolerance
        )


def test_units_of_a_worked_example() -> None:
    """Two examples, 0 and 1; the units have the weights 1, 10 and −10 and the biases 0, 0 and −1."""
    network = Network(Architecture((1, 3, 2), "relu", "softmax", "cross_entropy"), 1, "float64")
    network.parameters.weights[0][0, :, 0] = [1, 10, -10]
    network.parameters.biases[0][0, :, 0] = [0, 0, -1]
    x, y = np.array([[0.0], [1.0]]), np.eye(2)
    ((hidden, output),) = measure_layers(network, optimizer_of(network), x, y, RATES)
    assert hidden.dead == 1 / 3 and hidden.saturated is None  # the third is below 0 for both
    assert (hidden.z_mean, hidden.a_mean) == pytest.approx(((0 + 1 + 0 + 10 - 1 - 11) / 6, 11 / 6))
    assert hidden.weight_norm == pytest.approx(201**0.5)
    assert (output.saturated, output.dead) == (None, None)
    assert (output.a_mean, output.a_sd, output.weight_norm) == (0.5, 0, 0) and np.isinf(output.update_ratio)

    network.architecture = Architecture((1, 3, 2), "sigmoid", "softmax", "cross_entropy")
    ((hidden, _),) = measure_layers(network, optimizer_of(network), x, y, RATES)
    assert hidden.saturated == 2 / 6 and hidden.dead is None  # z = 10 and −11; σ(−1) and σ(1) are not near 0 or 1


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_measuring_changes_nothing_but_the_gradients(name: str, batch_norm: bool) -> None:
    network = random_network("selu", batch_norm=batch_norm, dtype="float32", members=2)
    optimizer, (x, y) = optimizer_of(network, name), examples("float32")
    rng = np.random.default_rng(1)

    def step() -> None:
        optimizer.gradients.flat[:] = rng.normal(size=optimizer.gradients.flat.size)
        optimizer.update(np.full(2, 0.01))

    def state() -> list[bytes]:
        arrays = [network.parameters, network.statistics, *optimizer.states]
        return [array.flat.tobytes() for array in arrays] + [repr([optimizer.state(0), optimizer.state(1)]).encode()]

    step()
    before = state()
    first = measure_layers(network, optimizer, x, y, np.full(2, 0.01))
    assert state() == before
    assert measure_layers(network, optimizer, x, y, np.full(2, 0.01)) == first
    assert len(first) == 2 and all(isinstance(layer, LayerStatistics) for layer in first[0])


def test_networks_of_a_stack_are_measured_one_by_one() -> None:
    stack, (x, y) = random_network("tanh", members=3), examples()
    together = measure_layers(stack, optimizer_of(stack), x, y, np.array([0.1, 0.2, 0.0]))
    for member, rate in enumerate((0.1, 0.2, 0.0)):
        alone = random_network("tanh")
        alone.restore([stack.state(member)])
        (layers,) = measure_layers(alone, optimizer_of(alone), x, y, np.array([rate]))
        for ours, theirs in zip(together[member], layers, strict=True):
            np.testing.assert_allclose(np.array(ours, np.float64), np.array(theirs, np.float64), rtol=1e-12)
    assert together[2][0].update_ratio == 0 < together[2][0].gradient_norm
