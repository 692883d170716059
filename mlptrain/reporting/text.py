"""Text for people: times, counts, and names shortened to fit where they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlptrain.system.text import printable

GAP = "  "
"""Space between the columns of a table."""


def keras_pace(seconds: float) -> str:
    """Return the time of one step as Keras prints it: ``2s/step``, ``13ms/step`` or ``85us/step``."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"


def clock(seconds: float) -> str:
    """Return a remaining time as Keras prints it: ``42s``, ``3:07`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def duration(seconds: float) -> str:
    """Return a measured time: ``85ms``, ``12.3s``, ``3:07`` or ``1:02:03``."""
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 59.95 else clock(seconds)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 epoch``, ``2 epochs``, ``23,860 parameters``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shortened(text: str, width: int) -> str:
    """Return printable ``text``, cut to ``width`` characters with an ellipsis."""
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def listed(words: Sequence[str], most: int) -> str:
    """Return the first ``most`` words, separated by commas, with an ellipsis in place of the others."""
    return ", ".join([*words[:most], *(["…"] if len(words) > most else [])])


def wrapped(phrases: Sequence[str], width: int) -> list[str]:
    """Join phrases by commas into lines shorter than ``width``, broken between phrases only."""
    lines = [phrases[0]]
    for phrase in phrases[1:]:
        joined = f"{lines[-1]}, {phrase}"
        if len(joined) < width:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(f"  {phrase}")
    return lines


def column(heading: str, cells: Iterable[str], *, left: bool = False) -> list[str]:
    """Return the heading and the cells of a table's column, aligned on the right or the left."""
    lines = [heading, *cells]
    width = max(map(len, lines))
    return [line.ljust(width) if left else line.rjust(width) for line in lines]


def joined(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of columns."""
    return [GAP.join(cells) for cells in zip(*columns, strict=True)]
