from __future__ import annotations

import gc
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import load_config
from mlptrain.datasets.split import Split
from mlptrain.engine.parameters import Architecture
from mlptrain.errors import ConfigError
from mlptrain.models.evaluation import evaluate_weights
from mlptrain.reporting.progress import train
from mlptrain.runs import checkpoint as saver
from mlptrain.training import memory as footprint
from mlptrain.training.memory import check_memory
from mlptrain.training.reports import Outcome
from mlptrain.training.stack import architecture_of
from mlptrain.training.trainer import Trainer
from tests.made import config, sample

MNIST = Architecture((784, 30, 10), "sigmoid", "softmax", "cross_entropy")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((784, 10**6, 10**6, 10), r"takes [12][0-9]\.[0-9] TB of memory; 8\.0 GB are available"),
        ((784, 10**9, 10**9, 10), r"takes [0-9.]+ TB of memory; 8\.0 GB are available"),
    ],
    ids=["10^6 units", "10^9 units"],
)
def test_networks_too_large_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch, layers: tuple[int, ...], words: str
) -> None:
    monkeypatch.setattr(footprint, "available_memory", lambda: 8 * 10**9)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=words) as caught:
            check_memory(config(), Architecture(layers, "sigmoid", "softmax", "cross_entropy"), 49_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert "smaller" in str(caught.value) and str(caught.value).count("\n") < 3


def test_batches_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_memory", lambda: 10**9)
    check_memory(config(batch_size=64), MNIST, 10**6)
    with pytest.raises(ConfigError, match=r"batch_size full takes [34]\.\d GB"):
        check_memory(config(batch_size="full"), MNIST, 10**6)


def test_stacks_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_memory", lambda: 10**8)
    check_memory(config(), MNIST, 49_000, members=10)
    with pytest.raises(ConfigError, match=r"hidden \[30\] with batch_size 64 takes [0-9.]+ GB .* 1000 networks"):
        check_memory(config(), MNIST, 49_000, members=1000)


def test_a_system_that_does_not_report_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_memory", lambda: None)
    check_memory(config(), Architecture((784, 10**9, 10), "sigmoid", "softmax", "cross_entropy"), 49_000)


def test_a_config_of_a_billion_units_is_refused() -> None:
    with pytest.raises(ConfigError, match="hidden"):
        load_config(None, ["hidden=[1000000000,1000000000]"])


def assert_refused_just_below(peak: Any, monkeypatch: pytest.MonkeyPatch, *asked: Any) -> None:
    """Assert refusal with a twentieth less memory than was taken, and none with twice as much."""
    monkeypatch.setattr(footprint, "available_memory", lambda: int(peak / 1.05))
    with pytest.raises(ConfigError, match="of memory"):
        check_memory(*asked)
    monkeypatch.setattr(footprint, "available_memory", lambda: 2 * peak)
    check_memory(*asked)


@pytest.mark.parametrize(
    ("values", "members"),
    [
        pytest.param({"hidden": [6000], "activation": "relu", "batch_size": 8}, 1, id="relu"),
        pytest.param({"hidden": [6000], "init": "normal", "batch_size": 8}, 1, id="normal"),
        pytest.param({"hidden": [6000], "batch_size": 8, "optimizer": "momentum"}, 1, id="momentum"),
        pytest.param({"hidden": [3000], "batch_size": 8, "dtype": "float64"}, 1, id="float64"),
        pytest.param({"hidden": [500] * 5, "batch_size": 8}, 1, id="deep"),
        pytest.param({"hidden": [1000] * 3, "batch_size": "full"}, 1, id="full batch"),
        pytest.param({"hidden": [1000], "batch_size": 8, "optimizer": "adam"}, 6, id="stack"),
        pytest.param({"hidden": [100], "batch_size": 64, "ema": 0.9, "batch_norm": True}, 40, id="wide stack"),
    ],
)
def test_training_that_is_not_refused_fits(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], members: int
) -> None:
    """Training that takes a twentieth more than the available memory is refused."""
    settings, data = config(epochs=2, **values), sample()
    train = 3500 if settings.batch_size == "full" else 16
    parts = Split(np.arange(train), np.arange(3500, 4500), np.arange(4500, 5000), "")
    architecture = architecture_of(settings, 784, 10)
    first = settings.model_copy(update={"epochs": 1})  # ends first, so that the stack makes a smaller one of itself
    gc.collect()
    tracemalloc.start()
    try:
        trainer = Trainer([first] * (members > 1) + [settings] * (members - (members > 1)), data, parts)
        outcomes = [report for report in trainer.run() if isinstance(report, Outcome)]
        weights = [outcome.weights for outcome in outcomes if outcome.weights is not None]
        del trainer
        evaluate_weights(architecture, weights, settings.dtype, data, parts.test)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(weights) == members
    assert_refused_just_below(peak, monkeypatch, settings, architecture, train, members)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"optimizer": "adam"}, id="adam"),
        pytest.param({"optimizer": "adam", "ema": 0.9, "early_stopping": {"patience": 5}}, id="averages and patience"),
    ],
)
def test_a_run_that_is_not_refused_fits_with_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    """One checkpoint is written while the next waits: on a disk so slow that none is done before training ends."""
    settings = config(dataset="sample", hidden=[3000], epochs=3, subset=100, batch_size=25, **values)
    sample()
    ended = threading.Event()
    written = saver.save_checkpoint
    monkeypatch.setattr(saver, "save_checkpoint", lambda *given: (ended.wait(30), written(*given)))
    monkeypatch.setattr(saver.Saver, "drop", lambda self: ended.set())
    gc.collect()
    tracemalloc.start()
    try:
        train(settings, run="large", runs_dir=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_refused_just_below(peak, monkeypatch, settings, architecture_of(settings, 784, 10), 70)
