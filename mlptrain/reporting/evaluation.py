"""An evaluation as a person reads it: figures, a table of classes, the usual mistakes, the matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.reporting.digit import draw
from mlptrain.reporting.text import counted, keras_number, printable

if TYPE_CHECKING:
    from mlptrain.models.evaluation import Evaluation, Mistake

PAIRS_SHOWN = 5

_GAP = "   "

_CAPTION = 24

WIDEST_NAME = 18  # leaves room for ten cells of four digits in 80 columns


def render_evaluation(evaluation: Evaluation, console: Console, *, confusion: bool) -> None:
    """Print ``evaluation`` to ``console``, its mistakes drawn, with the confusion matrix where ``confusion`` is set.

    Lines are never wrapped or cut, and for ten classes of up to four digits a cell they fit 80 columns.
    """
    names = [printable(name, console.encoding) for name in evaluation.class_names]
    parts = [_figures(evaluation), _class_table(evaluation, names), _pairs(evaluation, console.encoding)]
    if confusion:
        parts.append(_matrix(evaluation.confusion, names, console))
    if evaluation.mistakes:
        parts.append(_mistakes(evaluation.mistakes, console))
    console.print(Text("\n\n").join(parts), soft_wrap=True)


def _figures(evaluation: Evaluation) -> Text:
    mistakes = evaluation.count - sum(row[i] for i, row in enumerate(evaluation.confusion))
    loss = "" if evaluation.loss is None else f"loss {keras_number(evaluation.loss)}, "
    text = Text(f"{evaluation.split} {loss}accuracy {keras_number(evaluation.accuracy)}", "bold")
    text.append(f" ({counted(mistakes, 'mistake')} in {counted(evaluation.count, 'image')})", "not bold")
    return text


def _class_table(evaluation: Evaluation, names: list[str]) -> Text:
    label = _name_width(["class", *names])
    lines = [Text(f"{set_cell_size('class', label)}  precision  recall      F1  support", "bold")]
    for name, figures in zip(names, evaluation.per_class, strict=True):
        numbers = f"{figures.precision:>9.4f}  {figures.recall:.4f}  {figures.f1:.4f}  {figures.support:>7,}"
        lines.append(Text(f"{set_cell_size(name, label)}  {numbers}"))
    return Text("\n").join(lines)


def _pairs(evaluation: Evaluation, encoding: str) -> Text:
    pairs = evaluation.confused_pairs(PAIRS_SHOWN)
    if not pairs:
        return Text("no mistakes")
    lines = [Text("most confused", "bold")]
    for truth, guess, count in pairs:
        names = f"{printable(truth, encoding)} taken for {printable(guess, encoding)}"
        lines.append(Text(f"{names}: {counted(count, 'time')}"))
    return Text("\n").join(lines)


def _matrix(confusion: tuple[tuple[int, ...], ...], names: list[str], console: Console) -> Text:
    """Rows are truths and columns guesses; where names are longer than a cell, numbers stand for them.

    In a terminal of many colours mistakes are shaded, the darker the larger their share of all images of the truth.
    """
    shaded = console.is_terminal and not console.no_color and console.color_system in ("256", "truecolor")
    cell = max(4, *(len(str(count)) for row in confusion for count in row))
    heads = names
    if any(cell_len(name) > cell for name in names):
        heads = [str(number) for number in range(len(names))]
        digits = len(heads[-1])
        names = [f"{head:>{digits}} {name}" for head, name in zip(heads, names, strict=True)]
    label = _name_width(names)
    title = Text("confusion matrix", "bold")
    title.append(" (a row for each truth, a column for each guess)", "not bold")
    heading = "".join(f"  {' ' * (cell - cell_len(head))}{head}" for head in heads)
    lines = [title, Text(" " * label + heading, "bold")]
    for truth, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        line = Text(set_cell_size(name, label), "bold")
        for guess, count in enumerate(counts):
            style = "not bold green" if guess == truth else "not bold" if count else "not bold dim"
            if shaded and count and guess != truth:
                style += _shade(count / sum(counts))
            line.append(f"  {count or '.':>{cell}}", style)
        lines.append(line)
    return Text("\n").join(lines)


def _shade(share: float) -> str:
    """A background for a share of mistakes: the eye tells apart equal steps of its logarithm, .1 % to 10 %."""
    strength = min(1.0, max(0.0, math.log10(1000 * share) / 2))
    red, others = round(90 + 110 * strength), round(60 - 40 * strength)
    return f" bright_white on rgb({red},{others},{others})"


def _mistakes(mistakes: Sequence[Mistake], console: Console) -> Text:
    """Drawings side by side, as many as the window is wide, each under its truth, its guess and its confidence."""
    width = max(mistakes[0].image.shape[1], _CAPTION)
    across = max(1, (console.width + len(_GAP)) // (width + len(_GAP)))
    lines = [Text("worst mistakes", "bold").append(" (the most confident wrong guesses)", "not bold")]
    for start in range(0, len(mistakes), across):
        row = mistakes[start : start + across]
        lines.append(Text(_GAP).join(_caption(mistake, width, console.encoding) for mistake in row))
        for pieces in zip(*(draw(mistake.image, console) for mistake in row), strict=True):
            for piece in pieces:
                piece.append(" " * (width - piece.cell_len))
            lines.append(Text(_GAP).join(pieces))
    return Text("\n").join(lines)


def _caption(mistake: Mistake, width: int, encoding: str) -> Text:
    """``5 taken for 3 (99.8%)``, shortened where the names are long."""
    truth, guess = (printable(name, encoding) for name in (mistake.truth, mistake.guess))
    room = (width - len(" taken for  (100.0%)")) // 2
    if cell_len(truth) + cell_len(guess) > 2 * room:
        truth, guess = (set_cell_size(name, min(room, cell_len(name))) for name in (truth, guess))
    return Text(set_cell_size(f"{truth} taken for {guess} ({mistake.confidence:.1%})", width))


def _name_width(names: list[str]) -> int:
    return min(WIDEST_NAME, max(cell_len(name) for name in names))
