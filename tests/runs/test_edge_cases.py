"""Unusual data and configs: every metric is defined, and every number that is saved is finite."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mlptrain
from mlptrain.datasets.idx import write_idx
from mlptrain.errors import ConfigError, DataError, DivergedError, UsageError
from tests import made


def folder_of(path: Path, images: Any, labels: Any) -> str:
    """Write IDX files with these images (n, 4, 4) and labels, and return their folder."""
    path.mkdir(exist_ok=True)
    write_idx(path / "train-images-idx3-ubyte", images)
    write_idx(path / "train-labels-idx1-ubyte", np.asarray(labels, np.uint8))
    return str(path)


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), np.uint8)


def numbers(result: Any) -> dict[str, float]:
    return {key: value for key, value in result.metrics.items() if isinstance(value, float)}


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param(pixels(30), [0] * 28 + [1, 2], id="classes missing from a split"),
        pytest.param(pixels(30), [3] * 30, id="one class only"),
        pytest.param(np.full((30, 4, 4), 255, np.uint8), [0, 1, 2] * 10, id="constant images"),
        pytest.param(np.zeros((30, 4, 4), np.uint8), [0, 1, 2] * 10, id="black images"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1000},
        {"batch_size": "full", "batch_norm": True, "ema": 0.9},
        {"batch_norm": True, "dtype": "float64", "augment": {"rotate": 10}},
        {"loss": "binary_cross_entropy", "dropout": 0.5},
    ],
    ids=["large batch", "full batch", "normalised", "sigmoid outputs"],
)
def test_unusual_data_gives_metrics(
    tmp_path: Path, images: NDArray[Any], labels: list[int], options: dict[str, Any]
) -> None:
    config = made.config(dataset=folder_of(tmp_path / "data", images, labels), hidden=[5], epochs=1, **options)
    result = mlptrain.train(config, run="a", runs_dir=tmp_path)
    assert all(math.isfinite(value) for value in numbers(result).values()) and numbers(result)
    assert 0 <= result.metrics["test_accuracy"] <= 1
    for array in (*result.model.weights, *result.model.biases):
        assert np.isfinite(array).all()
    evaluated = mlptrain.evaluate(mlptrain.load_model(tmp_path / "a"), mlptrain.load_dataset(config.dataset))
    assert math.isfinite(evaluated.loss)
    json.dumps(result.metrics, allow_nan=False)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_for_three_splits(tmp_path: Path, count: int) -> None:
    config = made.config(dataset=folder_of(tmp_path / "data", pixels(count), range(count)), epochs=1)
    with pytest.raises((ConfigError, DataError, UsageError)):
        mlptrain.train(config, run="a", runs_dir=tmp_path)
    assert not (tmp_path / "a").exists()


def test_three_images_are_enough(tmp_path: Path) -> None:
    config = made.config(
        dataset=folder_of(tmp_path / "data", pixels(3), [0, 1, 0]), split=[0.4, 0.3, 0.3], epochs=2, batch_norm=True
    )
    result = mlptrain.train(config)
    assert result.metrics["epochs"] == 2 and all(math.isfinite(value) for value in numbers(result).values())


@pytest.mark.parametrize("epochs", [0, 1])
def test_no_epoch_and_one_epoch(tmp_path: Path, epochs: int) -> None:
    config = made.config(hidden=[3], epochs=epochs, subset=100, schedule={"name": "cosine", "warmup": 0.5})
    for _ in range(2):
        result = mlptrain.train(config, run="a", runs_dir=tmp_path, resume=True)
        assert result.metrics["epochs"] == len(result.history) == epochs
        assert math.isfinite(result.metrics["test_loss"])


def test_a_run_that_diverges_after_a_best_epoch_writes_no_model(tmp_path: Path) -> None:
    config = made.config(
        hidden=[5], epochs=50, subset=300, optimizer="sgd", activation="linear", output="linear", loss="mse",
        learning_rate=2.0, early_stopping={"patience": 50, "monitor": "val_loss"},
    )  # fmt: skip
    with pytest.raises(DivergedError):
        mlptrain.train(config, run="a", runs_dir=tmp_path)
    assert not (tmp_path / "a" / "model.npz").exists()


@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")])
def test_saturated_outputs_have_finite_losses(output: str, loss: str) -> None:
    big = np.full((3, 6), 1e4, np.float32)
    big[0] *= -1
    model = made.model([big], [np.zeros(3)], output=output, loss=loss, dtype="float32")
    evaluated = mlptrain.evaluate(model, made.dataset())
    assert math.isfinite(evaluated.loss) and evaluated.loss > 10 and 0 <= evaluated.accuracy <= 1
