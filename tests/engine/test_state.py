from __future__ import annotations

import numpy as np

from mlptrain.engine.state import add_prefix, read_member, select_prefix, write_member


def test_entries_of_a_member_return_to_their_arrays():
    arrays = [np.arange(12.0).reshape(2, 2, 3), np.arange(8.0).reshape(2, 4)]
    entries = read_member(arrays, 1)
    np.testing.assert_array_equal(entries, [6, 7, 8, 9, 10, 11, 4, 5, 6, 7])
    others = [np.zeros_like(array) for array in arrays]
    write_member(others, 1, entries)
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(other[1], array[1])
        assert not other[0].any()
    entries[:] = -1
    assert arrays[0][1].min() == 6, "entries are a copy"


def test_a_member_of_no_arrays_has_no_entries():
    assert read_member([], 0).shape == (0,)
    write_member([], 0, np.empty(0))


def test_prefixed_states_stay_separate():
    state = {**add_prefix("optimizer", {"step": 3, "m": 1}), **add_prefix("optimizer2", {"step": 4})}
    assert state == {"optimizer.step": 3, "optimizer.m": 1, "optimizer2.step": 4}
    assert select_prefix("optimizer", state) == {"step": 3, "m": 1} and select_prefix("nothing", state) == {}
