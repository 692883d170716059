"""Fuzzing targets: each reads one input as the program does, and may raise only `MlptrainError`."""

from __future__ import annotations

import atexit
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from mlptrain.config.config import Config, config_from, dump_yaml, load_config, warnings
from mlptrain.config.yaml import parse_yaml
from mlptrain.datasets.idx import idx_shape, read_idx
from mlptrain.errors import MlptrainError
from mlptrain.graph.expression import parse
from mlptrain.graph.graph import backpropagate
from mlptrain.handwriting.digit import find_digit
from mlptrain.handwriting.reading import read_images
from mlptrain.models.model import load_model_file
from mlptrain.models.npz import read_npz
from mlptrain.runs.checkpoint import load_checkpoint
from mlptrain.runs.files import JOURNAL, load_metrics
from mlptrain.runs.history import read_history, read_layers
from mlptrain.sweeps.importance import importances
from mlptrain.sweeps.journal import Journal, read_events, read_record, result_event
from mlptrain.sweeps.leaderboard import rank, write_leaderboard
from mlptrain.sweeps.parameters import DISTRIBUTIONS, SPACE_KEYS
from mlptrain.sweeps.shell import all_trials, commands
from mlptrain.sweeps.spec import Metric, Spec
from mlptrain.sweeps.sweepfile import read_sweep
from tests.shells import INSTALLED, Shell, check_line, named, shell
from tests.stress.fuzzing.mutate import Mutator, gzipped, lined, pictured, raw, zipped
from tests.stress.fuzzing.terminal import print_everything


@dataclass(frozen=True)
class Target:
    """A target; ``read`` receives the bytes of the input and the path of the file that contains them."""

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
        shape = idx_shape(path, dimensions=3)
    except MlptrainError:
        shape = idx_shape(path, dimensions=1)
    read_idx(path, np.empty(shape, np.uint8))


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


def _layers(data: bytes, path: Path) -> None:
    assert all(report.layers for report in read_layers(path))


def _metrics(data: bytes, path: Path) -> None:
    json.dumps(load_metrics(path))


def _backprop(data: bytes, path: Path) -> None:
    expression, *rest = data.decode("utf-8", "surrogateescape").split("\n")
    graph = parse(expression)
    values = dict(line.partition("=")[::2] for line in rest)
    passes = backpropagate(graph, {name: float(index + 1) for index, name in enumerate(graph.names)})
    assert math.isfinite(passes.value)
    json.dumps(passes.inputs)
    backpropagate(graph, values)  # type: ignore[arg-type]  # what a caller from Python may hand over


