from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.parameters import LINE, Architecture, Parameters, aligned, entries_of, part, put_entries, under


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (2, 30, 784)])
def test_they_begin_at_a_line_and_are_arrays_like_others(shape, dtype):
    kept = [aligned(shape, np.dtype(dtype)) for _ in range(20)]
    for number, array in enumerate(kept):
        assert array.ctypes.data % LINE == 0
        assert array.shape == shape and array.dtype == dtype
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = number
    for number, array in enumerate(kept):
        assert (array == number).all(), "each has its own memory"


def test_the_weights_of_the_first_layer_do():
    parameters = Parameters(Architecture((784, 30, 10), "sigmoid", "softmax", "cross_entropy"), 2, np.dtype("float32"))
    assert parameters.weights[0].ctypes.data % LINE == 0 and (parameters.flat == 0).all()


def test_one_networks_entries_go_back_where_they_were():
    arrays = [np.arange(12.0).reshape(2, 2, 3), np.arange(8.0).reshape(2, 4)]
    entries = entries_of(arrays, 1)
    np.testing.assert_array_equal(entries, [6, 7, 8, 9, 10, 11, 4, 5, 6, 7])
    others = [np.zeros_like(array) for array in arrays]
    put_entries(others, 1, entries)
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(other[1], array[1])
        assert not other[0].any()
    entries[:] = -1
    assert arrays[0][1].min() == 6  # a copy
    assert entries_of([], 0).shape == (0,)


def test_parts_keep_apart():
    state = {**under("optimizer", {"step": 3, "m": 1}), **under("optimizer2", {"step": 4})}
    assert state == {"optimizer.step": 3, "optimizer.m": 1, "optimizer2.step": 4}
    assert part("optimizer", state) == {"step": 3, "m": 1} and part("nothing", state) == {}
