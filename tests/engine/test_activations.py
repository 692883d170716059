from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS
from tests.peers import torch_activations, torch_or_skip


def applied(name: str, *values: float, dtype: str = "float64") -> np.ndarray:
    z = np.array(values, dtype)
    with np.errstate(over="ignore"):
        ACTIVATIONS[name].apply(z, np.full_like(z, np.nan))
    return z


def slopes(name: str, *values: float, dtype: str = "float64", above: Sequence[float] = (1,)) -> np.ndarray:
    """Return the derivative, from the output or a copy of z, times the gradient ``above``."""
    activation = ACTIVATIONS[name]
    a = np.array(values, dtype)
    z, delta, scratch = a.copy(), np.ones_like(a) * np.array(above, dtype), np.full_like(a, np.nan)
    with np.errstate(over="ignore"):
        activation.apply(a, scratch)
        activation.backward(delta, a if activation.from_output else z, scratch)
    return delta


# Six decimals, from the definitions: e = 2.718282, 1/e = 0.367879, λ = 1.050701, λα = 1.758099.
VALUES: dict[str, dict[float, float]] = {
    "sigmoid": {0: 0.5, 2: 0.880797, -2: 0.119203},
    "tanh": {0: 0, 1: 0.761594, -1: -0.761594},
    "relu": {-3: 0, 0: 0, 2.5: 2.5},
    "leaky_relu": {-2: -0.02, 0: 0, 3: 3},
    "elu": {-1: -0.632121, 0: 0, 2: 2, -20: -1},
    "selu": {-1: -1.111331, 0: 0, 1: 1.050701, -40: -1.758099},
    "gelu": {0: 0, 1: 0.841192, -1: -0.158808, 2: 1.954598},
    "silu": {0: 0, 1: 0.731059, -1: -0.268941},
    "softplus": {0: 0.693147, 1: 1.313262, -1: 0.313262},
    "linear": {-7: -7, 0: 0, 3: 3},
}

SLOPES: dict[str, dict[float, float]] = {
    "sigmoid": {0: 0.25, 2: 0.104994},
    "tanh": {0: 1, 1: 0.419974},
    "relu": {-1: 0, 0: 0, 3: 1},
    "leaky_relu": {-2: 0.01, 0: 0.01, 3: 1},
    "elu": {-1: 0.367879, 1: 1},
    "selu": {-1: 0.646769, 1: 1.050701},
    "gelu": {0: 0.5, 1: 1.082964, -1: -0.082964},
    "silu": {0: 0.5, 1: 0.927671, -1: 0.072329},
    "softplus": {0: 0.5, 1: 0.731059},
    "linear": {-7: 1, 3: 1},
}


def test_every_activation_has_worked_values_and_limits() -> None:
    assert VALUES.keys() == SLOPES.keys() == LIMITS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_worked_values(name: str) -> None:
    worked = VALUES[name]
    np.testing.assert_allclose(applied(name, *worked), list(worked.values()), rtol=0, atol=6e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_worked_slopes(name: str) -> None:
    worked = SLOPES[name]
    np.testing.assert_allclose(slopes(name, *worked), list(worked.values()), rtol=0, atol=6e-7)


def test_selu_has_the_fixed_point_of_its_paper() -> None:
    """Mean 0 and variance 1 are preserved (Klambauer et al. 2017): integrals over the normal density."""
    z = np.linspace(-12, 12, 240_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    a = applied("selu", *z)
    assert (a * density).sum() == pytest.approx(0, abs=1e-8)
    assert (a * a * density).sum() == pytest.approx(1, abs=1e-8)


def test_gelu_is_near_z_times_the_normal_distribution_function() -> None:
    z = np.linspace(-6, 6, 101)
    exact = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z]
    np.testing.assert_allclose(applied("gelu", *z), exact, rtol=0, atol=5e-4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_agree_with_central_differences(name: str) -> None:
    h = 1e-6
    z = np.linspace(-8, 8, 802)  # at least 0.01 from the kinks at 0
    differences = (applied(name, *(z + h)) - applied(name, *(z - h))) / (2 * h)
    np.testing.assert_allclose(slopes(name, *z), differences, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_multiplies_the_gradient_from_above(name: str) -> None:
    z = np.array([-0.7, 0.4])
    np.testing.assert_allclose(slopes(name, *z, above=[8, -3]), slopes(name, *z) * [8, -3], rtol=1e-14)


# Value and slope at z = −1e4, −100, 100 and 1e4.
LIMITS: dict[str, tuple[list[float], list[float]]] = {
    "sigmoid": ([0, 0, 1, 1], [0, 0, 0, 0]),
    "tanh": ([-1, -1, 1, 1], [0, 0, 0, 0]),
    "relu": ([0, 0, 100, 1e4], [0, 0, 1, 1]),
    "leaky_relu": ([-100, -1, 100, 1e4], [0.01, 0.01, 1, 1]),
    "elu": ([-1, -1, 100, 1e4], [0, 0, 1, 1]),
    "selu": ([-1.758099, -1.758099, 105.0701, 10507.01], [0, 0, 1.050701, 1.050701]),
    "gelu": ([0, 0, 100, 1e4], [0, 0, 1, 1]),
    "silu": ([0, 0, 100, 1e4], [0, 0, 1, 1]),
    "softplus": ([0, 0, 100, 1e4], [0, 0, 1, 1]),
    "linear": ([-1e4, -100, 100, 1e4], [1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_saturated_float32_values_reach_their_limits(name: str) -> None:
    values, derivatives = LIMITS[name]
    np.testing.assert_allclose(applied(name, -1e4, -100, 100, 1e4, dtype="float32"), values, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(slopes(name, -1e4, -100, 100, 1e4, dtype="float32"), derivatives, rtol=1e-6, atol=3e-7)


def test_lower_tails_keep_their_relative_precision_in_float32() -> None:
    assert applied("sigmoid", -80, dtype="float32")[0] == pytest.approx(1.804851e-35, rel=1e-5)
    assert applied("softplus", -80, dtype="float32")[0] == pytest.approx(1.804851e-35, rel=1e-5)
    assert slopes("softplus", -80, dtype="float32")[0] == pytest.approx(1.804851e-35, rel=1e-5)
    assert applied("elu", -1e-6, dtype="float32")[0] == pytest.approx(-9.999995e-7, rel=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
def test_values_and_slopes_agree_with_torch(name: str, dtype: str, tolerance: float) -> None:
    torch = torch_or_skip()
    z = np.linspace(-15, 15, 400).astype(dtype)
    theirs = torch.from_numpy(z).requires_grad_()
    values = torch_activations()[name](theirs)
    values.sum().backward()
    scale = max(1.0, float(abs(z).max()) if dtype == "float32" else 1.0)
    np.testing.assert_allclose(applied(name, *z, dtype=dtype), values.detach(), rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(slopes(name, *z, dtype=dtype), theirs.grad, rtol=0, atol=tolerance * scale)
