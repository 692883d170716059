"""Models that the tests of export formats share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.losses import PAIRINGS
from mlptrain.models.model import Model
from mlptrain.models.onnx import FUNCTIONS
from tests.made import random_model, sample

DIGITS = sample().images[:1000]

CASES = [
    *((activation, "cross_entropy", "softmax", "float32") for activation in ACTIVATIONS if activation in FUNCTIONS),
    *(("relu", loss, output, "float32") for loss, output in PAIRINGS),
    ("gelu", "cross_entropy", "softmax", "float64"),
]
"""Arguments of `moderate_model`: every activation, every pairing of loss and output, both float types."""


def moderate_model(
    activation: Any = "relu", loss: Any = "cross_entropy", output: Any = "softmax", dtype: Any = "float32"
) -> Model:
    """Return a model with weights so small that no output of it is saturated."""
    model = random_model(784, 12, 9, 10, activation=activation, loss=loss, output=output, dtype=dtype)
    weights = tuple(w / np.sqrt(w.shape[1]).astype(w.dtype) for w in model.weights)
    return replace(model, weights=weights, config={"dataset": "sample"})
