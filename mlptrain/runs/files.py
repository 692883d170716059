"""The files of the folders of runs and sweeps: their names, and readers that need no NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlptrain.errors import DataError
from mlptrain.system.files import reason

CONFIG, HISTORY, LAYERS, METRICS = "config.yaml", "history.csv", "layers.csv", "metrics.json"
MODEL, CHECKPOINT = "model.npz", "checkpoint.npz"
SWEEP, LEADERBOARD, BEST = "sweep.yaml", "leaderboard.csv", "best"
"""Files by which the folder of a sweep is recognised, and its folder of the best run."""

BASE, JOURNAL, TRIALS = "base.yaml", "journal.jsonl", "trials"
"""Base config and journal of a sweep, and its folder of run folders."""

LATEST, BEST_BY = "latest", "best:"
"""Words that mean a run in place of its name, see `mlptrain.runs.locate`."""

FINGERPRINTS = ("data_fingerprint", "split_fingerprint")
"""Keys of ``metrics.json`` whose values are equal if two runs were tested on the same images."""

MAX_METRICS_BYTES = 2**20


def is_complete(path: Path) -> bool:
    """Return whether a run folder has the metrics of a run and no checkpoint to resume from."""
    return (path / METRICS).is_file() and not (path / CHECKPOINT).exists()


def is_run(path: Path) -> bool:
    """Return whether a folder is that of a run, which has a config or a model."""
    return (path / CONFIG).is_file() or (path / MODEL).is_file()


def is_sweep(path: Path) -> bool:
    """Return whether a folder is that of a sweep or of collected runs, which has a sweep file or a leaderboard."""
    return (path / SWEEP).is_file() or (path / LEADERBOARD).is_file()


def load_metrics(path: Path) -> dict[str, Any]:
    """Return the content of ``metrics.json`` of a run folder, or of a copy of that file.

    Raises
    ------
    DataError
        The file is missing, unreadable or damaged.
    """
    file = path if path.is_file() else path / METRICS
    try:
        with file.open("rb") as stream:
            metrics = json.loads(stream.read(MAX_METRICS_BYTES))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}\nhint: train the run again") from error
    except (ValueError, RecursionError):
        metrics = None
    if not isinstance(metrics, dict) or not all(
        isinstance(metrics.get(name), int | float) for name in ("test_loss", "test_accuracy")
    ):
        raise DataError(f"{file}: damaged, or not the metrics of a run\nhint: train the run again with --overwrite")
    return metrics
