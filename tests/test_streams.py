from __future__ import annotations

import numpy as np
import pytest

from mlptrain.streams import STREAMS, stream


def test_the_numbers_of_a_seed_never_change():
    """NumPy promises these for good; with others, every run would come out differently than it did."""
    first = {name: int(stream(0, name).bit_generator.random_raw()) for name in STREAMS}
    assert first["split"] == 17394127715520444142
    assert first["init"] == 12492077108140196533
    assert first["batches"] == 15463373330740448354


def test_same_seed_same_numbers():
    assert stream(7, "init").random(5).tolist() == stream(7, "init").random(5).tolist()


def test_streams_of_one_seed_and_of_neighbouring_seeds_share_no_numbers():
    drawn = [stream(seed, name).integers(0, 2**63, 100) for seed in range(20) for name in STREAMS]
    assert len(np.unique(np.concatenate(drawn))) == 100 * len(drawn)


def test_the_numbers_of_the_names_are_all_different():
    assert len(set(STREAMS.values())) == len(STREAMS)


def test_the_largest_seed():
    assert stream(2**63 - 1, "init").random() != stream(2**63 - 2, "init").random()


def test_an_unknown_name_is_a_bug():
    with pytest.raises(KeyError):
        stream(0, "nothing")
