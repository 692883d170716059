from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine import parameters as module
from mlptrain.engine.parameters import (
    CACHE_LINE_BYTES,
    Architecture,
    Parameters,
    Statistics,
    empty_aligned,
    make_blocks,
)

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


def architecture(*layers: int, batch_norm: bool = False) -> Architecture:
    return Architecture(layers, "relu", "softmax", "cross_entropy", batch_norm)


# ---- architecture -------------------------------------------------------------------------------------


def test_number_of_parameters() -> None:
    assert architecture(784, 30, 10).parameter_count == 23_860
    assert architecture(784, 10).parameter_count == 7_850
    # Batch normalisation adds a gain for each hidden unit; its running statistics are not trained.
    assert architecture(784, 30, 10, batch_norm=True).parameter_count == 23_890


# ---- parameters and statistics ------------------------------------------------------------------------


def test_parameters_are_views_of_one_array() -> None:
    parameters = Parameters(architecture(4, 3, 2), 2, FLOAT32)
    assert parameters.flat.size == 2 * (4 * 3 + 3 * 2 + 3 + 2)
    assert [array.shape for array in parameters.arrays] == [(2, 3, 4), (2, 2, 3), (2, 3, 1), (2, 2, 1)]
    assert not parameters.flat.any()
    parameters.flat[:] = 7
    assert all((array == 7).all() for array in parameters.arrays)
    assert parameters.gains == [] and parameters.weight_entries == 2 * (4 * 3 + 3 * 2)


def test_gains_of_batch_normalisation_come_last() -> None:
    parameters = Parameters(architecture(4, 3, 5, 2, batch_norm=True), 2, FLOAT64)
    assert [gains.shape for gains in parameters.gains] == [(2, 3, 1), (2, 5, 1)]
    assert parameters.flat.size == 2 * (4 * 3 + 3 * 5 + 5 * 2 + 3 + 5 + 2 + 3 + 5)
    parameters.flat[-16:] = 7  # 2 · (3 + 5) gains
    assert all((gains == 7).all() for gains in parameters.gains) and not parameters.biases[-1].any()


def test_statistics_are_views_of_one_array() -> None:
    statistics = Statistics(architecture(4, 3, 5, 2, batch_norm=True), 2, FLOAT64)
    assert [mean.shape for mean in statistics.means] == [(2, 3, 1), (2, 5, 1)]
    assert not np.concatenate(statistics.means, axis=1).any()
    assert (np.concatenate(statistics.variances, axis=1) == 1).all()
    statistics.flat[:] = 3
    assert all((array == 3).all() for array in statistics.means + statistics.variances)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_network_without_hidden_layers_has_no_gains_and_statistics(batch_norm: bool) -> None:
    single = architecture(4, 2, batch_norm=batch_norm)
    assert Statistics(single, 2, FLOAT64).flat.size == 0
    assert single.parameter_count == Parameters(single, 1, FLOAT64).flat.size == 10


# ---- memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (2, 30, 784)])
def test_aligned_arrays_begin_at_a_cache_line_and_have_their_own_memory(shape: tuple[int, ...], dtype: str) -> None:
    kept = [empty_aligned(shape, np.dtype(dtype)) for _ in range(20)]
    for number, array in enumerate(kept):
        assert array.ctypes.data % CACHE_LINE_BYTES == 0
        assert array.shape == shape and array.dtype == dtype
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = number
    for number, array in enumerate(kept):
        assert (array == number).all()


def test_weights_of_the_first_layer_begin_at_a_cache_line() -> None:
    assert Parameters(architecture(784, 30, 10), 2, FLOAT32).weights[0].ctypes.data % CACHE_LINE_BYTES == 0


# ---- blocks -------------------------------------------------------------------------------------------


def normalised() -> Parameters:
    return Parameters(architecture(20, 16, 8, 4, batch_norm=True), 2, FLOAT64)


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("options", [{"uniform": True, "separate_weights": True}, {"uniform": False}], ids=str)
def test_blocks_cover_every_entry_once_and_separate_weights(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], size: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_ENTRIES", size)
    parameters = normalised()
    for (array,), scratch, is_weight in make_blocks([parameters], **options):
        assert scratch.shape == array.shape and scratch.dtype == array.dtype
        array += 2 if is_weight else 1
    assert (parameters.flat[: parameters.weight_entries] == 2).all()
    assert (parameters.flat[parameters.weight_entries :] == 1).all()


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_blocks_of_any_parameters_cover_every_entry_once_and_are_as_few_as_possible(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_ENTRIES", size)
    parameters = normalised()
    blocks = make_blocks([parameters], uniform=True)
    for (array,), _, is_weight in blocks:
        array += 2 if is_weight else 1
    whole = parameters.weight_entries // size * size  # a block that continues into the biases is not one of weights
    assert (parameters.flat[:whole] == 2).all() and (parameters.flat[whole:] == 1).all()
    assert len(blocks) == -(-parameters.flat.size // size)


def test_blocks_take_the_same_entries_of_every_tensor() -> None:
    first, second = normalised(), normalised()
    for block in make_blocks([first, second], uniform=False):
        for array, number in zip(block.arrays, (1, 2), strict=True):
            array += number
    assert (first.flat == 1).all() and (second.flat == 2).all()


def test_entries_of_a_member_return_to_their_arrays() -> None:
    made, other = (Parameters(architecture(4, 3, 2, batch_norm=True), 2, FLOAT64) for _ in range(2))
    made.flat[:] = np.arange(made.flat.size)
    entries = made.read(1)
    np.testing.assert_array_equal(entries, np.concatenate([array[1].ravel() for array in made.arrays]))
    other.write(1, entries)
    for array, copy in zip(made.arrays, other.arrays, strict=True):
        np.testing.assert_array_equal(copy[1], array[1])
        assert not copy[0].any()
    entries[:] = -1
    assert made.flat.min() == 0, "entries are a copy"


def test_entries_of_a_small_member_contain_no_padding() -> None:
    made = Parameters(architecture(4, 3, 5, 2), 2, FLOAT64, [(4, 3, 1, 2), (4, 2, 5, 2)])
    made.write(0, np.ones(made.read(0).size))
    made.write(1, 2 * np.ones(made.read(1).size))
    assert [view.shape for view in made.member(1)] == [(2, 4), (5, 2), (2, 5), (2, 1), (5, 1), (2, 1)]
    assert made.read(0).size == 3 * 5 + 1 * 4 + 2 * 2 and set(made.read(0)) == {1} and set(made.read(1)) == {2}
    assert (made.weights[1][0, :1] == 1).all() and not made.weights[1][0, 1:].any()
    assert not made.weights[2][0, :, 1:].any() and not made.biases[0][1, 2:].any()


def test_a_member_of_no_arrays_has_no_entries() -> None:
    made = Statistics(architecture(4, 3, 2), 1, FLOAT64)
    assert made.read(0).shape == (0,)
    made.write(0, np.empty(0))
