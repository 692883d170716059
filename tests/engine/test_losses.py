from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.losses import PAIRINGS, outputs


def one_hot(label: int, classes: int = 10) -> np.ndarray:
    return np.eye(classes)[:, [label]]


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, np.newaxis]


def test_quadratic_cost_of_a_worked_example():
    a = column(0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0)
    value = PAIRINGS["mse", "linear"].value(a, one_hot(0))
    assert value[0] == pytest.approx(0.035)


def test_quadratic_cost_of_the_target_is_0():
    assert PAIRINGS["mse", "linear"].value(one_hot(0), one_hot(0))[0] == 0


def test_cost_of_a_batch_is_the_mean_over_its_examples():
    a = np.hstack([column(0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0), one_hot(0)])
    value = PAIRINGS["mse", "linear"].value(a, np.hstack([one_hot(0), one_hot(0)]))
    assert value.mean() == pytest.approx(0.0175)


def test_worked_values():
    # Equal probabilities of ten classes: ln 10; ten probabilities of 0.5: 10 ln 2 and ½ · 10 · 0.5².
    zero = np.zeros((10, 1))
    assert PAIRINGS["cross_entropy", "softmax"].value(zero, one_hot(3))[0] == pytest.approx(np.log(10))
    assert PAIRINGS["binary_cross_entropy", "sigmoid"].value(zero, one_hot(3))[0] == pytest.approx(10 * np.log(2))
    assert PAIRINGS["mse", "sigmoid"].value(zero, one_hot(3))[0] == pytest.approx(0.5 * 10 * 0.25)
    assert PAIRINGS["mse", "softmax"].value(zero, one_hot(3))[0] == pytest.approx(0.5 * (0.81 + 9 * 0.01))
    # z = (1, 2, 3): softmax 0.0900, 0.2447, 0.6652.
    z = column(1, 2, 3)
    np.testing.assert_allclose(outputs("softmax", z)[:, 0], [0.0900, 0.2447, 0.6652], atol=5e-5)
    assert PAIRINGS["cross_entropy", "softmax"].value(z, one_hot(2, 3))[0] == pytest.approx(0.4076, abs=5e-5)


@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
@pytest.mark.parametrize("size", [30, 1e3, 1e6])
def test_losses_and_deltas_of_saturated_float32_outputs_are_finite(loss, output, size):
    rng = np.random.default_rng(0)
    z = (rng.choice([-size, size], (10, 64))).astype("float32")
    y = np.eye(10, dtype="float32")[:, rng.integers(0, 10, 64)]
    delta = np.empty_like(z)
    with np.errstate(over="ignore"):
        value = PAIRINGS[loss, output].value(z, y)
        PAIRINGS[loss, output].delta(z, y, delta, np.empty_like(z), np.empty_like(z[:1]))
    assert np.isfinite(value).all() and np.isfinite(delta).all()


def test_loss_of_a_confident_mistake_is_exact():
    z = column(100, 0, 0).astype("float32")  # softmax rounds to (1, 0, 0); ln 0 would be infinite
    assert PAIRINGS["cross_entropy", "softmax"].value(z, one_hot(1, 3).astype("float32"))[0] == 100
    z = column(100, -100, 0).astype("float32")
    y = one_hot(1, 3).astype("float32")
    assert PAIRINGS["binary_cross_entropy", "sigmoid"].value(z, y)[0] == pytest.approx(200 + np.log(2))


def test_delta_of_cross_entropy_is_output_minus_target():
    z, y, delta = column(1, 2, 3), one_hot(2, 3), np.empty((3, 1))
    PAIRINGS["cross_entropy", "softmax"].delta(z, y, delta, np.empty((3, 1)), np.empty((1, 1)))
    np.testing.assert_allclose(delta[:, 0], [0.0900, 0.2447, 0.6652 - 1], atol=5e-5)