@cache
def _rates() -> Spec:
    """Return the sweep whose journals are the seeds: distinct learning rates."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.yaml"
        base.write_text("hidden: [4]\n")
        return read_sweep(base, ["learning_rate=0.1,0.3,1,3"])


def _journal(data: bytes, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, Path(folder) / JOURNAL))
        events = read_events(copy)
        record = read_record(copy, _rates())
        journal = Journal(copy)
        journal.append({"event": "lost"}, *(result_event(result, 0) for result in record.results.values()))
        journal.close()
        added = len(record.results) + 1
        assert read_events(copy)[:-added] == events, "a torn line is not cut off"
        board = rank(("learning_rate",), Metric(), 1, record.results.values())
        write_leaderboard(Path(folder) / "leaderboard.csv", board)
        importances(("learning_rate",), ((row.values, row.figure) for row in board.rows if row.figure is not None))


def _sweep(data: bytes, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(shutil.copy(path, Path(folder) / "sweep.yaml"))
        (file.parent / "base.yaml").write_text("hidden: [15]\n")
        spec = read_sweep(file)
        file.write_text(spec.yaml())
        assert read_sweep(file).digest == spec.digest, "a sweep does not read back equal"


def _spaces(data: bytes, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.yaml"
        base.write_text("hidden: [15]\n")
        read_sweep(base, data.decode("utf-8", "surrogateescape").split("\n"))


def _listed(data: bytes, path: Path) -> None:
    name, run, runs_dir, *arguments = [*data.decode("utf-8", "surrogateescape").split("\n"), "", ""]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.yaml"
        base.write_text("hidden: [15]\n")
        sweep = named(read_sweep(base, [argument for argument in arguments if argument]), name)
    lines = commands(sweep, run, runs_dir=Path(runs_dir))
    for line, trial in islice(zip(lines, all_trials(sweep), strict=False), 3):
        check_line(line, sweep, trial, run=run, runs_dir=runs_dir)
        for one in _shells():
            assert one.words(line) == line.split(" ")[1:]


@cache
def _shells() -> list[Shell]:
    """Return shells that stay open until the process ends, because starting them would take most of the time."""
    stack = ExitStack()
    atexit.register(stack.close)
    folders = {name: Path(stack.enter_context(tempfile.TemporaryDirectory())) for name in INSTALLED}
    return [stack.enter_context(shell(name, folder)) for name, folder in folders.items()]


def _picture(data: bytes, path: Path) -> None:
    for image in read_images(str(path)).pixels[:2]:
        if image.size < 10_000 and image.min() < image.max():  # as `mlptrain predict` does
            digit = find_digit(image)
            assert digit is None or np.isfinite(digit.pixels).all()


_HOSTILE = (
    *(b"\x1b[2J", b"\x1b]0;title\x07", b"\x1b[31m", b"\xc2\x9b31m", b"\xc2\x85", b"\r", b"\x08", b"\x7f", b"\0"),
    *(text.encode() for text in ("\u202egnp", "\u2066", "\u200b", "\ufeff", "\u00a0", "\u0301", "\u6f22")),
    *(b"[red]", b"[/red]", b"[/]", b":cat:", b"<script>", b"&lt;", b"<!--", b"=1+1", b"@", b"'=", b"http://me:secret@"),
)

_SPACE = tuple(f"{key}: ".encode() for key in SPACE_KEYS + DISTRIBUTIONS)

_SHELL = (
    b"~",
    b"~root",
    b"%self",
    b"=ls",
    b"==ls",
    b"-rf",
    b"--run=",
    b"../",
    b"$HOME",
    b"`ls`",
    b"*",
    b"?",
    b"!!",
    b"[a]",
    b"hidden=2",
    b",",
    b"64,32",
    b",,",
    b"null",
    b"'",
    b'"',
    b"\\",
    b" ",
    b"&",
    b"#",
    b";",
    b"^",
    b"\xc3\xa9",
    b"1e-5",
)

TARGETS = {
    "config": Target(_config, words=_KEYS),
    "overrides": Target(_overrides, words=tuple(key.replace(b": ", b"=") for key in _KEYS)),
    "idx": Target(_idx, gzipped),
    "npz": Target(_npz, zipped, (b"'descr': ", b"'<f8'", b"'|O'", b"'<U9999999'", b"'shape': (", b"1L, ")),
    "model": Target(_model, zipped, (b"'<f4'", b"'<U8'", b"()", b"(0,)", b"softmax", b"sigmoid", b"nan")),
    "checkpoint": Target(_checkpoint, zipped, (b"[", b"{", b"null", b'"epoch": ', b"NaN", b"Infinity", b"1e999")),
    "history": Target(_history, words=(b"1,0.5,0.5,,,0.1,1.0\n", b"inf", b"nan", b"1e999", b",")),
    "layers": Target(_layers, words=(b"1,2,", b"\n2,1,", b"inf", b"nan", b"1e999", b",")),
    "metrics": Target(_metrics, words=(b"null", b"1e999", b"NaN", b'"', b'"test_loss": ', b"{", b"}", b"[")),
    "backprop": Target(_backprop, words=(b"max(", b"exp(", b"log(", b"sigmoid(", b"**", b"lambda ", b"x", b"1e999")),
    "journal": Target(_journal, words=(b"null", b"1e999", b"NaN", b'"', b'"trial": ', b'"metrics": ', b"{}", b"[]")),
    "sweep": Target(_sweep, words=(*_SPACE, b"method: ", b"run_cap: ", b"early_terminate: ", b"parameters: ", b"{")),
    "spaces": Target(_spaces, words=(*_SPACE, *(key.replace(b": ", b"=") for key in _KEYS), b",", b"{", b"}")),
    "text": Target(print_everything, words=_HOSTILE),
    "listed": Target(_listed, lined, (*(key.replace(b": ", b"=") for key in _KEYS), *_SHELL)),
    "picture": Target(_picture, pictured, (b"IHDR", b"tRNS", b"PLTE", b"\xff\xc0", b"\xff\xda", b"'<f8'", b"(9, 9)")),
}
"""By name; each has its seeds in ``tests/stress/corpus/NAME/``."""
