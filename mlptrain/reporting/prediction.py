"""Predictions for people: the image that the network sees, beside a bar per class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.handwriting.predict import Prediction, Rejection
from mlptrain.reporting.digit import draw
from mlptrain.reporting.text import counted
from mlptrain.system.text import can_print, printable

MAX_DRAWN = 20  # images; more than these have a line each

GAP = "  "

_BAR = 24  # characters of a bar for probability 1

_MAX_NAME = 14  # characters of a class name


def render_predictions(
    predictions: Sequence[Prediction | Rejection], class_names: Sequence[str], console: Console
) -> None:
    """Print each prediction as a drawing with bars, or, if there are more than `MAX_DRAWN`, as a line.

    An image that was rejected has a line with the reason.
    """
    names = [printable(name, console.encoding) for name in class_names]
    if len(predictions) > MAX_DRAWN:
        for prediction in predictions:
            console.print(_title(prediction, console.encoding), soft_wrap=True)
        text = f"{counted(len(predictions), 'image')}; up to {MAX_DRAWN} are drawn"
        console.print(text, style="dim", soft_wrap=True)
        return
    for number, prediction in enumerate(predictions):
        if number:
            console.print()
        console.print(_title(prediction, console.encoding), soft_wrap=True)
        if isinstance(prediction, Rejection):
            continue
        for line in _lines(prediction, names, console):
            console.print(line, no_wrap=True, overflow="crop", crop=True)


def _title(prediction: Prediction | Rejection, encoding: str) -> Text:
    if isinstance(prediction, Rejection):
        return Text(printable(str(prediction.error).splitlines()[0], encoding), "red")
    text = Text(f"{printable(prediction.image, encoding)}: ")
    text.append(printable(prediction.label, encoding), "bold green")
    text.append(f" ({max(prediction.probabilities):.1%})")
    return text.append(f"; warning: {prediction.warning}", "yellow") if prediction.warning else text


def _lines(prediction: Prediction, names: list[str], console: Console) -> list[Text]:
    """Return the drawing on the left, if there is room for it, and the bars on its right."""
    bars = _bars(prediction, names, console.encoding)
    height, width = prediction.seen.shape
    if width + len(GAP) + bars[0].cell_len >= console.width or height < 2:
        return bars
    drawing = draw(prediction.seen, console)
    above = max(0, (len(drawing) - len(bars)) // 2)
    rows = zip_longest(drawing, [Text()] * above + bars)
    return [(left or Text(" " * width)) + Text(GAP) + (right or Text()) for left, right in rows]


def _bars(prediction: Prediction, names: list[str], encoding: str) -> list[Text]:
    full, half = ("█", "▌") if can_print("█▌", encoding) else ("#", "")
    label = min(_MAX_NAME, max(cell_len(name) for name in names))
    top = max(prediction.probabilities)
    lines = []
    for name, probability in zip(names, prediction.probabilities, strict=True):
        halves = round(2 * _BAR * min(1.0, max(0.0, probability)))  # linear outputs may be outside [0, 1]
        bar = full * (halves // 2) + half * (halves % 2)
        style = "bold green" if probability == top else ""
        line = Text(f"{set_cell_size(name, label)} {probability:6.3f} ", style)
        lines.append(line.append(bar, style or "dim"))
    return lines
