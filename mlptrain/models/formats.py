"""What an exported model says of itself, whatever the format."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain import __version__
from mlptrain.models.model import Model
from mlptrain.system.files import write_atomic

PIXEL_SCALE = 255


@dataclass(frozen=True)
class About:
    """``test_accuracy`` is the run's, None where it is not known."""

    class_names: tuple[str, ...]
    activation: str
    output: str
    loss: str
    dataset: str | None
    test_accuracy: float | None
    made_by: str = f"mlptrain {__version__}"
    pixel_scale: int = PIXEL_SCALE


def about(model: Model, test_accuracy: float | None) -> About:
    """What there is to say of a model."""
    functions, dataset = model.architecture, model.config.get("dataset")
    return About(
        model.class_names,
        functions.activation,
        functions.output,
        functions.loss,
        None if dataset is None else str(dataset),
        test_accuracy,
    )


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
