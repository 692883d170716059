"""Trained models, and their file ``model.npz``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Bytes, Floats, Indices
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Network, predict
from mlptrain.engine.parameters import Architecture, Weights
from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz

FORMAT = "mlptrain model 1"

MAX_BYTES = 8 * 1024**3

PIXEL_SCALE = 255  # divisor of the bytes of an image


@dataclass(frozen=True)
class Model:
    """A trained network, its class names and the config of its run.

    ``weights[l]`` is (out, in) and ``biases[l]`` is (out,). Inputs are pixels / 255 in [0, 1], one row of the image
    after another; output i is the class ``class_names[i]``.
    """

    architecture: Architecture
    weights: tuple[Floats, ...] = field(repr=False)
    biases: tuple[Floats, ...] = field(repr=False)
    class_names: tuple[str, ...]
    config: Mapping[str, Any] = field(repr=False)

    def network(self) -> Network:
        """Return the model as a network of the engine."""
        network = Network(self.architecture, members=1, dtype=self.weights[0].dtype)
        network.assign(0, self.weights, self.biases)
        return network

    def probabilities(self, images: Bytes | Floats) -> Floats:
        """Return the output activations (n, classes) for ``images`` (n, ...): bytes, or floats in [0, 1].

        Raises
        ------
        DataError
            An output is not finite.
        """
        pixels = np.asarray(images)
        rows = pixels.reshape(len(pixels), -1).astype(self.weights[0].dtype)
        if pixels.dtype == np.uint8:
            rows /= PIXEL_SCALE
        with np.errstate(over="ignore", invalid="ignore"):
            return require_finite(np.ascontiguousarray(predict(self.network(), rows)[0].T))

    def predict(self, images: Bytes | Floats) -> Indices:
        """Return the index (n,) of the most probable class of each image."""
        labels: Indices = self.probabilities(images).argmax(axis=1)
        return labels


def require_finite(values: Floats) -> Floats:
    """Return ``values``, which a model computed, unchanged.

    Raises
    ------
    DataError
        A value is not finite, because the weights, although finite, are too large.
    """
    if not np.isfinite(values).all():
        raise DataError("the outputs of the model are not finite: its weights are too large\nhint: use another model")
    return values


def make_model(
    architecture: Architecture, weights: Weights, class_names: tuple[str, ...], config: Mapping[str, Any]
) -> Model:
    """Return the model with these trained weights, into which any batch normalisation is already folded."""
    plain = replace(architecture, batch_norm=False)
    return Model(plain, tuple(weights[0]), tuple(weights[1]), class_names, config)


def save_model(path: Path, model: Model) -> None:
    """Write ``model.npz``: W1, b1, W2, b2, … and metadata. Equal models give equal bytes.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for index, (weights, biases) in enumerate(zip(model.weights, model.biases, strict=True), start=1):
        arrays[f"W{index}"] = weights
        arrays[f"b{index}"] = biases
    arrays["format"] = np.array(FORMAT)
    arrays["activation"] = np.array(model.architecture.activation)
    arrays["output"] = np.array(model.architecture.output)
    arrays["loss"] = np.array(model.architecture.loss)
    arrays["pixel_scale"] = np.array(float(PIXEL_SCALE))
    arrays["class_names"] = np.array(model.class_names)
    arrays["config"] = np.array(json.dumps(model.config))
    write_npz(path, arrays)


def load_model_file(path: Path) -> Model:
    """Read ``model.npz``. A ``pixel_scale`` other than 255 is folded into the weights of the first layer.

    Raises
    ------
    DataError
        The file is missing or damaged, or its arrays do not form a model.
    """
    try:
        return _read_model(read_npz(path, MAX_BYTES))
    except ValueError as error:
        raise DataError(
            f"{path}: {error}\nexpected a model.npz written by mlptrain\n"
            "hint: use the version of mlptrain that wrote the file, or train the model again"
        ) from error


def _read_model(arrays: Mapping[str, NDArray[Any]]) -> Model:
    """Return the model in the arrays of its file; a ValueError says why they do not form one."""

    def text(key: str) -> str:
        if key not in arrays or arrays[key].dtype.kind != "U" or arrays[key].ndim != 0:
            raise ValueError(f"text {key!r} is missing")
        return str(arrays[key])

    if text("format") != FORMAT:
        raise ValueError(f"unsupported format {text('format')!r} (expected {FORMAT!r})")
    layer_count = next(index for index in range(len(arrays) + 1) if f"W{index + 1}" not in arrays)
    weights = tuple(arrays[f"W{index + 1}"] for index in range(layer_count))
    biases = tuple(arrays.get(f"b{index + 1}", np.empty(0)) for index in range(layer_count))
    _check_layers(weights, biases)
    _fold_pixel_scale(weights[0], arrays.get("pixel_scale", np.array(PIXEL_SCALE)))
    try:
        config = json.loads(text("config"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise ValueError("config is not a JSON object")
    names = arrays.get("class_names", np.empty(0))
    if names.dtype.kind != "U" or names.shape != (len(biases[-1]),):
        raise ValueError(f"class_names must be {len(biases[-1])} texts (got {names.dtype} {names.shape})")
    sizes = (weights[0].shape[1], *(len(bias) for bias in biases))
    architecture = Architecture(sizes, text("activation"), text("output"), text("loss"))
    if architecture.activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {architecture.activation!r}")
    if (architecture.loss, architecture.output) not in PAIRINGS:
        raise ValueError(f"unknown loss {architecture.loss!r} with output {architecture.output!r}")
    return Model(architecture, weights, biases, tuple(names.tolist()), config)


def _check_layers(weights: tuple[Floats, ...], biases: tuple[Floats, ...]) -> None:
    """Check that successive layers fit together, have one float type and contain only finite numbers."""
    if not weights:
        raise ValueError("W1 is missing")
    for index, (w, b) in enumerate(zip(weights, biases, strict=True)):
        inputs = weights[index - 1].shape[:1] if index else w.shape[1:]
        if w.ndim != 2 or b.shape != w.shape[:1] or w.shape[1:] != inputs or 0 in w.shape:
            raise ValueError(f"W{index + 1} {w.shape} and b{index + 1} {b.shape} do not fit together")
        if w.dtype.kind != "f" or w.dtype != weights[0].dtype or b.dtype != w.dtype:
            raise ValueError(f"W{index + 1} and b{index + 1} must have the float type of W1")
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise ValueError(f"W{index + 1} or b{index + 1} contains a number that is not finite")


def _fold_pixel_scale(weights: Floats, scale: Floats) -> None:
    """Multiply the weights of the first layer by 255 / ``scale``, for inputs that are bytes / 255."""
    is_number = scale.ndim == 0 and scale.dtype.kind in "iuf"
    if not (is_number and 0 < scale < np.inf):
        got = scale if is_number else f"{scale.dtype} {scale.shape}"
        raise ValueError(f"pixel_scale must be a finite number greater than 0 (got {got})")
    with np.errstate(over="ignore"):
        weights *= PIXEL_SCALE / float(scale)
    if not np.isfinite(weights).all():
        raise ValueError(f"W1 / pixel_scale is not finite (got pixel_scale {float(scale):g})")
