"""Configs that together use every component of training that has state, and the result of a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config

SIX: dict[str, dict[str, Any]] = {
    "sgd": {"activation": "sigmoid", "l1": 1e-5, "early_stopping": {"monitor": "val_accuracy", "patience": 2}},
    "momentum": {
        "optimizer": "momentum",
        "schedule": {"name": "plateau", "factor": 0.5, "patience": 1},
        "max_norm": 2.0,
        "seed": 5,
    },
    "nesterov": {
        "optimizer": "nesterov",
        "batch_norm": True,
        "schedule": {"name": "cosine", "warmup": 0.1},
        "dropout": 0.2,
        "batch_seed": 9,
    },
    "adamw": {
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "batch_norm": True,
        "ema": 0.99,
        "clip_norm": 1.0,
        "schedule": {"name": "one_cycle"},
        "augment": {"shift": 2, "rotate": 15, "elastic": {"alpha": 36, "sigma": 5}},
        "label_smoothing": 0.1,
    },
    "nadam": {
        "optimizer": "nadam",
        "learning_rate": 0.01,
        "input_dropout": 0.1,
        "dropout": [0.3],
        "l2": 1e-4,
        "early_stopping": {"patience": 1},
        "schedule": {"name": "step", "every": 20, "gamma": 0.9},
        "dtype": "float64",
    },
    "rmsprop": {
        "optimizer": "rmsprop",
        "learning_rate": 0.001,
        "ema": 0.9,
        "loss": "mse",
        "activation": "gelu",
        "augment": {"scale": 0.1, "shear": 0.1},
        "schedule": {"name": "exponential", "gamma": 0.999},
        "init": "normal",
    },
}

OTHERS: dict[str, dict[str, Any]] = {
    "adagrad": {"optimizer": "adagrad", "learning_rate": 0.05, "batch_size": "full", "epochs": 8},
    "adadelta": {"optimizer": "adadelta", "learning_rate": 1.0, "subset": 2500},
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "activation": "tanh", "loss": "binary_cross_entropy"},
}


def stateful(name: str, **more: Any) -> Config:
    """Return one of the configs with a tiny network and a checkpoint after every chunk."""
    common = {"hidden": [12], "activation": "relu", "batch_size": 32, "learning_rate": 0.1, "epochs": 4}
    return Config(**{**common, "checkpoint_seconds": 0, **{**SIX, **OTHERS}[name], **more}).resolve()


def history(folder: Path) -> list[list[str]]:
    """Return the rows of ``history.csv`` with its header and without its seconds."""
    with (folder / "history.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    kept = [column for column, name in enumerate(rows[0]) if name != "seconds"]
    return [[row[column] for column in kept] for row in rows]


def left(folder: Path) -> tuple[bytes, bytes, list[list[str]]]:
    """Return what must be the same after resuming: model, layer statistics, and the history without its seconds."""
    return (folder / "model.npz").read_bytes(), (folder / "layers.csv").read_bytes(), history(folder)
