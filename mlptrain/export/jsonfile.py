"""A model as JSON, for a web page: the format is described in docs/export.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain.export.about import About
from mlptrain.files import write_atomic
from mlptrain.model import Model

FORMAT = "mlptrain json 1"


def write_json(path: Path, model: Model, facts: About) -> None:
    """Write ``model`` as one JSON object, its numbers with the fewest digits that give them back exactly.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    head = json.dumps({"format": FORMAT, **asdict(facts), "inputs": model.architecture.layers[0]}, allow_nan=False)

    def write(stream: BinaryIO) -> None:
        stream.write(f'{head[:-1]}, "layers": ['.encode())
        for index, (weights, biases) in enumerate(zip(model.weights, model.biases, strict=True)):
            stream.write(b"," * (index > 0) + b'\n{"weights": [')
            for row, values in enumerate(weights):  # a row at a time: wide layers have a great many digits
                stream.write(b"," * (row > 0) + b"\n" + _list(values))
            stream.write(b'],\n"biases": ' + _list(biases) + b"}")
        stream.write(b"]}\n")

    write_atomic(path, write)


def _list(values: np.ndarray) -> bytes:
    return f"[{', '.join(map(str, values))}]".encode()
