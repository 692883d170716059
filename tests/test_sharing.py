from __future__ import annotations

from typing import Any

import pytest

from mlptrain.config import Augment, EarlyStopping, Schedule
from mlptrain.sharing import stack_key
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
    "hidden": (31,),
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
def test_numbers_of_a_network_may_differ(key):
    assert stack_key(config(batch_seed=0, **{key: NUMBERS[key]})) == stack_key(config(batch_seed=0))


@pytest.mark.parametrize("key", SHARED)
def test_what_must_agree(key):
    assert stack_key(config(**{"batch_seed": 0, key: SHARED[key]})) != stack_key(config(batch_seed=0))
    hash(stack_key(config(**{key: SHARED[key]})))


def test_every_key_is_one_or_the_other():
    assert {*NUMBERS, *SHARED, "output"} == set(type(config()).model_fields)


def test_seeds_make_the_batches_where_there_is_no_batch_seed():
    assert stack_key(config(seed=1)) != stack_key(config(seed=2))
    assert stack_key(config(seed=1)) == stack_key(config(seed=2, batch_seed=1))


def test_the_values_of_averages_and_dropped_pixels_may_differ():
    first, second = config(ema=0.9, input_dropout=0.1), config(ema=0.99, input_dropout=0.5)
    assert stack_key(first) == stack_key(second)


def test_outputs_that_are_settled():
    assert stack_key(config(loss="mse", output="sigmoid")) != stack_key(config(loss="mse", output="linear"))
