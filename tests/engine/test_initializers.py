from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.initializers import INITIALIZERS, layer_initializers

# fan_in 400, fan_out 100: variances by the papers' formulas.
VARIANCES = {
    "normal": 1.0,
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 400,
    "he_normal": 2 / 400,
    "lecun_normal": 1 / 400,
}


def draw(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return INITIALIZERS[name](np.random.default_rng(seed), 400, 100)


@pytest.mark.parametrize("name", VARIANCES)
def test_weights_have_the_papers_variance(name):
    weights, biases = draw(name)
    assert weights.shape == (100, 400) and biases.shape == (100,)
    assert weights.var() == pytest.approx(VARIANCES[name], rel=0.03)
    assert abs(weights.mean()) < 4 * np.sqrt(VARIANCES[name] / weights.size)


def test_uniform_draws_stay_within_their_bound():
    assert abs(draw("glorot_uniform")[0]).max() <= np.sqrt(6 / 500)
    assert abs(draw("he_uniform")[0]).max() <= np.sqrt(6 / 400)


def test_only_normal_draws_biases():
    assert draw("normal")[1].var() == pytest.approx(1, rel=0.5)
    assert all((draw(name)[1] == 0).all() for name in INITIALIZERS if name != "normal")


def test_zeros_are_zeros():
    assert not draw("zeros")[0].any()


def test_seeds_make_the_difference():
    assert (draw("he_normal", 1)[0] == draw("he_normal", 1)[0]).all()
    assert (draw("he_normal", 1)[0] != draw("he_normal", 2)[0]).any()


def test_auto_chooses_by_activation():
    glorot, he = INITIALIZERS["glorot_uniform"], INITIALIZERS["he_normal"]
    assert layer_initializers("auto", "relu", 3) == [he, he, glorot]
    assert layer_initializers("auto", "tanh", 2) == [glorot, glorot]
    assert layer_initializers("he_normal", "sigmoid", 2) == [he, he]
