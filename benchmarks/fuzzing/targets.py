"""What is fuzzed: each target reads one input as the program would, and may raise nothing but `MlptrainError`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.mutate import Mutator, gzipped, raw, zipped
from mlptrain.checkpoint import load_checkpoint
from mlptrain.config import Config, config_from, dump_yaml, load_config, warnings
from mlptrain.datasets.idx import read_idx
from mlptrain.errors import MlptrainError
from mlptrain.expression import parse
from mlptrain.graph import backpropagate
from mlptrain.history import read_history
from mlptrain.model import load_model_file
from mlptrain.npz import read_npz
from mlptrain.yamlfile import parse_yaml


@dataclass(frozen=True)
class Target:
    """``read`` gets the input's bytes and, where it is a file for the program, the path at which they lie."""

    read: Callable[[bytes, Path], object]
    mutate: Mutator = raw
    words: tuple[bytes, ...] = ()


_KEYS = tuple(f"{key}: ".encode() for key in Config.model_fields)


def _config(data: bytes, path: Path) -> None:
    config = load_config(path)
    warnings(config)
    assert config_from(parse_yaml(dump_yaml(config), "dumped")) == config, "a config does not read back equal"


def _overrides(data: bytes, path: Path) -> None:
    load_config(None, data.decode("utf-8", "surrogateescape").split("\n"))


def _idx(data: bytes, path: Path) -> None:
    try:
        assert read_idx(path, dimensions=3).ndim == 3
    except MlptrainError:
        assert read_idx(path, dimensions=1).ndim == 1


def _npz(data: bytes, path: Path) -> None:
    arrays = read_npz(path, 1 << 30)
    assert all(array.dtype.kind in "fiubU" for array in arrays.values())


def _model(data: bytes, path: Path) -> None:
    model = load_model_file(path)
    probabilities = model.probabilities(np.zeros((2, model.architecture.layers[0]), np.uint8))
    assert probabilities.shape == (2, len(model.class_names))


def _checkpoint(data: bytes, path: Path) -> None:
    checkpoint = load_checkpoint(path)
    assert [report.epoch for report in checkpoint.history] == list(range(1, len(checkpoint.history) + 1))


def _history(data: bytes, path: Path) -> None:
    read_history(path)


def _backprop(data: bytes, path: Path) -> None:
    expression, *rest = data.decode("utf-8", "surrogateescape").split("\n")
    graph = parse(expression)
    values = dict(line.partition("=")[::2] for line in rest)
    passes = backpropagate(graph, {name: float(index + 1) for index, name in enumerate(graph.names)})
    assert math.isfinite(passes.value)
    json.dumps(passes.inputs)
    backpropagate(graph, values)  # type: ignore[arg-type]  # what a caller from Python may hand over


TARGETS = {
    "config": Target(_config, words=_KEYS),
    "overrides": Target(_overrides, words=tuple(key.replace(b": ", b"=") for key in _KEYS)),
    "idx": Target(_idx, gzipped),
    "npz": Target(_npz, zipped, (b"'descr': ", b"'<f8'", b"'|O'", b"'<U9999999'", b"'shape': (", b"1L, ")),
    "model": Target(_model, zipped, (b"'<f4'", b"'<U8'", b"()", b"(0,)", b"softmax", b"sigmoid", b"nan")),
    "checkpoint": Target(_checkpoint, zipped, (b"[", b"{", b"null", b'"epoch": ', b"NaN", b"Infinity", b"1e999")),
    "history": Target(_history, words=(b"1,0.5,0.5,,,0.1,1.0\n", b"inf", b"nan", b"1e999", b",")),
    "backprop": Target(_backprop, words=(b"max(", b"exp(", b"log(", b"sigmoid(", b"**", b"lambda ", b"x", b"1e999")),
}
"""By name; each has its seeds in ``tests/corpus/NAME/``."""
