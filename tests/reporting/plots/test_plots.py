"""Digits, bars, curves and mistakes as they stand in a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from mlptrain.handwriting.predict import Prediction
from mlptrain.models.evaluation import Evaluation, Mistake
from mlptrain.reporting.digit import draw
from mlptrain.reporting.evaluation import render_evaluation
from mlptrain.reporting.live import render_curves
from mlptrain.reporting.prediction import DRAWN, render_predictions
from mlptrain.reporting.terminal import make_console, sparkline
from tests.reporting import made

IMAGE = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0.2, 0, 0]])

FOUND = Prediction("a.png", "1", (0.25, 0.75), IMAGE)


def console(encoding: str = "utf-8"):
    return make_console(io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True))


def written(target) -> list[str]:
    return target.file.buffer.getvalue().decode(target.encoding).splitlines()


def test_half_blocks_and_ascii():
    assert [line.plain for line in draw(IMAGE, console())] == [" ▀█▄", "▀   "]
    assert [line.plain for line in draw(IMAGE, console("ascii"))] == [" =@=", "=.  "]


def test_shades_keep_the_digit_readable(monkeypatch):
    pytest.importorskip("pty")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with made.terminal(80) as terminal:
        target = make_console(terminal.stream)
        for line in draw(IMAGE, target):
            target.print(line)
        render_evaluation(Evaluation("test", 4, 0.1, 0.5, ((1, 1), (1, 1)), ("a", "b")), target, confusion=True)
    assert terminal.screen()[:2] == [" ▀█▄", "▀▀"]
    assert b"48;5;" in terminal.data


def test_a_prediction_beside_its_bars():
    target = console()
    render_predictions([FOUND], ["0", "1"], target)
    assert [line.rstrip() for line in written(target)] == [
        "a.png: 1 (75.0%)",
        " ▀█▄  0  0.250 ██████",
        "▀     1  0.750 ██████████████████",
    ]


def test_several_predictions_have_a_blank_line_between_them():
    target = console()
    render_predictions([FOUND, FOUND], ["0", "1"], target)
    lines = written(target)
    assert lines[3] == "" and lines[:3] == lines[4:]


def test_a_row_of_numbers_is_no_drawing():
    target = console()
    render_predictions([replace(FOUND, seen=IMAGE[:1])], ["0", "1"], target)
    assert [line.rstrip() for line in written(target)[1:]] == ["0  0.250 ██████", "1  0.750 ██████████████████"]


def test_many_predictions_have_a_line_each():
    target = console()
    render_predictions([FOUND] * (DRAWN + 1), ["0", "1"], target)
    assert written(target)[-1] == "21 images; up to 20 at a time are drawn" and len(written(target)) == DRAWN + 2


def test_mistakes_are_drawn_side_by_side():
    image = np.zeros((28, 28))
    image[4:8, 4:8] = 1
    mistakes = tuple(Mistake(i, image, "cat", "a name of thirty letters or so", 0.987) for i in range(3))
    result = Evaluation("test", 4, 0.1, 0.5, ((1, 1), (1, 1)), ("a", "b"))
    target = console()
    render_evaluation(replace(result, mistakes=mistakes), target, confusion=False)
    lines = written(target)
    place = lines.index("worst mistakes (the most confident wrong guesses)")
    assert lines[place + 1].count("taken for") == 2 and lines[place + 1].count("98.7%") == 2
    assert lines[place + 4].count("████") == 2 and max(map(len, lines)) <= 80


def test_sparklines():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([5.0, float("nan"), 5.0], 9) == "▁ ▁"
    assert sparkline([float("inf")], 9) == " "


def test_curves_at_the_end():
    history = [made.epoch(n, loss=1 / n, accuracy=1 - 0.5 / n) for n in range(1, 9)]
    target = console()
    render_curves(history, target)
    lines = written(target)
    assert [line.split()[0] for line in lines] == ["loss", "val_loss", "accuracy", "val_accuracy"]
    assert lines[0].endswith("1.0000 → 0.1250") and "█" in lines[0]
    for silent, epochs in ((console(), history[:2]), (console("ascii"), history)):
        render_curves(epochs, silent)
        assert written(silent) == []
