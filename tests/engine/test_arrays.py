from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.arrays import LINE, aligned
from mlptrain.engine.network import Architecture, Parameters


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
