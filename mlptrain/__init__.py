"""mlptrain: train multilayer perceptrons on MNIST digits.

>>> import mlptrain
>>> config = mlptrain.load_config(overrides=["hidden=[15]", "epochs=3"])
>>> result = mlptrain.train(config)
>>> result.metrics["test_accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlptrain.api import evaluate, load_dataset, load_model, predict, train
    from mlptrain.config import load_config
    from mlptrain.export.run import export_run
    from mlptrain.sweeps.session import sweep

__all__ = [
    "__version__",
    "evaluate",
    "export_run",
    "load_config",
    "load_dataset",
    "load_model",
    "predict",
    "sweep",
    "train",
]

_HOMES = {
    "evaluate": "mlptrain.api",
    "export_run": "mlptrain.export.run",
    "load_config": "mlptrain.config",
    "load_dataset": "mlptrain.api",
    "load_model": "mlptrain.api",
    "predict": "mlptrain.api",
    "sweep": "mlptrain.sweeps.session",
    "train": "mlptrain.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command line must start before NumPy is loaded."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlptrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
