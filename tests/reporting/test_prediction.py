from __future__ import annotations

import io
from dataclasses import replace

from mlptrain.errors import DataError
from mlptrain.handwriting.predict import Prediction, Rejection
from mlptrain.reporting.prediction import MAX_DRAWN, render_predictions
from mlptrain.reporting.terminal import make_console
from tests.reporting.test_digit import IMAGE

FOUND = Prediction("a.png", "1", (0.25, 0.75), IMAGE)


def written(*predictions: Prediction | Rejection) -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    render_predictions(predictions, ["0", "1"], make_console(stream))
    stream.seek(0)
    return [line.rstrip() for line in stream.read().splitlines()]


def test_a_prediction_beside_its_bars() -> None:
    assert written(FOUND) == [
        "a.png: 1 (75.0%)",
        " ▀█▄  0  0.250 ██████",
        "▀     1  0.750 ██████████████████",
    ]


def test_several_predictions_have_a_blank_line_between_them() -> None:
    lines = written(FOUND, FOUND)
    assert lines[3] == "" and lines[:3] == lines[4:]


def test_an_input_of_one_row_is_not_drawn() -> None:
    assert written(replace(FOUND, seen=IMAGE[:1]))[1:] == ["0  0.250 ██████", "1  0.750 ██████████████████"]


def test_many_predictions_have_one_line_each() -> None:
    lines = written(*[FOUND] * (MAX_DRAWN + 1))
    assert lines[:-1] == ["a.png: 1 (75.0%)"] * (MAX_DRAWN + 1) and lines[-1].startswith("21 images")


def test_rejected_images_have_a_row_each() -> None:
    rejected = Rejection("b.png", DataError("b.png: no digit found\nexpected one digit"))
    lines = written(FOUND, rejected, FOUND)
    assert lines[4:6] == ["b.png: no digit found", ""] and lines[6:] == lines[:3]
    assert written(*[FOUND] * MAX_DRAWN, rejected)[MAX_DRAWN] == "b.png: no digit found"


def test_a_warning_follows_the_label() -> None:
    assert written(replace(FOUND, warning="two digits"))[0] == "a.png: 1 (75.0%); warning: two digits"
