"""HTML fragments for notebooks: tables, line charts and images, without scripts and with nothing to load.

Text has the colour of the text around it and shades are translucent, so that a fragment suits light and dark notebooks:
their theme is not that of the browser, so a style sheet cannot choose by it.
"""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, TypeGuard

from mlptrain.system.text import keras_number, printable

Cell = str | tuple[str, str]
"""The text of a cell, alone or with its CSS."""

COLORS = ("#2080c8", "#d9691e")
"""Colours of lines, with a contrast of at least 3 to 1 to white and to the dark grey of notebooks."""

WIDTH, HEIGHT = 340, 200  # of a chart, in pixels

LEFT, RIGHT, TOP, BOTTOM = 46, 332, 38, 168  # of its axes

MAX_TICKS = 5

MAX_POINTS = 2 * WIDTH  # up to twice as many epochs have a point each

_CSS = """
.mlptrain{margin:.4em 0;line-height:1.4}
.mlptrain p{margin:.2em 0;overflow-wrap:anywhere}
.mlptrain figure{margin:0}
.mlptrain .muted,.mlptrain figcaption{opacity:.75}
.mlptrain .row{display:flex;flex-wrap:wrap;gap:.6em 2em;align-items:flex-start}
.mlptrain .table{overflow-x:auto}
.mlptrain table{border-collapse:collapse;margin:.4em 0;width:auto;font-variant-numeric:tabular-nums}
.mlptrain tr,.mlptrain tbody tr:nth-child(n){background:none;border-bottom:1px solid #8886}
.mlptrain th,.mlptrain td{text-align:right;padding:.15em .6em;border:0;max-width:16em;overflow-wrap:anywhere}
.mlptrain th:first-child,.mlptrain td:first-child{text-align:left}
.mlptrain svg{display:block;max-width:100%;height:auto}
.mlptrain img{display:block;max-width:100%;margin:0;image-rendering:pixelated}
"""


def fragment(title: str, *parts: str) -> str:
    """Return HTML ``parts`` below a title."""
    return f'<div class="mlptrain"><style>{_CSS}</style><p><b>{_text(title)}</b></p>{"".join(parts)}</div>'


def note(text: str) -> str:
    """Return a less prominent paragraph."""
    return f'<p class="muted">{_text(text)}</p>'


def row(*parts: str) -> str:
    """Return HTML ``parts`` side by side, as far as the width allows."""
    return f'<div class="row">{"".join(parts)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> str:
    """Return a table; all columns but the first are aligned on the right."""
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in rows)
    above = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return f'<figure class="table">{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></figure>'


def shade(share: float) -> str:
    """Return the CSS of a cell whose background is the stronger, the larger a share (0 to 1) is."""
    return f"background:rgba(217,105,30,{0.8 * min(1.0, share):.3f})"


def bar(share: float) -> str:
    """Return the CSS of a cell with a bar that has a share (0 to 1) of its width."""
    return f"min-width:8em;background:linear-gradient(90deg,#2080c866 {100 * min(1.0, max(0.0, share)):.1f}%,#0000 0)"


def grey_image(rows: Sequence[Sequence[float]], caption: str, scale: int) -> str:
    """Return an image of pixels in [0, 1], each drawn as a square of ``scale`` pixels, above its caption."""
    source = b64encode(_png(rows)).decode()
    shown = _text(caption)
    style = f"width:{scale * len(rows[0])}px"
    picture = f'<img src="data:image/png;base64,{source}" alt="{shown}" style="{style}">'
    return f"<figure>{picture}<figcaption>{shown}</figcaption></figure>"


def progress(done: float, total: float, text: str) -> str:
    """Return a progress bar with a text on its right."""
    return f'<p><progress value="{done:g}" max="{total:g}"></progress> {_text(text)}</p>'


def line_chart(series: Mapping[str, Sequence[float | None]], best: Callable[..., Any], length: int = 0) -> str:
    """Return an SVG chart of at most two series of values per epoch, empty if no value is finite.

    The best value of the last series, by ``best`` (``min`` or ``max``), is marked. The axis has at least ``length``
    epochs.
    """
    drawn = {
        name: points
        for name, values in series.items()
        if (points := [(epoch, value) for epoch, value in enumerate(values, 1) if _is_finite(value)])
    }
    if not drawn:
        return ""
    values = [y for points in drawn.values() for _, y in points]
    epochs = max(length, *map(len, series.values()))
    step = max(1, epochs // MAX_POINTS)
    low, high = min(values), max(values)
    margin = max(0.05 * (high - low), 0.002 * abs(high)) or 1.0
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - 1) / (epochs - 1) if epochs > 1 else 0.5
        return round(LEFT + (RIGHT - LEFT) * across, 1), round(BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low), 1)

    parts = [f'<text x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 2}" text-anchor="middle">epoch</text>']
    for tick in ticks(low, high):
        _, y = place(1, tick)
        parts.append(f'<path d="M{LEFT} {y}H{RIGHT}" stroke="currentColor" opacity=".15"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in filter(float.is_integer, ticks(1, epochs)):
        x, _ = place(tick, low)
        parts.append(f'<text x="{x}" y="{BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for number, (name, points) in enumerate(drawn.items()):
        line = f'fill="none" stroke="{COLORS[number]}" stroke-width="1.8"' + ' stroke-dasharray="5 3"' * number
        label, above = name, 10 + 15 * number
        parts.append(f'<path d="{_path(series[name], place, step)}" {line}/>')
        is_last = number == len(drawn) - 1
        if is_last or len(points) == 1:
            epoch, value = best(points, key=lambda point: point[1])
            x, y = place(epoch, value)
            parts.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{COLORS[number]}"/>')
        if is_last:
            label += f", {best.__name__} {keras_number(value)} in epoch {epoch}"
        parts.append(f'<path d="M{LEFT} {above}h24" {line}/>')
        parts.append(f'<text x="{LEFT + 30}" y="{above + 4}">{_text(label)}</text>')
    title = f"{' and '.join(map(_text, drawn))} per epoch"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg {size} font-size="11" fill="currentColor" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def _path(values: Sequence[float | None], place: Callable[[float, float], tuple[float, float]], step: int) -> str:
    """Return the line through every ``step``-th value and the last, with gaps where a value is not finite."""
    commands, command = [], "M"
    for epoch, value in enumerate(values, 1):
        if epoch % step and epoch < len(values):
            continue
        if _is_finite(value):
            x, y = place(epoch, value)
            commands.append(f"{command}{x} {y}")
        command = "L" if _is_finite(value) else "M"
    return "".join(commands)


def ticks(low: float, high: float) -> list[float]:
    """Return at most `MAX_TICKS` + 1 round numbers from ``low`` to ``high``."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / MAX_TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if span <= MAX_TICKS * factor * power)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _is_finite(value: float | None) -> TypeGuard[float]:
    """Return whether there is a value, and it is a finite number."""
    return value is not None and math.isfinite(value)


def _text(text: str) -> str:
    return escape(printable(text))


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{_text(cell)}</td>"
    return f'<td style="{cell[1]}">{_text(cell[0])}</td>'


def _png(rows: Sequence[Sequence[float]]) -> bytes:
    """Return a PNG file of pixels in [0, 1] as shades of grey, without Pillow, which is optional."""
    pixels = b"".join(bytes([0, *(round(255 * min(1.0, max(0.0, value))) for value in row)]) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
