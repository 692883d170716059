"""A trained model: weights with all that is needed to use them, and its file ``model.npz``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.losses import OUTPUTS, PAIRINGS
from mlptrain.engine.network import Network, predict
from mlptrain.engine.parameters import Architecture, Weights
from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz

FORMAT = "mlptrain model 1"

MAX_BYTES = 8 * 1024**3


@dataclass(frozen=True)
class Model:
    """One network: ``weights[l]`` (out, in), ``biases[l]`` (out,), the functions between them, and its config.

    Inputs are pixels / 255 in [0, 1], rows of the image one after another; output i is class ``class_names[i]``.
    """

    architecture: Architecture
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    class_names: tuple[str, ...]
    config: Mapping[str, Any]

    def network(self) -> Network:
        """The model as a network of the engine, ready for passes."""
        network = Network(self.architecture, members=1, dtype=self.weights[0].dtype)
        network.assign(0, self.weights, self.biases)
        return network

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Output activations (n, classes) for ``images`` (n, ...): bytes, or floats in [0, 1].

        Raises
        ------
        DataError
            They are not finite.
        """
        pixels = np.asarray(images)
        rows = pixels.reshape(len(pixels), -1).astype(self.weights[0].dtype)
        if pixels.dtype == np.uint8:
            rows /= 255
        with np.errstate(over="ignore", invalid="ignore"):
            return require_finite(np.ascontiguousarray(predict(self.network(), rows)[0].T))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most probable class index (n,) of each image."""
        labels: np.ndarray = self.probabilities(images).argmax(axis=1)
        return labels


def require_finite(computed: np.ndarray) -> np.ndarray:
    """What a model computed, as it is: finite weights of a strange file can be so large that their sums are not.

    Raises
    ------
    DataError
        A number in it is not finite.
    """
    if not np.isfinite(computed).all():
        raise DataError("the model computes numbers that are not finite: its weights are too large; use another model")
    return computed


def model_of(
    architecture: Architecture, weights: Weights, class_names: tuple[str, ...], config: Mapping[str, Any]
) -> Model:
    """The model of trained weights, from which any normalisation of the ``architecture`` is already gone."""
    plain = replace(architecture, batch_norm=False)
    return Model(plain, tuple(weights[0]), tuple(weights[1]), class_names, config)


def save_model(path: Path, model: Model) -> None:
    """Write ``model.npz``: W1, b1, W2, b2, … and the metadata that using them takes; equal models, equal bytes."""
    arrays: dict[str, np.ndarray] = {}
    for index, (weights, biases) in enumerate(zip(model.weights, model.biases, strict=True), start=1):
        arrays[f"W{index}"] = weights
        arrays[f"b{index}"] = biases
    arrays["format"] = np.array(FORMAT)
    arrays["activation"] = np.array(model.architecture.activation)
    arrays["output"] = np.array(model.architecture.output)
    arrays["loss"] = np.array(model.architecture.loss)
    arrays["pixel_scale"] = np.array(255.0)
    arrays["class_names"] = np.array(model.class_names)
    arrays["config"] = np.array(json.dumps(model.config))
    write_npz(path, arrays)


def load_model_file(path: Path) -> Model:
    """Read ``model.npz``.

    Raises
    ------
    DataError
        Missing, damaged, or arrays missing, misshapen or not finite.
    """
    arrays = read_npz(path, MAX_BYTES)

    def text(key: str) -> str:
        if key not in arrays or arrays[key].dtype.kind != "U" or arrays[key].ndim != 0:
            raise DataError(f"{path}: no text {key!r} in it; expected a model.npz that mlptrain wrote")
        return str(arrays[key])

    if text("format") != FORMAT:
        raise DataError(f"{path}: format {text('format')!r}; expected {FORMAT!r}: use the version that wrote it")
    count = next(index for index in range(len(arrays) + 1) if f"W{index + 1}" not in arrays)
    weights = tuple(arrays[f"W{index + 1}"] for index in range(count))
    biases = tuple(arrays.get(f"b{index + 1}", np.empty(0)) for index in range(count))
    _check_shapes(path, weights, biases)
    try:
        config = json.loads(text("config"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its config is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise DataError(f"{path}: its config is not a mapping of keys to values")
    names = arrays.get("class_names", np.empty(0))
    if names.dtype.kind != "U" or names.shape != (len(biases[-1]),):
        raise DataError(f"{path}: class_names of shape {names.shape}; expected {len(biases[-1])} names")
    layers = (weights[0].shape[1], *(len(bias) for bias in biases))
    architecture = Architecture(layers, text("activation"), text("output"), text("loss"))
    if architecture.activation not in ACTIVATIONS:
        raise DataError(f"{path}: activation {architecture.activation!r} is not known here")
    if (architecture.loss, architecture.output) not in PAIRINGS or architecture.output not in OUTPUTS:
        raise DataError(f"{path}: loss {architecture.loss!r} with output {architecture.output!r} is not known here")
    return Model(architecture, weights, biases, tuple(names.tolist()), config)


def _check_shapes(path: Path, weights: tuple[np.ndarray, ...], biases: tuple[np.ndarray, ...]) -> None:
    """Layers must follow one on another, in one float type, with finite numbers."""
    if not weights:
        raise DataError(f"{path}: no W1 in it; expected a model.npz that mlptrain wrote")
    for index, (w, b) in enumerate(zip(weights, biases, strict=True)):
        inputs = weights[index - 1].shape[:1] if index else w.shape[1:]
        if w.ndim != 2 or b.shape != w.shape[:1] or w.shape[1:] != inputs or 0 in w.shape:
            raise DataError(f"{path}: W{index + 1} {w.shape} and b{index + 1} {b.shape} do not fit together")
        if w.dtype.kind != "f" or w.dtype != weights[0].dtype or b.dtype != w.dtype:
            raise DataError(f"{path}: W{index + 1} and b{index + 1} are not of one float type")
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise DataError(f"{path}: W{index + 1} or b{index + 1} holds numbers that are not finite")
