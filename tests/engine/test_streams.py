from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.streams import STREAMS, restore_generator, save_generator, stream


def test_numbers_of_a_seed_never_change() -> None:
    """NumPy guarantees these numbers; with others, no earlier run could be reproduced."""
    first = {name: int(stream(0, name).bit_generator.random_raw()) for name in STREAMS}
    assert first["split"] == 17394127715520444142
    assert first["init"] == 12492077108140196533
    assert first["batches"] == 15463373330740448354
    assert first["dropout"] == 6722610277276733253
    assert first["augment"] == 12045217992628855840
    assert stream(0, "augment", 3, 2).bit_generator.random_raw() == 8357908044769901877


def test_equal_seeds_give_equal_numbers() -> None:
    assert stream(7, "init").random(5).tolist() == stream(7, "init").random(5).tolist()


def test_streams_of_one_seed_and_of_neighbouring_seeds_share_no_numbers() -> None:
    drawn = [stream(seed, name).integers(0, 2**63, 100) for seed in range(20) for name in STREAMS]
    assert len(np.unique(np.concatenate(drawn))) == 100 * len(drawn)


def test_stream_numbers_are_distinct() -> None:
    assert len(set(STREAMS.values())) == len(STREAMS)


def test_largest_seeds_give_different_numbers() -> None:
    assert stream(2**63 - 1, "init").random() != stream(2**63 - 2, "init").random()


def test_unknown_stream_name_raises_key_error() -> None:
    with pytest.raises(KeyError):
        stream(0, "nothing")


@pytest.mark.parametrize("drawn", [0, 5])
def test_restored_generator_continues_as_the_original(drawn: int) -> None:
    first, second = stream(3, "dropout"), stream(9, "batches")
    first.integers(0, 9, drawn, np.uint32)  # an odd number leaves half of a 64-bit draw
    restore_generator(second, save_generator(first))
    np.testing.assert_array_equal(first.integers(0, 2**32, 9, np.uint32), second.integers(0, 2**32, 9, np.uint32))


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"bit_generator": "PCG64"}', '{"bit_generator": "MT19937"}'])
def test_invalid_generator_state_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the state"):
        restore_generator(stream(0, "init"), text)
