"""mlptrain: train multilayer perceptrons on MNIST digits.

>>> import mlptrain
>>> config = mlptrain.load_config(overrides=["hidden=15", "epochs=3"])
>>> result = mlptrain.train(config)
>>> result.metrics["test_accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from mlptrain.config.config import Config, load_config
    from mlptrain.datasets.dataset import Dataset
    from mlptrain.errors import (
        AccuracyError,
        ConfigError,
        DataError,
        DivergedError,
        MlptrainError,
        TrialsError,
        UsageError,
    )
    from mlptrain.handwriting.predict import Prediction
    from mlptrain.models.evaluation import Evaluation
    from mlptrain.models.model import Model
    from mlptrain.reporting.export import export_run
    from mlptrain.reporting.finished import diagnose, plot, report
    from mlptrain.reporting.progress import sweep, train
    from mlptrain.runs.diagnosis import Diagnosis
    from mlptrain.runs.finished import evaluate, load_model, predict
    from mlptrain.runs.job import load_dataset, lr_find
    from mlptrain.runs.train import TrainResult, run
    from mlptrain.sweeps.leaderboard import Leaderboard
    from mlptrain.sweeps.sweep import SweepResult
    from mlptrain.system.signals import Interrupted
    from mlptrain.training.lrfind import RangeTest
    from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress, RunStart

__all__ = [
    "AccuracyError",
    "Config",
    "ConfigError",
    "DataError",
    "Dataset",
    "Diagnosis",
    "DivergedError",
    "EpochReport",
    "Evaluation",
    "Interrupted",
    "LayersReport",
    "Leaderboard",
    "MlptrainError",
    "Model",
    "Outcome",
    "Prediction",
    "Progress",
    "RangeTest",
    "RunStart",
    "SweepResult",
    "TrainResult",
    "TrialsError",
    "UsageError",
    "__version__",
    "diagnose",
    "evaluate",
    "export_run",
    "load_config",
    "load_dataset",
    "load_model",
    "lr_find",
    "plot",
    "predict",
    "report",
    "run",
    "sweep",
    "train",
]

_NAMES = {
    "mlptrain.config.config": ("Config", "load_config"),
    "mlptrain.datasets.dataset": ("Dataset",),
    "mlptrain.errors": (
        "AccuracyError",
        "ConfigError",
        "DataError",
        "DivergedError",
        "MlptrainError",
        "TrialsError",
        "UsageError",
    ),
    "mlptrain.handwriting.predict": ("Prediction",),
    "mlptrain.models.evaluation": ("Evaluation",),
    "mlptrain.models.model": ("Model",),
    "mlptrain.reporting.export": ("export_run",),
    "mlptrain.reporting.finished": ("diagnose", "plot", "report"),
    "mlptrain.reporting.progress": ("sweep", "train"),
    "mlptrain.runs.diagnosis": ("Diagnosis",),
    "mlptrain.runs.finished": ("evaluate", "load_model", "predict"),
    "mlptrain.runs.job": ("load_dataset", "lr_find"),
    "mlptrain.runs.train": ("TrainResult", "run"),
    "mlptrain.sweeps.leaderboard": ("Leaderboard",),
    "mlptrain.sweeps.sweep": ("SweepResult",),
    "mlptrain.system.signals": ("Interrupted",),
    "mlptrain.training.lrfind": ("RangeTest",),
    "mlptrain.training.reports": ("EpochReport", "LayersReport", "Outcome", "Progress", "RunStart"),
}
"""The public names by their modules, as in the imports above."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts without NumPy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlptrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
