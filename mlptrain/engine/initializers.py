"""Initial weights and biases of a layer.

An initialiser is a function of a generator, ``fan_in`` (inputs) and ``fan_out`` (units), and returns weights
``(fan_out, fan_in)`` and biases ``(fan_out,)`` in float64. Biases are 0, except those of ``normal``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Floats

Initializer = Callable[[np.random.Generator, int, int], tuple[Floats, Floats]]


def zeros(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Floats, Floats]:
    """w = 0: without dropout all units of a hidden layer get equal gradients and stay equal."""
    return np.zeros((fan_out, fan_in)), np.zeros(fan_out)


def normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Floats, Floats]:
    """w, b ~ N(0, 1), independent of the size of the layer (Nielsen's ``network.py``)."""
    return rng.standard_normal((fan_out, fan_in)), rng.standard_normal(fan_out)


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    """w ~ U(−√(3v), √(3v)), whose variance is v."""

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Floats, Floats]:
        bound = np.sqrt(3 * variance(fan_in, fan_out))
        return rng.uniform(-bound, bound, (fan_out, fan_in)), np.zeros(fan_out)

    return draw


def _gaussian(variance: Callable[[int, int], float]) -> Initializer:
    """w ~ N(0, v)."""

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Floats, Floats]:
        return rng.standard_normal((fan_out, fan_in)) * np.sqrt(variance(fan_in, fan_out)), np.zeros(fan_out)

    return draw


def _glorot(fan_in: int, fan_out: int) -> float:
    """v = 2 / (in + out) (Glorot & Bengio 2010, eq. 12 and 16)."""
    return 2 / (fan_in + fan_out)


def _he(fan_in: int, fan_out: int) -> float:
    """v = 2 / in (He et al. 2015, eq. 10)."""
    return 2 / fan_in


def _lecun(fan_in: int, fan_out: int) -> float:
    """v = 1 / in (LeCun et al. 1998, Efficient BackProp, eq. 16)."""
    return 1 / fan_in


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "normal": normal,
    "glorot_uniform": _uniform(_glorot),
    "glorot_normal": _gaussian(_glorot),
    "he_uniform": _uniform(_he),
    "he_normal": _gaussian(_he),
    "lecun_normal": _gaussian(_lecun),
}

AUTO_OUTPUT = "glorot_uniform"
"""Initialiser that ``auto`` chooses for the output layer; `ACTIVATIONS` names those for hidden layers."""


def layer_initializers(name: str, activation: str, layers: int) -> list[Initializer]:
    """Return the initialiser of each of the ``layers`` layers, the last of which is the output layer."""
    if name != "auto":
        return [INITIALIZERS[name]] * layers
    return [INITIALIZERS[ACTIVATIONS[activation].init]] * (layers - 1) + [INITIALIZERS[AUTO_OUTPUT]]
