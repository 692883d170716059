"""The fuzzing target for printed text: everything that prints, given a hostile name.

The output consists of printable characters and line feeds. Lines and tables are the same as for the name with its
escapes written out, so a hostile name does not disturb them. Files that contain the name read back equal.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mlptrain.config.registry import DATASETS
from mlptrain.config.values import UNPRINTABLE, flow
from mlptrain.config.yaml import parse_yaml
from mlptrain.datasets.download import AttemptFailed
from mlptrain.errors import MlptrainError
from mlptrain.handwriting.predict import Prediction
from mlptrain.models.evaluation import Evaluation, Mistake
from mlptrain.reporting import page
from mlptrain.reporting.download import LiveDownload, PlainDownload
from mlptrain.reporting.evaluation import render_evaluation
from mlptrain.reporting.live import LiveRun
from mlptrain.reporting.plain import PlainRun
from mlptrain.reporting.prediction import render_predictions
from mlptrain.reporting.sweep import LiveSweep, PlainSweep
from mlptrain.reporting.terminal import make_console
from mlptrain.runs.files import LEADERBOARD
from mlptrain.sweeps.leaderboard import rank, read_leaderboard, write_leaderboard
from mlptrain.sweeps.reports import Retry, SweepEnd, SweepStart, TrialEnd
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import Result
from mlptrain.system.text import printable, write_lines, write_message
from tests.reporting import made

ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1251")

MAX_NAME = 4096  # bytes of a path


def print_everything(data: bytes, path: Path) -> None:
    """Print the name ``data`` in every way, and write it to the files that contain names, which are read back."""
    name = data[:MAX_NAME].decode("utf-8", "surrogateescape")
    encoding = ENCODINGS[len(data) % len(ENCODINGS)]
    for show in (_lines, _run, _sweep, _download, _evaluation, _predictions):
        shown = _printed(show, name, encoding)
        plain = _printed(show, printable(name, encoding), encoding)
        assert shown == plain, f"{show.__name__} prints {shown!r} instead of {plain!r}"
    for show in (_values, _message, _console, _page):
        _printed(show, name, encoding)
    secret = f"http://me:{name}@host/".replace("\n", "")
    assert _printed(_message, secret, encoding) == "mlptrain: http://host/\n"
    _check_yaml(name, encoding)
    _check_leaderboard(name)


def _printed(show: Callable[[str, TextIO], object], name: str, encoding: str) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    show(name, stream)
    stream.seek(0)
    shown = stream.read()
    assert shown.replace("\n", "").isprintable(), f"{show.__name__} prints {shown!r}"
    return shown


def _lines(name: str, stream: TextIO) -> None:
    write_lines(stream, name, f"runs/{name}")


def _message(name: str, stream: TextIO) -> None:
    with redirect_stderr(stream):
        write_message(name)


def _console(name: str, stream: TextIO) -> None:
    make_console(stream).print(name)


def _run(name: str, stream: TextIO) -> None:
    for reporter in (PlainRun(stream), LiveRun(make_console(stream))):
        for report in (replace(made.start(2, name=name), start=name), made.epoch(1, 2), made.epoch(2, 2), made.end(2)):
            reporter.show(report)
        reporter.close()


def _sweep(name: str, stream: TextIO) -> None:
    result = Result(0, 0, "k", {"seed": 1}, "finished", {"val_accuracy": 0.5, "seconds": 1.0}, name)
    board = rank(("seed",), Metric(), 1, [result])
    for reporter in (PlainSweep(stream), LiveSweep(make_console(stream))):
        reporter.show(SweepStart(name, name, "grid", (name,), Metric(), 1, 2, 0))
        reporter.show(TrialEnd(result, 1, board))
        reporter.show(Retry((0,), name))
        reporter.show(SweepEnd(name, board, name, (), {"seed": 0.5}, 1.0))


def _values(name: str, stream: TextIO) -> None:
    result = Result(0, 0, "k", {"dataset": name}, "finished", {"val_accuracy": 0.5, "seconds": 1.0})
    board = rank(("dataset",), Metric(), 1, [result])
    for reporter in (PlainSweep(stream), LiveSweep(make_console(stream))):
        reporter.show(TrialEnd(result, 1, board))
        reporter.show(SweepEnd("runs/s", board, None, (), None, 1.0))


def _download(name: str, stream: TextIO) -> None:
    file = DATASETS["mnist"].files[0]
    for reporter in (PlainDownload(stream), LiveDownload(make_console(stream))):
        reporter.show(AttemptFailed("mnist", file, "http://a/", name, "http://b/", 0.5))


def _evaluation(name: str, stream: TextIO) -> None:
    mistakes = (Mistake(0, np.eye(4), name, "dog", 0.9),)
    evaluation = Evaluation("test", 20, 0.25, 0.85, ((8, 2), (1, 9)), (name, "dog"), mistakes)
    render_evaluation(evaluation, make_console(stream), confusion=True)


def _predictions(name: str, stream: TextIO) -> None:
    render_predictions([Prediction(name, name, (0.75, 0.25), np.eye(4))], [name, "dog"], make_console(stream))


def _page(name: str, stream: TextIO) -> None:
    stream.write(page.html_page(name, [page.command_block(name)]).encode("ascii", "xmlcharrefreplace").decode())


def _read(read: Callable[..., Any], *arguments: object) -> Any:
    try:
        return read(*arguments)
    except MlptrainError as error:
        raise AssertionError(f"what was written is refused: {error}") from error


def _check_yaml(name: str, encoding: str) -> None:
    if not UNPRINTABLE.search(name):
        text = printable(f"dataset: {flow(name)}", encoding)
        assert _read(parse_yaml, text, "printed").values == {"dataset": name}, f"{text!r} does not read back equal"


def _check_leaderboard(name: str) -> None:
    if "\0" in name:
        return  # no file has such a name
    board = rank((name,), Metric(), 1, [Result(0, 0, "k", {name: 1}, "finished", {"val_accuracy": 0.5})])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LEADERBOARD
        write_leaderboard(path, board.with_runs({0: name}))
        again = _read(read_leaderboard, path)
    assert again.keys == (name,) and again.rows[0].run == name, "a leaderboard does not read back equal"
