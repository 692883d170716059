"""Networks side by side: each trains as it does alone, whatever option they differ in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Augment, Config, EarlyStopping, Schedule, load_config
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.training.stack import Stack, stack_key
from tests.made import config

NUMBERS: dict[str, Any] = {
    "learning_rate": 0.1,
    "seed": 3,
    "epochs": 7,
    "momentum": 0.5,
    "beta1": 0.8,
    "beta2": 0.9,
    "epsilon": 1e-3,
    "decay": 0.1,
    "rho": 0.8,
    "schedule": Schedule(name="cosine"),
    "l1": 0.1,
    "l2": 0.1,
    "max_norm": 1.0,
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "dropout": 0.5,
    "early_stopping": EarlyStopping(),
    "checkpoint_seconds": 1.0,
}

SHARED: dict[str, Any] = {
    "dataset": "mnist",
    "split": "official",
    "split_seed": 1,
    "subset": 100,
    "augment": Augment(shift=1),
    "hidden": (30, 30),
    "activation": "relu",
    "init": "normal",
    "batch_norm": True,
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 32,
    "dtype": "float64",
    "batch_seed": 1,
    "ema": 0.9,
    "input_dropout": 0.1,
}


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers_of_a_network_may_differ(key: str) -> None:
    assert stack_key(config(batch_seed=0, **{key: NUMBERS[key]})) == stack_key(config(batch_seed=0))


@pytest.mark.parametrize("key", SHARED)
def test_what_must_agree(key: str) -> None:
    assert stack_key(config(**{"batch_seed": 0, key: SHARED[key]})) != stack_key(config(batch_seed=0))
    hash(stack_key(config(**{key: SHARED[key]})))


def test_every_key_is_one_or_the_other() -> None:
    assert {*NUMBERS, *SHARED, "output"} == set(type(config()).model_fields)


def test_seeds_make_the_batches_where_there_is_no_batch_seed() -> None:
    assert stack_key(config(seed=1)) != stack_key(config(seed=2))
    assert stack_key(config(seed=1)) == stack_key(config(seed=2, batch_seed=1))


def test_the_values_of_averages_and_dropped_pixels_may_differ() -> None:
    first, second = config(ema=0.9, input_dropout=0.1), config(ema=0.99, input_dropout=0.5)
    assert stack_key(first) == stack_key(second)


def test_the_sizes_of_hidden_layers_may_differ() -> None:
    assert stack_key(config(hidden=[8, 3], batch_seed=0)) == stack_key(config(hidden=[5, 6], batch_seed=0))


def test_outputs_that_are_settled() -> None:
    assert stack_key(config(loss="mse", output="sigmoid")) != stack_key(config(loss="mse", output="linear"))


INPUTS, CLASSES, STEPS = 12, 4, 20

SIZES = [16, 16, 16, 7, 1] * 4  # short last batches among them

VALIDATION = [[1.0, 2.0, 2.0, 2.0], [3.0, 2.0, 1.0, 0.5], [1.0, 1.5, 1.5, 1.0]]  # losses of each network

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam")

USES = {
    "momentum": ("momentum", "nesterov"),
    "beta1": ("adam", "adamw", "nadam"),
    "beta2": ("adam", "adamw", "nadam"),
    "rho": ("rmsprop", "adadelta"),
    "epsilon": ("adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam"),
    "decay": ("adamw",),
}

VALUES: dict[str, Sequence[str]] = {
    "learning_rate": ("0.003", "0.02", "0.1"),
    "momentum": ("0", "0.5", "0.9"),
    "beta1": ("0", "0.5", "0.9"),
    "beta2": ("0.5", "0.9", "0.999"),
    "rho": ("0.5", "0.9", "0.99"),
    "epsilon": ("1e-7", "1e-3", "0.1"),
    "decay": ("0", "0.01", "0.3"),
    "l1": ("0", "0.001", "0.01"),
    "l2": ("0", "0.01", "0.1"),
    "max_norm": ("null", "0.6", "1.1"),
    "clip_norm": ("null", "0.05", "0.2"),
    "dropout": ("0", "0.2", "0.5"),
    "input_dropout": ("0", "0.1", "0.4"),
    "label_smoothing": ("0", "0.1", "0.4"),
    "ema": ("null", "0.3", "0.99"),
    "seed": ("0", "1", "7"),
}


def configs(*shared: str, each: Sequence[Sequence[str]] = ((), (), ())) -> list[Config]:
    """A config for each network: what they share, then its own options, which replace the shared ones."""
    base = ["hidden=[8,6]", "activation=tanh", "optimizer=sgd", "learning_rate=0.05", "batch_size=16", *shared]
    options = [{option.split("=")[0]: option for option in (*base, *own)} for own in each]
    return [load_config(None, list(chosen.values())).resolve() for chosen in options]


def batches(dtype: str) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    eye = np.eye(CLASSES, dtype=dtype)
    return [(rng.random((size, INPUTS)).astype(dtype), eye[:, rng.integers(0, CLASSES, size)].copy()) for size in SIZES]


class Trained:
    """A stack after twenty steps, an epoch every five, with every step's logits."""

    def __init__(self, members: Sequence[Config], losses: Sequence[Sequence[float]]) -> None:
        self.stack = Stack(members, INPUTS, CLASSES, STEPS)
        self.logits: list[np.ndarray] = []
        self.rates: list[np.ndarray] = []
        with np.errstate(over="ignore"):
            for count, (x, y) in enumerate(batches(members[0].dtype), 1):
                logits = np.empty((len(members), CLASSES, len(x)), members[0].dtype)
                self.stack.step(x, self.stack.targets(y), logits)
                self.logits.append(logits)
                self.rates.append(self.stack.last_rates.copy())
                if count % 5 == 0:
                    self.stack.end_epoch([series[count // 5 - 1] for series in losses])
        self.stack.refresh()


def assert_each_trains_as_alone(members: Sequence[Config], differ: bool = True) -> Trained:
    tolerance = 1e-10 if members[0].dtype == "float64" else 1e-5
    together = Trained(members, VALIDATION)
    network, plain = together.stack.network, together.stack.plain
    for k, member in enumerate(members):
        alone = Trained([member], [VALIDATION[k]])
        pairs = [
            (network.parameters.read(k), alone.stack.network.parameters.read(0)),
            (network.statistics.read(k), alone.stack.network.statistics.read(0)),
            (plain.parameters.read(k), alone.stack.plain.parameters.read(0)),
            *((whole[k], single[0]) for whole, single in zip(together.logits, alone.logits, strict=True)),
            *((whole[k], single[0]) for whole, single in zip(together.rates, alone.rates, strict=True)),
        ]
        for whole, single in pairs:
            np.testing.assert_allclose(whole, single, rtol=tolerance, atol=tolerance)
    if differ:  # else the test would not see an option that does nothing
        weights = [array.reshape(3, -1) for array in (*plain.parameters.arrays, *network.parameters.arrays)]
        joined = np.concatenate(weights, axis=1)
        assert min(abs(joined[k] - joined[k - 1]).max() for k in range(3)) > 3e-5
    return together


def cases() -> list[tuple[str, str]]:
    """Every option with every optimizer that reads it."""
    return [(key, name) for key in VALUES for name in USES.get(key, OPTIMIZERS)]


@pytest.mark.parametrize(("key", "optimizer"), cases())
def test_each_option_in_float64(key: str, optimizer: str) -> None:
    rate = "learning_rate=" + {"adadelta": "1", "sgd": "0.3"}.get(optimizer, "0.05")
    each = [[f"{key}={value}"] for value in VALUES[key]]
    assert_each_trains_as_alone(configs("dtype=float64", f"optimizer={optimizer}", rate, each=each))


@pytest.mark.parametrize("key", VALUES)
def test_each_option_in_float32(key: str) -> None:
    optimizer = USES.get(key, ("momentum",))[0]
    # The steps of these two have the size of the rate even where g is rounding.
    rate = 0.005 if optimizer in ("rmsprop", "adam") else 0.05
    each = [[f"{key}={value}"] for value in VALUES[key]]
    shared = ("dtype=float32", f"optimizer={optimizer}", f"learning_rate={rate}")
    assert_each_trains_as_alone(configs(*shared, each=each))


@pytest.mark.parametrize("key", [key for key in VALUES if key not in ("momentum", "rho")])
def test_each_option_with_batch_normalisation_and_averaging(key: str) -> None:
    """The plain networks, which are evaluated and saved, among what is compared."""
    each = [[f"{key}={value}"] for value in VALUES[key]]
    shared = ["dtype=float64", "batch_norm=true", "ema=0.9", "optimizer=adamw", "learning_rate=0.01"]
    together = assert_each_trains_as_alone(configs(*shared, each=each))
    assert not together.stack.plain.architecture.batch_norm


SIZES_OF_MEMBERS = ["hidden=[8,2]", "hidden=[1,6]", "hidden=[5,4]"]


def assert_padding_is_zero(stack: Stack) -> None:
    optimizer = stack.optimizer
    for tensors in (stack.network.parameters, stack.plain.parameters, optimizer.gradients, *optimizer.states):
        for k in range(len(stack.configs)):
            for own, array in zip(tensors.member(k), tensors.arrays, strict=True):
                assert np.count_nonzero(own) == np.count_nonzero(array[k])


def assert_sizes_train_as_alone(*shared: str, each: Sequence[Sequence[str]] = ((), (), ())) -> None:
    options = [[size, *own] for size, own in zip(SIZES_OF_MEMBERS, each, strict=True)]
    found = configs("dtype=float64", *shared, each=options)
    together = assert_each_trains_as_alone(found)
    assert_padding_is_zero(together.stack)
    for kept in ([0, 2], [1]):
        smaller = together.stack.keep(kept)
        for row, k in enumerate(kept):
            np.testing.assert_array_equal(smaller.network.flatten(row), together.stack.network.flatten(k))
    assert smaller.network.architecture.layers == (INPUTS, 1, 6, CLASSES)


@pytest.mark.parametrize(("key", "optimizer"), cases())
def test_hidden_layers_of_different_sizes_with_each_option(key: str, optimizer: str) -> None:
    rate = "learning_rate=" + {"adadelta": "1", "sgd": "0.3"}.get(optimizer, "0.05")
    each = [[f"{key}={value}"] for value in VALUES[key]]
    assert_sizes_train_as_alone(f"optimizer={optimizer}", rate, each=each)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("batch_norm", ["false", "true"])
@pytest.mark.parametrize("functions", [("loss=cross_entropy",), ("loss=mse", "output=linear")], ids=" ".join)
def test_hidden_layers_of_different_sizes_with_each_activation(
    activation: str, batch_norm: str, functions: tuple[str, ...]
) -> None:
    each = [["dropout=0.2", "ema=0.9"], ["input_dropout=0.1", "l2=0.01"], ["max_norm=0.6", "clip_norm=0.2"]]
    shared = (f"activation={activation}", f"batch_norm={batch_norm}", "ema=0.5", *functions)
    assert_sizes_train_as_alone(*shared, each=each)


SCHEDULES = {
    "steps": ["{name: step, every: 3, gamma: 0.5}", "{name: step, every: 5, gamma: 0.1}", "constant"],
    "exponentials": ["{name: exponential, gamma: 0.9}", "{name: exponential, gamma: 0.5}", "constant"],
    "warm-ups": ["cosine", "{name: cosine, warmup: 0.2}", "{name: cosine, warmup: 0.5}"],
    "cycles": ["one_cycle", "{name: one_cycle, warmup: 0.25}", "cosine"],
    "plateaus": [
        "{name: plateau, factor: 0.5, patience: 1}",
        "{name: plateau, factor: 0.5, patience: 1}",
        "{name: plateau, factor: 0.1, patience: 2}",
    ],
    "of all kinds": ["one_cycle", "{name: plateau, factor: 0.3, patience: 1, warmup: 0.1}", "constant"],
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kinds", SCHEDULES)
def test_schedules_that_differ(kinds: str, optimizer: str) -> None:
    each = [[f"schedule={value}", f"seed={k}"] for k, value in enumerate(SCHEDULES[kinds])]
    together = assert_each_trains_as_alone(configs("dtype=float64", f"optimizer={optimizer}", "l2=0.01", each=each))
    assert min(len(set(rates)) for rates in together.rates[15:]) > 1


def test_equal_plateaus_part_where_their_losses_do() -> None:
    """One config for all: only the losses that the schedules are told differ, and with them the rates."""
    same = ["schedule={name: plateau, factor: 0.5, patience: 1}", "optimizer=adam"]
    together = assert_each_trains_as_alone(configs("dtype=float64", *same), differ=False)
    # Losses 1 2 2 2, 3 2 1 0.5 and 1 1.5 1.5 1: falls after epochs 2 and 3 or not at all.
    np.testing.assert_allclose(together.rates[-1], [0.0125, 0.05, 0.0125])


@pytest.mark.parametrize("batch_norm", ["false", "true"])
@pytest.mark.parametrize(
    "dropout",
    [
        ("dropout=[0,0.4]", "dropout=[0.4,0]", "dropout=[0.2,0.6]"),
        ("input_dropout=0.3", "dropout=0.3", "dropout=[0,0.5]"),
        ("seed=0", "dropout=[0.5,0]", "input_dropout=0.5"),
    ],
    ids=["layers", "input or layers", "none, one layer, input"],
)
def test_dropout_in_different_places(dropout: tuple[str, ...], batch_norm: str) -> None:
    """A network's masks are those that it draws alone, whatever its neighbours drop."""
    each = [[option] for option in dropout]
    assert_each_trains_as_alone(configs("dtype=float64", f"batch_norm={batch_norm}", each=each))


@pytest.mark.parametrize(
    "functions",
    [
        ("loss=cross_entropy",),
        ("loss=binary_cross_entropy",),
        ("loss=mse",),
        ("loss=mse", "output=softmax"),
        ("loss=mse", "output=linear"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("activation", ["relu", "gelu", "selu"])
def test_smoothing_and_the_rest_with_every_loss(functions: tuple[str, ...], activation: str) -> None:
    each = [["label_smoothing=0.2", "learning_rate=0.1"], ["dropout=0.3", "seed=4"], ["label_smoothing=0.1", "l2=0.1"]]
    assert_each_trains_as_alone(configs("dtype=float64", f"activation={activation}", *functions, each=each))


@pytest.mark.parametrize("hidden", ["[]", "[8]", "[8,6,5]"])
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_at_once(hidden: str, optimizer: str, dtype: str) -> None:
    each = [
        [
            *("seed=1", "learning_rate=0.02", "l1=0.001", "clip_norm=0.5", "dropout=0.1", "ema=0.9"),
            *("schedule=one_cycle", "decay=0.1", "beta1=0.8", "momentum=0.8"),
        ],
        [
            *("seed=2", "learning_rate=0.01", "l2=0.01", "max_norm=1", "input_dropout=0.2", "label_smoothing=0.1"),
            *("schedule={name: plateau, factor: 0.5, patience: 1}", "beta2=0.99"),
        ],
        [*("seed=3", "learning_rate=0.005", "ema=0.99", "epsilon=0.001", "schedule={name: cosine, warmup: 0.2}")],
    ]
    shared = (f"hidden={hidden}", f"optimizer={optimizer}", f"dtype={dtype}", "batch_norm=true")
    assert_each_trains_as_alone(configs(*shared, each=each))


# ---- one network --------------------------------------------------------------------------------------


def test_equal_seeds_are_equal_networks() -> None:
    stack = Trained(configs("dropout=0.3", "input_dropout=0.1"), VALIDATION).stack
    for array in stack.network.parameters.arrays:
        np.testing.assert_allclose(array[0], array[1], rtol=0, atol=1e-6)


def test_smoothed_targets() -> None:
    y = np.eye(4, dtype="float32")[:, [0, 2]]
    for stack in (Stack(configs("label_smoothing=0.2"), INPUTS, 4, 1),):
        np.testing.assert_allclose(stack.targets(y)[:, 0], [0.85, 0.05, 0.05, 0.05], rtol=1e-6)
    stack = Stack(configs(each=[["label_smoothing=0.2"], [], ["label_smoothing=0.4"]]), INPUTS, 4, 1)
    smoothed = stack.targets(np.array([y, y, y, y, y]))
    assert smoothed.shape == (5, 3, 4, 2) and smoothed.dtype == "float32"
    np.testing.assert_allclose(
        smoothed[2, :, :, 1], [[0.05, 0.05, 0.85, 0.05], [0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.7, 0.1]]
    )
    np.testing.assert_allclose(smoothed.sum(axis=-2), 1, rtol=1e-6)
    assert Stack(configs(), INPUTS, 4, 1).targets(y) is y


def test_rates_follow_the_schedule() -> None:
    trained = Trained(configs("schedule={name: step, every: 5, gamma: 0.5}", each=[()]), [[1, 1, 1, 1]])
    np.testing.assert_allclose(np.ravel(trained.rates), np.repeat([0.05, 0.025, 0.0125, 0.00625], 5))


def test_rates_that_are_given_take_the_place_of_the_schedules() -> None:
    x, y = batches("float64")[0]
    found = []
    for rates in (None, np.array([0.05]), np.array([0.2]), None):
        stack = Stack(configs("dtype=float64", each=[()]), INPUTS, CLASSES, STEPS)
        logits = np.empty((1, CLASSES, len(x)))
        stack.step(x, y, logits, rates)
        found.append(stack.network.parameters.flat.copy())
    start = Stack(configs("dtype=float64", each=[()]), INPUTS, CLASSES, STEPS).network.parameters.flat
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    np.testing.assert_allclose(found[2] - start, 4 * (found[0] - start), rtol=0, atol=1e-14)


def test_the_start_is_given_to_every_network() -> None:
    first = Stack(configs("seed=9", each=[()]), INPUTS, CLASSES, STEPS).network
    stack = Stack(configs(), INPUTS, CLASSES, STEPS, first.member(0))
    for k in range(3):
        for ours, theirs in zip(stack.plain.parameters.arrays, first.parameters.arrays, strict=True):
            np.testing.assert_array_equal(ours[k], theirs[0])


@pytest.mark.parametrize("options", [[], ["batch_norm=true"], ["ema=0.9"], ["batch_norm=true", "ema=0.9"]], ids=str)
def test_the_plain_network_before_the_first_step_is_the_initial_one(options: list[str]) -> None:
    stack = Stack(configs(*options, each=[()]), INPUTS, CLASSES, STEPS)
    initial = Stack(configs(each=[()]), INPUTS, CLASSES, STEPS).network
    for ours, theirs in zip(stack.plain.parameters.arrays, initial.parameters.arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # the running variance 1 has an ε beside it


def test_dropout_is_for_training_alone() -> None:
    """The plain network is the weights themselves, unscaled."""
    stack = Trained(configs("dropout=0.5", "input_dropout=0.5", each=[()]), [[1, 1, 1, 1]]).stack
    assert stack.plain is stack.network
