"""A figure as SVG within an HTML page: its colours follow the page's, and it refers to nothing outside itself."""

from __future__ import annotations

import re
from html import escape

from mlptrain.reporting.figures.style import GRID, INK, MUTED, PAPER, SERIES, Draw, rendered

_COLORS = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    **{color: f"s{i}" for i, color in enumerate(SERIES, start=1)},
}
_DROPPED = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>| xmlns(:\w+)?=\"[^\"]*\"", re.DOTALL)
_STYLE = re.compile(r"<style type=\"text/css\">.*?</style>", re.DOTALL)
_IDS = re.compile(r"(\bid=\"|url\(#|href=\"#)")
_SIZE = re.compile(r" (?:height|width)=\"([\d.]+)pt\"")
SMALLEST = 0.68  # of its own size, to which a figure shrinks in a narrow window; beyond that it scrolls
_FONT = re.compile(r"'DejaVu Sans'")


def inline_svg(draw: Draw, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element; ``name`` sets its ids apart from those of other figures on the page."""
    text = rendered(draw, "svg", inline=True).decode()
    text = _STYLE.sub("", _DROPPED.sub("", text))
    text = _IDS.sub(lambda match: f"{match[1]}{name}-", text)
    for color, variable in _COLORS.items():
        text = text.replace(color, f"var(--{variable})")
    text = _FONT.sub("var(--font)", text)
    head, body = text[: text.index(">")], text[text.index(">") :]
    width = float(head.split('width="')[1].split("pt")[0]) * 4 / 3
    style = f"max-width:{width:.0f}px;min-width:{SMALLEST * width:.0f}px"
    head = _SIZE.sub("", head).strip().replace("<svg", f'<svg style="{style}" role="img" aria-label="{escape(label)}"')
    return head + body
