"""The formulas of docs/formulas.md against the engine, for every name in the engine's tables."""

from __future__ import annotations

import gzip
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.averaging import Average
from mlptrain.engine.dropout import Dropout
from mlptrain.engine.initializers import INITIALIZERS, layer_initializers
from mlptrain.engine.losses import OUTPUTS, PAIRINGS, outputs
from mlptrain.engine.network import Network
from mlptrain.engine.normalization import BatchNorm, fold
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer, Penalties, no_penalties
from mlptrain.engine.parameters import Architecture
from mlptrain.engine.schedules import SCHEDULES, make_schedule

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formulas.md"


def read_formulas() -> dict[str, Any]:
    """Return everything that the page's Python blocks define, by name."""
    found: dict[str, Any] = {"np": np}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(block, found)
    return found


FORMULAS = read_formulas()


def formula(name: str) -> Callable[..., Any]:
    """Return the page's function of that name."""
    assert name in FORMULAS, f"docs/formulas.md has no formula for {name}"
    function: Callable[..., Any] = FORMULAS[name]
    return function


def assert_equal(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


# ---- activations, outputs, losses ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_derivative(name: str) -> None:
    activation, z = ACTIVATIONS[name], np.linspace(-6, 6, 121).reshape(1, 11, 11)
    a, scratch, delta = z.copy(), np.empty_like(z), np.full_like(z, 3.0)
    activation.apply(a, scratch)
    assert_equal(a, formula(name)(z))
    activation.backward(delta, a if activation.from_output else z.copy(), scratch)
    assert_equal(delta, 3 * formula(f"{name}_derivative")(z))


@pytest.mark.parametrize("name", OUTPUTS)
def test_output(name: str) -> None:
    z = np.random.default_rng(0).normal(0, 3, (10, 20))
    assert_equal(outputs(name, z), formula(name)(z))


@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
def test_loss_and_delta(loss: str, output: str) -> None:
    rng = np.random.default_rng(1)
    z, y = rng.normal(0, 3, (10, 20)), np.eye(10)[:, rng.integers(0, 10, 20)]
    y = formula("label_smoothing")(y, 0.1)
    a, delta = formula(output)(z), np.empty_like(z)
    assert_equal(PAIRINGS[loss, output].value(z, y), formula(loss)(a, y))
    PAIRINGS[loss, output].delta(z, y, delta, np.empty_like(z), np.empty_like(z[:1]))
    assert_equal(delta, formula(f"{loss}_{output}_delta")(a, y))


# ---- initial weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializer(name: str) -> None:
    for drawn, expected in zip(
        INITIALIZERS[name](np.random.default_rng(2), 7, 5), formula(name)(np.random.default_rng(2), 7, 5), strict=True
    ):
        assert_equal(drawn, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_automatic_initializer(activation: str) -> None:
    chosen = [formula("auto")(activation, is_output_layer) for is_output_layer in (False, True)]
    assert [INITIALIZERS[name] for name in chosen] == layer_initializers("auto", activation, 2)


# ---- steps --------------------------------------------------------------------------------------------

RATES = [0.1, 0.1, 0.03, 0.2, 0.0, 0.05]
GRADIENT_SCALES = [1.0, 1.0, 0.1, 1.0, 1.0, 0.1]  # the small ones are within the bound of clip_norm
HYPERPARAMETERS = {"momentum": 0.7, "rho": 0.6, "beta1": 0.8, "beta2": 0.95, "epsilon": 0.01, "decay": 0.3}


class PageOptimizer:
    """The page's update rule, applied to arrays of which the first ones are weights."""

    def __init__(self, name: str) -> None:
        self.rule = formula(name)
        self.parameters = inspect.signature(self.rule).parameters
        self.states: dict[int, list[Any]] = {}
        self.steps = 0

    def update(self, arrays: list[np.ndarray], gradients: list[np.ndarray], eta: float, weights: int) -> None:
        self.steps += 1
        values = {**HYPERPARAMETERS, "t": self.steps, "eta": eta}
        for index, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
            given = {key: value for key, value in values.items() if key in self.parameters}
            if "decay" in given and index >= weights:
                given["decay"] = 0.0
            result = self.rule(array, gradient, *self.states.get(index, ()), **given)
            arrays[index], *self.states[index] = result if isinstance(result, tuple) else (result,)


def assert_same_steps(name: str, penalties: dict[str, float]) -> None:
    """Compare every parameter after each of several steps with random gradients."""
    rng = np.random.default_rng(3)
    network = Network(Architecture((5, 4, 3), "relu", "softmax", "cross_entropy", batch_norm=True), 1, "float64")
    network.parameters.flat[:] = rng.normal(size=network.parameters.flat.size)
    network.parameters.flat[0] = 0  # where the derivative of |w| is taken as 0
    chosen = {**vars(no_penalties(1)), **{key: np.array([value]) for key, value in penalties.items()}}
    hyperparameters = {key: np.array([HYPERPARAMETERS[key]]) for key in OPTIMIZERS[name].hyperparameters}
    optimizer = Optimizer(name, network, hyperparameters, Penalties(**chosen))
    arrays = [array[0].copy() for array in network.parameters.arrays]
    weights, page = len(network.parameters.weights), PageOptimizer(name)
    for eta, scale in zip(RATES, GRADIENT_SCALES, strict=True):
        gradients = [rng.normal(0, scale, array.shape) for array in arrays]
        for own, gradient in zip(optimizer.gradients.arrays, gradients, strict=True):
            own[0] = gradient * (eta if optimizer.rule.linear else 1)
        optimizer.update(np.array([eta]))

        for penalty in ("l1", "l2"):
            for index in range(weights if penalty in penalties else 0):
                gradients[index] = formula(penalty)(gradients[index], arrays[index], penalties[penalty])
        if "clip_norm" in penalties:
            gradients = formula("clip_norm")(gradients, penalties["clip_norm"])
        page.update(arrays, gradients, eta, weights)
        for index in range(weights if "max_norm" in penalties else 0):
            arrays[index] = formula("max_norm")(arrays[index], penalties["max_norm"])
        for own, array in zip(network.parameters.arrays, arrays, strict=True):
            assert_equal(own[0], array)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str) -> None:
    assert_same_steps(name, {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_of_an_optimizer_are_those_of_the_config(name: str) -> None:
    config, parameters = mlptrain.load_config(), inspect.signature(formula(name)).parameters
    for key in OPTIMIZERS[name].hyperparameters:
        assert parameters[key].default == getattr(config, key), key


PENALTIES = {"l1": 0.2, "l2": 0.3, "clip_norm": 2.0, "max_norm": 1.5}


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize("name", [field.name for field in fields(Penalties)])
def test_penalty(name: str, optimizer: str) -> None:
    formula(name)
    assert_same_steps(optimizer, {name: PENALTIES[name]})


def test_penalties_act_in_the_order_of_the_page() -> None:
    assert_same_steps("sgd", PENALTIES)


# ---- schedules ----------------------------------------------------------------------------------------

OPTIONS = {"step": {"every": 7, "gamma": 0.5}, "exponential": {"gamma": 0.97}}


@pytest.mark.parametrize("warmup", [0.0, 0.29])
@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "plateau"])
def test_schedule(name: str, warmup: float) -> None:
    function, options, total = formula(name), OPTIONS.get(name, {}), 100
    schedule, _ = make_schedule(name, options, warmup)
    for t in range(total):
        expected = formula("with_warmup")(lambda t, total: function(t, total, **options), warmup, t, total)
        assert_equal(schedule(t, total), expected)


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_plateau(patience: int) -> None:
    schedule, plateau = make_schedule("plateau", {"factor": 0.5, "patience": patience}, 0.0)
    assert plateau is not None
    losses = [3.0, 2.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5, 0.5]
    for epoch, loss in enumerate(losses, 1):
        plateau.observe(loss)
        assert_equal(schedule(0, 1), formula("plateau")(losses[:epoch], 0.5, patience))


# ---- dropout, label smoothing, normalisation, averages ------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999, 0.9999999])
def test_dropout(rate: float) -> None:
    units, batch = 256, 1024
    mask = Dropout(np.array([rate]), [np.random.default_rng(4)], (1, units, batch), np.dtype("float64")).draw()
    dropped = formula("dropout")(np.ones((units, batch)), rate, np.random.default_rng(5))
    np.testing.assert_allclose(np.unique(mask), np.unique(dropped), rtol=1e-12)
    deviation = np.sqrt(max(rate * (1 - rate), 1 / 65_536) / mask.size) if rate else 0
    for values in (mask, dropped):
        assert abs((values == 0).mean() - rate) <= 5 * deviation + 1 / 65_536


@pytest.mark.parametrize(("loss", "at_zero"), [("cross_entropy", 0.1), ("binary_cross_entropy", 0.5)])
def test_label_smoothing(loss: str, at_zero: float, tmp_path: Path) -> None:
    # Every example has the label 3. From zero weights, one step at rate 1 leaves y - a in the biases.
    header = bytes([0, 0, 8])
    for name, data in {
        "train-images-idx3-ubyte.gz": header + bytes([3, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(80),
        "train-labels-idx1-ubyte.gz": header + bytes([1, 0, 0, 0, 20]) + bytes([3] * 20),
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(data))
    keys = [f"dataset={tmp_path}/", f"loss={loss}", "hidden=[]", "init=zeros", "label_smoothing=0.2"]
    keys += ["batch_size=full", "learning_rate=1", "epochs=1", "dtype=float64"]
    biases = mlptrain.train(mlptrain.load_config(None, keys)).model.biases[0]
    assert_equal(biases + at_zero, formula("label_smoothing")(np.eye(10)[3], 0.2))


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_batch_normalisation(batch: int) -> None:
    rng = np.random.default_rng(6)
    gamma, beta, mean = rng.normal(size=(3, 4, 1))
    variance = rng.uniform(0.5, 2, (4, 1))
    own_mean, own_variance = mean.copy(), variance.copy()
    norm = BatchNorm(gamma, beta, own_mean, own_variance, batch)
    for _ in range(3):
        z, delta = rng.normal(1, 2, (4, batch)), rng.normal(size=(4, batch))
        expected, mean, variance = formula("batch_norm")(z, gamma, beta, mean, variance)
        normalized, backward, gradients = z.copy(), delta.copy(), np.empty((2, 4, 1))
        norm.forward(normalized)
        norm.backward(backward, np.empty_like(z), *gradients)
        for own, theirs in ((normalized, expected), (own_mean, mean), (own_variance, variance)):
            assert_equal(own, theirs)
        if batch > 1:
            for own, theirs in zip(
                (backward, *gradients), formula("batch_norm_backward")(delta, z, gamma), strict=True
            ):
                assert_equal(own, theirs)


def test_running_statistics_start_at_mean_0_and_variance_1() -> None:
    network = Network(Architecture((5, 4, 3), "relu", "softmax", "cross_entropy", batch_norm=True), 1, "float64")
    assert (network.statistics.means[0] == 0).all() and (network.statistics.variances[0] == 1).all()
    assert (network.parameters.gains[0] == 1).all()


def test_plain_layer() -> None:
    rng = np.random.default_rng(7)
    w, (gamma, beta, mean), variance = rng.normal(size=(4, 5)), rng.normal(size=(3, 4, 1)), rng.uniform(1, 2, (4, 1))
    plain = np.empty_like(w), np.empty_like(beta)
    fold(w, gamma, beta, mean, variance, *plain)
    for own, theirs in zip(plain, formula("plain_layer")(w, gamma, beta, mean, variance), strict=True):
        assert_equal(own, theirs)


@pytest.mark.parametrize("decay", [0.2, 0.999])
def test_averaged_weights(decay: float) -> None:
    rng = np.random.default_rng(8)
    network = Network(Architecture((5, 4, 3), "relu", "softmax", "cross_entropy", batch_norm=True), 1, "float64")
    network.parameters.flat[:] = rng.normal(size=network.parameters.flat.size)
    average = Average(network, np.array([decay]))
    weights, statistics = network.parameters.flat.copy(), network.statistics.flat.copy()
    for t in range(1, 6):
        network.parameters.flat[:] = rng.normal(size=weights.size)
        network.statistics.flat[:] = rng.normal(size=statistics.size)
        average.update()
        weights = formula("ema")(weights, network.parameters.flat, t, decay)
        statistics = formula("ema")(statistics, network.statistics.flat, t, decay)
        assert_equal(average.parameters.flat, weights)
        assert_equal(average.statistics.flat, statistics)
