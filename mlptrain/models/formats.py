"""Formats of exported models: the table of them, and the JSON writer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mlptrain import __version__
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.engine.arrays import Floats
from mlptrain.errors import UsageError
from mlptrain.models.model import PIXEL_SCALE, Model, save_model
from mlptrain.models.onnx import write_onnx
from mlptrain.system.files import write_atomic

JSON_FORMAT = "mlptrain json 1"


Writer = Callable[[Path, Model, Mapping[str, Any]], None]
"""A function that writes a model and its metadata to a path."""


def write_model(
    path: Path,
    format: str,
    model: Model,
    test_accuracy: float | None = None,
    formats: Mapping[str, Writer] | None = None,
) -> None:
    """Write ``model`` in one of ``formats``, by default `FORMATS`.

    ``test_accuracy`` goes into the metadata, None if unknown.

    Raises
    ------
    UsageError
        The format is unknown, or cannot hold this model, or its extra is not installed.
    DataError
        The file cannot be written.
    """
    writers = FORMATS if formats is None else formats
    if format not in writers:
        names = list(writers)
        raise UsageError(f"format must be {enumerate_words(names, 'or')} (got {format!r}){hint(format, names)}")
    writers[format](path, model, describe_model(model, test_accuracy))


def describe_model(model: Model, test_accuracy: float | None) -> dict[str, Any]:
    """Return the metadata of an exported model, with values that JSON can hold."""
    dataset = model.config.get("dataset")
    return {
        "class_names": model.class_names,
        "activation": model.architecture.activation,
        "output": model.architecture.output,
        "loss": model.architecture.loss,
        "dataset": None if dataset is None else str(dataset),
        "test_accuracy": test_accuracy,
        "made_by": f"mlptrain {__version__}",
        "pixel_scale": PIXEL_SCALE,
    }


def write_json(path: Path, model: Model, metadata: Mapping[str, Any]) -> None:
    """Write ``model`` as one JSON object; numbers have the fewest digits that reproduce them exactly.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    head = json.dumps({"format": JSON_FORMAT, **metadata, "inputs": model.architecture.layers[0]}, allow_nan=False)

    def write(stream: BinaryIO) -> None:
        stream.write(f'{head[:-1]}, "layers": ['.encode())
        for index, (weights, biases) in enumerate(zip(model.weights, model.biases, strict=True)):
            stream.write(b"," * (index > 0) + b'\n{"weights": [')
            for row, values in enumerate(weights):  # one row at a time, because the text of a wide layer is large
                stream.write(b"," * (row > 0) + b"\n" + _json_list(values))
            stream.write(b'],\n"biases": ' + _json_list(biases) + b"}")
        stream.write(b"]}\n")

    write_atomic(path, write)


def _json_list(values: Floats) -> bytes:
    return f"[{', '.join(map(str, values))}]".encode()


FORMATS: dict[str, Writer] = {
    "onnx": write_onnx,
    "npz": lambda path, model, metadata: save_model(path, model),
    "json": write_json,
}
"""A writer for each format that programs read; ``save_model`` writes metadata of its own."""
