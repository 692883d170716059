"""Small configs, folders and datasets that the tests of runs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mlptrain
from mlptrain.config.config import Config, load_config
from mlptrain.datasets.idx import write_idx
from mlptrain.runs.folder import RunFolder
from mlptrain.runs.train import TrainResult
from tests import made
from tests.stress.stateful import stateful

COMPLETE = ["config.yaml", "history.csv", "layers.csv", "metrics.json", "model.npz"]
"""The files of a complete run."""


def quick(*overrides: str) -> Config:
    """Two epochs on 200 digits: some milliseconds."""
    settings = {"subset": "200", "hidden": "[5]", "epochs": "2", "batch_size": "20"}
    for override in overrides:
        key, _, value = override.partition("=")
        settings[key] = value
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])


def small(**more: Any) -> Config:
    """Three epochs of ten steps with momentum, and a checkpoint after every chunk."""
    return stateful("momentum", **{"hidden": [4], "subset": 300, "epochs": 3, **more})


def partly_trained(runs_dir: Path, **more: Any) -> TrainResult:
    """Train the run ``a`` for one step, after which a time limit stops it."""
    result = mlptrain.train(small(**more), run="a", runs_dir=runs_dir, time_limit=0.0)
    assert (result.metrics["stopped"], result.metrics["epochs"]) == ("time_limit", 0)
    return result


def resume(runs_dir: Path, config: Config, **more: Any) -> TrainResult:
    """Resume the run ``a`` to its end."""
    return mlptrain.train(config, run="a", runs_dir=runs_dir, resume=True, **more)


def reports_of_resumed(runs_dir: Path, config: Config) -> Iterator[Any]:
    """Yield the reports of the run ``a`` while it is resumed."""
    return mlptrain.run(config, run="a", runs_dir=runs_dir, resume=True)


def begun(path: Path) -> RunFolder:
    """Make the folder of a run that has just started."""
    path.mkdir(parents=True)
    folder = RunFolder(path)
    folder.begin(made.config())
    return folder


def names(folder: Path) -> list[str]:
    """Return the names of everything below a folder."""
    return sorted(path.name for path in folder.rglob("*"))


def idx_folder(folder: Path, *, count: int = 60, tests: int = 0, pixels: tuple[int, int] = (2, 3)) -> Path:
    """Write IDX files with images of three classes, told apart by which pixel is bright."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem, size in (("train", count), ("t10k", tests)):
        if size:
            labels = (np.arange(size) % 3).astype(np.uint8)
            images = rng.integers(0, 60, (size, *pixels), np.uint8)
            images.reshape(size, -1)[np.arange(size), labels] = 255
            write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels)
    return folder
