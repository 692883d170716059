from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.initializers import INITIALIZERS, layer_initializers

# By the formulas of the papers, for fan_in 400 and fan_out 100.
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
def test_weights_have_the_variance_of_the_paper(name: str) -> None:
    weights, biases = draw(name)
    assert weights.shape == (100, 400) and biases.shape == (100,)
    assert weights.var() == pytest.approx(VARIANCES[name], rel=0.03)
    assert abs(weights.mean()) < 4 * np.sqrt(VARIANCES[name] / weights.size)


def test_uniform_weights_are_within_their_bound() -> None:
    assert abs(draw("glorot_uniform")[0]).max() <= np.sqrt(6 / 500)
    assert abs(draw("he_uniform")[0]).max() <= np.sqrt(6 / 400)


def test_only_normal_has_biases_other_than_0() -> None:
    assert draw("normal")[1].var() == pytest.approx(1, rel=0.5)
    assert all((draw(name)[1] == 0).all() for name in INITIALIZERS if name != "normal")


def test_zeros_are_0() -> None:
    assert not draw("zeros")[0].any()


def test_weights_depend_on_the_seed() -> None:
    assert (draw("he_normal", 1)[0] == draw("he_normal", 1)[0]).all()
    assert (draw("he_normal", 1)[0] != draw("he_normal", 2)[0]).any()


def test_auto_depends_on_the_activation() -> None:
    glorot, he = INITIALIZERS["glorot_uniform"], INITIALIZERS["he_normal"]
    assert layer_initializers("auto", "relu", 3) == [he, he, glorot]
    assert layer_initializers("auto", "tanh", 2) == [glorot, glorot]
    assert layer_initializers("he_normal", "sigmoid", 2) == [he, he]
