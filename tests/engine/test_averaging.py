from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine import parameters as module
from mlptrain.engine.averaging import Average
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Architecture


def make(members: int = 1, dtype: str = "float64", batch_norm: bool = False) -> Network:
    network = Network(Architecture((5, 4, 3), "relu", "softmax", "cross_entropy", batch_norm), members, dtype)
    network.initialize("normal", [np.random.default_rng(k) for k in range(members)])
    return network


def test_worked_averages() -> None:
    # d = (1 + t) / (10 + t) at first: 2/11, 3/12; the weights go 1, 12, 8.
    network = make()
    network.parameters.flat[:] = 1
    average = Average(network, np.array([0.9]))
    network.parameters.flat[:] = 12
    average.update()
    assert average.parameters.flat == pytest.approx(2 / 11 * 1 + 9 / 11 * 12)  # 10
    network.parameters.flat[:] = 8
    average.update()
    assert average.parameters.flat == pytest.approx(0.25 * 10 + 0.75 * 8)
    assert (network.parameters.flat == 8).all(), "the network keeps its own weights"


def test_small_decay_bounds_the_memory_after_one_step() -> None:
    # With a decay of 0.2, min(0.2, (1 + t) / (10 + t)) is 2/11, then 0.2.
    network = make()
    network.parameters.flat[:] = 0
    average = Average(network, np.array([0.2]))
    network.parameters.flat[:] = 1
    average.update()
    assert average.parameters.flat == pytest.approx(9 / 11)
    average.update()
    assert average.parameters.flat == pytest.approx(0.2 * 9 / 11 + 0.8)


def test_average_starts_at_the_initial_weights_and_statistics() -> None:
    network = make(2, batch_norm=True)
    network.statistics.flat[:] = 3
    average = Average(network, np.array([0.9, 0.9]))
    np.testing.assert_array_equal(average.parameters.flat, network.parameters.flat)
    np.testing.assert_array_equal(average.statistics.flat, 3)
    for _ in range(5):
        average.update()
    np.testing.assert_allclose(average.parameters.flat, network.parameters.flat, rtol=1e-15)


def test_running_statistics_are_averaged_with_the_weights() -> None:
    network = make(batch_norm=True)
    average = Average(network, np.array([0.99]))
    network.statistics.means[0][:] = 11
    network.statistics.variances[0][:] = 12
    average.update()
    assert average.statistics.means[0] == pytest.approx(9.0)
    assert average.statistics.variances[0] == pytest.approx(2 / 11 + 9 / 11 * 12)
    assert average.parameters.gains[0] == pytest.approx(1)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_of_a_stack_have_separate_decays(dtype: str, batch_norm: bool) -> None:
    decays = [0.0, 0.5, 0.99]
    stack = make(3, dtype, batch_norm)
    together = Average(stack, np.array(decays))
    alone = []
    for k, decay in enumerate(decays):
        network = make(1, dtype, batch_norm)
        for ours, theirs in zip(network.parameters.arrays, stack.parameters.arrays, strict=True):
            ours[0] = theirs[k]
        alone.append(Average(network, np.array([decay])))
    rng = np.random.default_rng(0)
    for _ in range(15):
        for index, array in enumerate(stack.parameters.arrays):
            array += rng.normal(size=array.shape)
            for k, average in enumerate(alone):
                average.network.parameters.arrays[index][0] = array[k]
        if batch_norm:
            stack.statistics.means[0] += rng.random((3, 4, 1))
            for k, average in enumerate(alone):
                average.network.statistics.means[0][0] = stack.statistics.means[0][k]
        together.update()
        for average in alone:
            average.update()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for k, average in enumerate(alone):
        for whole, single in zip(together.parameters.arrays, average.parameters.arrays, strict=True):
            np.testing.assert_allclose(whole[k], single[0], rtol=0, atol=tolerance)
        for whole, single in zip(together.statistics.means, average.statistics.means, strict=True):
            np.testing.assert_allclose(whole[k], single[0], rtol=0, atol=tolerance)
    # With a decay of 0 the average is the weights.
    np.testing.assert_allclose(
        together.parameters.weights[0][0], stack.parameters.weights[0][0], rtol=0, atol=tolerance
    )


def test_size_of_blocks_does_not_change_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def averaged() -> np.ndarray:
        network = make(2)
        average = Average(network, np.array([0.9, 0.9]))
        network.parameters.flat *= 3
        average.update()
        average.update()
        return average.parameters.flat

    whole = averaged()
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 7)
    np.testing.assert_array_equal(averaged(), whole)


def test_equal_decays_need_a_single_block() -> None:
    equal, unequal = Average(make(2), np.array([0.9, 0.9])), Average(make(2), np.array([0.9, 0.5]))
    assert len(equal._blocks) == 1 < len(unequal._blocks)


def test_restored_average_of_one_network() -> None:
    first = Average(make(1), np.array([0.9]))
    first.network.parameters.flat += 1
    first.update()
    second = Average(make(1), np.array([0.9]))
    second.restore([first.state(0)])
    assert second.steps == 1
    np.testing.assert_array_equal(second.parameters.flat, first.parameters.flat)


def test_restored_average_of_a_stack() -> None:
    network = make(members=2, batch_norm=True)
    first = Average(network, np.array([0.9, 0.5]))
    first.update()
    network.parameters.flat += 1
    network.statistics.flat += 0.5
    first.update()
    second = Average(make(members=2, batch_norm=True), np.array([0.9, 0.5]))
    second.network = network
    second.restore([first.state(0), first.state(1)])
    assert second.steps == 2
    np.testing.assert_array_equal(second.parameters.flat, first.parameters.flat)
    np.testing.assert_array_equal(second.statistics.flat, first.statistics.flat)
    assert not np.array_equal(first.state(0)["parameters"], first.state(1)["parameters"])
