"""An evaluation as a person reads it: figures, a table of classes, the usual mistakes, the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.reporting.plain import counted, keras_number, printable

if TYPE_CHECKING:
    from mlptrain.evaluation import Evaluation

PAIRS_SHOWN = 5
WIDEST_NAME = 18  # leaves room for ten cells of four digits in 80 columns


def render_evaluation(evaluation: Evaluation, console: Console, *, confusion: bool) -> None:
    """Print ``evaluation`` to ``console``, with the confusion matrix where ``confusion`` is set.

    Lines are never wrapped or cut, and for ten classes of up to four digits a cell they fit 80 columns.
    """
    names = [printable(name, console.encoding) for name in evaluation.class_names]
    parts = [_figures(evaluation), _class_table(evaluation, names), _pairs(evaluation, console.encoding)]
    if confusion:
        parts.append(_matrix(evaluation.confusion, names))
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


def _matrix(confusion: tuple[tuple[int, ...], ...], names: list[str]) -> Text:
    """Rows are truths and columns guesses; where names are longer than a cell, numbers stand for them."""
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
            line.append(f"  {count or '.':>{cell}}", style)
        lines.append(line)
    return Text("\n").join(lines)


def _name_width(names: list[str]) -> int:
    return min(WIDEST_NAME, max(cell_len(name) for name in names))
