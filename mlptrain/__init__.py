"""mlptrain: train multilayer perceptrons on MNIST digits.

>>> import mlptrain
>>> config = mlptrain.load_config(overrides=["hidden=15", "epochs=3"])
>>> result = mlptrain.train(config)
>>> result.metrics["test_accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from mlptrain.config.config import load_config
    from mlptrain.reporting.export import export_run
    from mlptrain.reporting.progress import sweep, train
    from mlptrain.runs.finished import evaluate, load_model, predict
    from mlptrain.runs.job import load_dataset
    from mlptrain.runs.train import run

__all__ = [
    "__version__",
    "evaluate",
    "export_run",
    "load_config",
    "load_dataset",
    "load_model",
    "predict",
    "run",
    "sweep",
    "train",
]

_HOMES = {
    "evaluate": "mlptrain.runs.finished",
    "export_run": "mlptrain.reporting.export",
    "load_config": "mlptrain.config.config",
    "load_dataset": "mlptrain.runs.job",
    "load_model": "mlptrain.runs.finished",
    "predict": "mlptrain.runs.finished",
    "run": "mlptrain.runs.train",
    "sweep": "mlptrain.reporting.progress",
    "train": "mlptrain.reporting.progress",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts without NumPy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlptrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
