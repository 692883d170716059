"""The figures of a finished run as ``metrics.json`` holds them, and the model as it is saved."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain import __version__
from mlptrain.config import Config, plain_values
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.members import Outcome
from mlptrain.model import Model, model_of
from mlptrain.stack import Weights, architecture_of
from mlptrain.threads import configured_threads


def saved_model(config: Config, weights: Weights, dataset: Dataset) -> Model:
    """The model of a run's weights; its bytes tell no path, the data is in ``data_fingerprint``."""
    values = plain_values(config)
    if Path(values["dataset"]).is_absolute():
        values["dataset"] = "folder"
    architecture = architecture_of(config, dataset.images.shape[1], dataset.classes)
    return model_of(architecture, weights, dataset.class_names, values)


def metrics_of(
    outcome: Outcome, test: tuple[float, float], config: Config, dataset: Dataset, split: Split, run: str | None
) -> dict[str, Any]:
    """The content of ``metrics.json``; ``test`` are loss and accuracy, numbers that are not finite become null."""
    figures: Mapping[str, float | int | None] = {
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "loss": outcome.loss,
        "accuracy": outcome.accuracy,
        "val_loss": outcome.val_loss,
        "val_accuracy": outcome.val_accuracy,
        "test_loss": test[0],
        "test_accuracy": test[1],
    }
    rate = outcome.samples / outcome.seconds if outcome.seconds > 0 else None
    return {
        "run": run,
        **{key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in figures.items()},
        "parameters": architecture_of(config, dataset.images.shape[1], dataset.classes).parameters,
        "seconds": round(outcome.seconds, 4),
        "samples_per_second": None if rate is None else round(rate),
        "stopped": outcome.stopped,
        "versions": {"mlptrain": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "threads": configured_threads(),
        "data_fingerprint": dataset.fingerprint,
        "split_fingerprint": split.fingerprint,
    }
