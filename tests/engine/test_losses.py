from __future__ import annotations

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest

from mlptrain.engine.losses import PAIRINGS, outputs


def one_hot(label: int, classes: int = 10) -> np.ndarray:
    return np.eye(classes)[:, [label]]


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, np.newaxis]


def test_quadratic_cost_of_a_worked_example() -> None:
    a = column(0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0)
    value = PAIRINGS["mse", "linear"].value(a, one_hot(0))
    assert value[0] == pytest.approx(0.035)


def test_quadratic_cost_of_the_target_is_0() -> None:
    assert PAIRINGS["mse", "linear"].value(one_hot(0), one_hot(0))[0] == 0


def test_cost_of_a_batch_is_the_mean_over_its_examples() -> None:
    a = np.hstack([column(0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0), one_hot(0)])
    value = PAIRINGS["mse", "linear"].value(a, np.hstack([one_hot(0), one_hot(0)]))
    assert value.mean() == pytest.approx(0.0175)


def test_worked_values() -> None:
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
def test_losses_and_deltas_of_saturated_float32_outputs_are_finite(loss: str, output: str, size: float) -> None:
    rng = np.random.default_rng(0)
    z = (rng.choice([-size, size], (10, 64))).astype("float32")
    y = np.eye(10, dtype="float32")[:, rng.integers(0, 10, 64)]
    delta = np.empty_like(z)
    with np.errstate(over="ignore"):
        value = PAIRINGS[loss, output].value(z, y)
        PAIRINGS[loss, output].delta(z, y, delta, np.empty_like(z), np.empty_like(z[:1]))
    assert np.isfinite(value).all() and np.isfinite(delta).all()


def test_loss_of_a_confident_mistake_is_exact() -> None:
    z = column(100, 0, 0).astype("float32")  # softmax rounds to (1, 0, 0); ln 0 would be infinite
    assert PAIRINGS["cross_entropy", "softmax"].value(z, one_hot(1, 3).astype("float32"))[0] == 100
    z = column(100, -100, 0).astype("float32")
    y = one_hot(1, 3).astype("float32")
    assert PAIRINGS["binary_cross_entropy", "sigmoid"].value(z, y)[0] == pytest.approx(200 + np.log(2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "z",
    [
        pytest.param((17, *[0] * 9), id="17"),
        pytest.param((20, *[0] * 9), id="20"),
        pytest.param((60, *[0] * 9), id="60"),
        pytest.param((3, 3, *[-20] * 8), id="two largest"),
        pytest.param((3, 3 - 2**-21, *[-20] * 8), id="two nearly largest"),
        pytest.param((5, 4.5, 4.5, 4.25, *[-3] * 6), id="unsaturated"),
        pytest.param((-40, *[-70] * 9), id="all negative"),
    ],
)
def test_cross_entropies_of_saturated_outputs_are_exact(z: tuple[int, ...], dtype: str) -> None:
    for label in (0, 1, 9):
        with localcontext(Context(prec=60)):
            exact = {
                ("cross_entropy", "softmax"): sum((Decimal(k) - Decimal(z[label])).exp() for k in z).ln(),
                ("binary_cross_entropy", "sigmoid"): sum(
                    (1 + Decimal(-k if index == label else k).exp()).ln() for index, k in enumerate(z)
                ),
            }
        for pairing, loss in exact.items():
            value = PAIRINGS[pairing].value(column(*z).astype(dtype), one_hot(label).astype(dtype))
            assert value.dtype == dtype
            assert value[0] == pytest.approx(float(loss), rel=8 * float(np.finfo(dtype).eps), abs=0)


def test_delta_of_cross_entropy_is_output_minus_target() -> None:
    z, y, delta = column(1, 2, 3), one_hot(2, 3), np.empty((3, 1))
    PAIRINGS["cross_entropy", "softmax"].delta(z, y, delta, np.empty((3, 1)), np.empty((1, 1)))
    np.testing.assert_allclose(delta[:, 0], [0.0900, 0.2447, 0.6652 - 1], atol=5e-5)
