"""An evaluation for people: loss and accuracy, metrics per class, frequent mistakes and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.models.evaluation import Evaluation, Mistake, shown_metrics
from mlptrain.reporting.digit import draw
from mlptrain.reporting.text import counted
from mlptrain.system.text import can_print, printable

MAX_PAIRS = 5

_GAP = "   "

_CAPTION = 24  # characters of the caption of a mistake

SHADES = tuple(f"bright_white on color({number})" for number in (52, 88, 124, 160))

SHADES_OF_16 = ("red", "bright_red", "white on red", "bright_white on bright_red")  # for terminals with 16 colours

MAX_NAME = 18  # characters of a class name, which leaves room for ten cells of four digits in 80 columns


def render_evaluation(evaluation: Evaluation, console: Console, *, confusion: bool) -> None:
    """Print ``evaluation`` with its mistakes drawn, and with the confusion matrix if ``confusion`` is set.

    Lines are never wrapped or cut; those of ten classes with up to four digits per cell fit 80 columns.
    """
    names = [printable(name, console.encoding) for name in evaluation.class_names]
    parts = [_summary(evaluation), _class_table(evaluation, names), _pairs(evaluation)]
    if confusion:
        parts.append(_matrix(evaluation.confusion, names, console))
    if evaluation.mistakes:
        parts.append(_mistakes(evaluation.mistakes, console))
    console.print(Text("\n\n").join(parts), soft_wrap=True)


def _summary(evaluation: Evaluation) -> Text:
    mistakes = evaluation.count - sum(row[i] for i, row in enumerate(evaluation.confusion))
    text = Text(f"{evaluation.split} {shown_metrics(evaluation)}", "bold")
    text.append(f" ({counted(mistakes, 'mistake')} in {counted(evaluation.count, 'image')})", "not bold")
    if augmented := evaluation.augmented:
        mistakes = round((1 - augmented.accuracy) * evaluation.count)
        text.append(f"\naugmented {shown_metrics(augmented)}")
        text.append(f" ({counted(mistakes, 'mistake')}, deformed copies per image: {augmented.copies})", "not bold")
    return text


def _class_table(evaluation: Evaluation, names: list[str]) -> Text:
    label = _name_width(["class", *names])
    lines = [Text(f"{set_cell_size('class', label)}  precision  recall      F1  support", "bold")]
    for name, metrics in zip(names, evaluation.per_class, strict=True):
        numbers = f"{metrics.precision:>9.4f}  {metrics.recall:.4f}  {metrics.f1:.4f}  {metrics.support:>7,}"
        lines.append(Text(f"{set_cell_size(name, label)}  {numbers}"))
    return Text("\n").join(lines)


def _pairs(evaluation: Evaluation) -> Text:
    pairs = evaluation.confused_pairs(MAX_PAIRS)
    if not pairs:
        return Text("no mistakes")
    lines = [Text("most confused", "bold")]
    for true, predicted, count in pairs:
        lines.append(Text(f"{printable(true)} predicted as {printable(predicted)}: {counted(count, 'time')}"))
    return Text("\n").join(lines)


def _matrix(confusion: tuple[tuple[int, ...], ...], names: list[str], console: Console) -> Text:
    """Return the confusion matrix; columns have numbers for headings if a name is longer than a cell.

    In a terminal with colours mistakes are shaded, the brighter the larger their share of the true label's images.
    """
    shaded = console.is_terminal and not console.no_color
    cell = max(4, *(len(str(count)) for row in confusion for count in row))
    headings = names
    if any(cell_len(name) > cell for name in names):
        headings = [str(number) for number in range(len(names))]
        digits = len(headings[-1])
        names = [f"{heading:>{digits}} {name}" for heading, name in zip(headings, names, strict=True)]
    label = _name_width(names)
    title = Text("confusion matrix", "bold")
    title.append(" (rows: true label, columns: predicted label)", "not bold")
    heading = "".join(f"  {' ' * (cell - cell_len(heading))}{heading}" for heading in headings)
    lines = [title, Text(" " * label + heading, "bold")]
    for true, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        line = Text(set_cell_size(name, label), "bold")
        for predicted, count in enumerate(counts):
            style = "not bold green" if predicted == true else "not bold" if count else "not bold dim"
            if shaded and count and predicted != true:
                style = f"not bold {_shade(count / sum(counts), console.color_system)}"
            line.append(f"  {count or '.':>{cell}}", style)
        lines.append(line)
    return Text("\n").join(lines)


def _shade(share: float, color_system: str | None) -> str:
    """Return the style for a share of mistakes; the shades begin at 0, 0.3, 1 and 3 %."""
    shades = SHADES if color_system in ("256", "truecolor") else SHADES_OF_16
    return shades[sum(share >= bound for bound in (0.003, 0.01, 0.03))]


def _mistakes(mistakes: Sequence[Mistake], console: Console) -> Text:
    """Return drawings side by side, as many as fit the window, each below its labels and its confidence."""
    arrow = "→" if can_print("→", console.encoding) else "->"
    width = max(mistakes[0].image.shape[1], _CAPTION)
    across = max(1, (console.width + len(_GAP)) // (width + len(_GAP)))
    note = f" (true {arrow} predicted label, highest confidence first)"
    lines = [Text("worst mistakes", "bold").append(note, "not bold")]
    for start in range(0, len(mistakes), across):
        row = mistakes[start : start + across]
        lines.append(Text(_GAP).join(_caption(mistake, width, arrow, console.encoding) for mistake in row))
        for pieces in zip(*(draw(mistake.image, console) for mistake in row), strict=True):
            for piece in pieces:
                piece.append(" " * (width - piece.cell_len))
            lines.append(Text(_GAP).join(pieces))
    return Text("\n").join(lines)


def _caption(mistake: Mistake, width: int, arrow: str, encoding: str) -> Text:
    """Return ``5 → 3 (99.8%)``, with names cut if they are long."""
    true, predicted = (printable(name, encoding) for name in (mistake.truth, mistake.guess))
    room = (width - len(f" {arrow}  (100.0%)")) // 2
    if cell_len(true) + cell_len(predicted) > 2 * room:
        true, predicted = (set_cell_size(name, min(room, cell_len(name))) for name in (true, predicted))
    return Text(set_cell_size(f"{true} {arrow} {predicted} ({mistake.confidence:.1%})", width))


def _name_width(names: list[str]) -> int:
    return min(MAX_NAME, max(cell_len(name) for name in names))
