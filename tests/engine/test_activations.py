from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS


def applied(name: str, *values: float, dtype: str = "float64") -> np.ndarray:
    z = np.array(values, dtype)
    with np.errstate(over="ignore"):
        ACTIVATIONS[name].apply(z)
    return z


def slope(name: str, value: float) -> float:
    delta, a = np.array([1.0]), applied(name, value)
    ACTIVATIONS[name].backward(delta, a, np.empty(1))
    return float(delta[0])


def test_worked_values():
    np.testing.assert_allclose(applied("sigmoid", 0, 2, -2), [0.5, 0.880797, 0.119203], atol=1e-6)
    np.testing.assert_allclose(applied("tanh", 0, 1, -1), [0, 0.761594, -0.761594], atol=1e-6)
    np.testing.assert_array_equal(applied("relu", -3, 0, 2.5), [0, 0, 2.5])


def test_worked_slopes():
    assert slope("sigmoid", 0) == 0.25
    assert slope("sigmoid", 2) == pytest.approx(0.104994, abs=1e-6)
    assert slope("tanh", 1) == pytest.approx(0.419974, abs=1e-6)
    assert [slope("relu", z) for z in (-1, 0, 3)] == [0, 0, 1]


def test_backward_multiplies_the_gradient_from_above():
    delta, a = np.array([8.0]), np.array([0.5])
    ACTIVATIONS["sigmoid"].backward(delta, a, np.empty(1))
    assert delta[0] == 2.0


def test_saturated_float32_stays_finite():
    values = applied("sigmoid", -1e4, -90, 90, 1e4, dtype="float32")
    assert values[0] == 0 and values[3] == 1
    assert np.isfinite(values).all()
    assert applied("sigmoid", -80, dtype="float32")[0] == pytest.approx(1.804851e-35, rel=1e-5)
