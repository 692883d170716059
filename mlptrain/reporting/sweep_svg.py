"""Plots of a sweep for its page: SVG as wide as its container, in which lines and points carry their trials.

Horizontal positions are shares of the width and vertical ones pixels, so text has the same size in every window.
``parallel.js`` connects the plots with each other and with the leaderboard.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from mlptrain.config.config import argument
from mlptrain.reporting.plots.scale import Scale, metric_scale
from mlptrain.reporting.plots.sweep import MAX_TICKS, PANEL, rate_by_batch, scale_of
from mlptrain.reporting.text import shortened
from mlptrain.sweeps.finished import SweepView
from mlptrain.sweeps.leaderboard import Row
from mlptrain.sweeps.trials import Result, trial_name
from mlptrain.system.text import keras_number

TALL, LOW = 300, 170  # pixels of the axes of parallel coordinates, and of a plot of one parameter

TOP = 46  # pixels of the names above the axes

FAILED = 22  # pixels from the lower end of an axis to the trials that diverged or failed

AXIS_WIDTH = 74  # pixels from axis to axis, at least

MAX_NAMES = 2  # axes, up to which their names fit in one row

MAX_NAME, MAX_TICK = 20, 11  # characters of the name of an axis, and of its tick labels


def parallel_svg(view: SweepView) -> str:
    """Return parallel coordinates: an axis per parameter and one for the metric, and a line per trial."""
    metric, _ = metric_scale(view.scores, view.board.metric)
    keys = view.board.keys
    scales = [*(scale_of(view, key) for key in keys), metric]
    at = [100 * index / len(keys) for index in range(len(scales))]
    floor = TALL + FAILED if view.failed else TALL

    def line(mark: str, values: Mapping[str, Any], end: float, text: str) -> str:
        heights = [*(_height(scale.place(values[key]), TALL) for key, scale in zip(keys, scales, strict=False)), end]
        points = " ".join(f"{x:g},{y:.1f}" for x, y in zip(at, heights, strict=True))
        title = f"{text}\n" + " ".join(argument(key, value) for key, value in values.items())
        return f'<polyline {mark} points="{points}"><title>{escape(title)}</title></polyline>'

    lines = [
        line(f'class="failed" {_mark(trial)}', trial.values, floor, f"trial {trial_name(trial.trial)}: {trial.status}")
        for trial in view.failed
    ]
    worst = max(1, len(view.ranked) - 1)
    for index, (row, score) in reversed([*enumerate(zip(view.ranked, view.scores, strict=True))]):
        kind = 'class="best"' if index == 0 else f'style="--goodness:{100 * (1 - index / worst):.0f}%"'
        text = f"trial {trial_name(row.trial)}: rank {row.rank}, {view.board.metric.name} {keras_number(score)}"
        lines.append(line(f"{kind} {_mark(row)}", row.values, _height(metric.place(score), TALL), text))
    names = [*keys, view.board.metric.name]
    axes = [
        _axis(name, scale, x, row % (1 if len(names) <= MAX_NAMES else 2), floor if scale is metric else TALL)
        for row, (name, scale, x) in enumerate(zip(names, scales, at, strict=True))
    ]
    return (
        f'<svg class="parallel" style="min-width:{AXIS_WIDTH * len(names)}px" height="{TOP + floor + 8}" role="group" '
        f'aria-label="Parallel coordinates: a line per trial through its parameters to its '
        f'{escape(view.board.metric.name)}"><svg class="lines" y="{TOP}" width="100%" height="{floor}" '
        f'viewBox="0 0 100 {floor}" preserveAspectRatio="none">{"".join(lines)}</svg>{"".join(axes)}</svg>'
    )


def _axis(name: str, scale: Scale, x: float, row: int, end: float) -> str:
    """Return an axis of parallel coordinates with its name, its tick labels and the parts that filter trials."""
    anchor = "start" if x == 0 else "end" if x == 100 else "middle"
    ticks = [(TALL * (1 - at), label) for at, label in scale.ticks_up_to(MAX_TICKS)]
    ticks += [(end, "failed")] if end > TALL else []
    labels = "".join(
        f'<text x="{x:g}%" dx="6" y="{TOP + y + 4:.1f}">{escape(shortened(label, MAX_TICK))}</text>'
        for y, label in ticks
    )
    return (
        f'<g class="axis" aria-label="{escape(name)}">'
        f'<text class="name" x="{x:g}%" y="{12 + 16 * row}" text-anchor="{anchor}">{escape(shortened(name, MAX_NAME))}'
        f'</text><line x1="{x:g}%" x2="{x:g}%" y1="{TOP}" y2="{TOP + TALL}"/>'
        f'<rect class="brush" x="{x:g}%" y="{TOP}" width="14" height="0" transform="translate(-7)"/>{labels}'
        f'<rect class="grip" x="{x:g}%" y="{TOP - 8}" width="30" height="{end + 16}" transform="translate(-15)"/></g>'
    )


def parameter_svg(view: SweepView, key: str) -> str:
    """Return the plot of the metric against a parameter, with a point per trial."""
    metric, _ = metric_scale(view.scores, view.board.metric)
    scale = scale_of(view, key)
    floor = LOW + FAILED - 4 if view.failed else LOW
    parts = []
    for at, label in [*metric.ticks, *([(0.0, "failed")] if view.failed else [])]:
        y = 10 + (floor if label == "failed" else LOW * (1 - at))
        parts.append(f'<line x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="0" dx="-6" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    labels = scale.labels(PANEL)
    for at, label, line in labels:
        y = floor + 34 + 16 * line
        parts.append(f'<text x="{_inside(at)}" y="{y}" text-anchor="middle">{escape(label)}</text>')
        if not scale.categories:
            parts.append(f'<line x1="{_inside(at)}" x2="{_inside(at)}" y1="10" y2="{floor + 18}"/>')
    places = scale.spread([trial.values[key] for trial in view.failed])
    for failed, at in zip(view.failed, places, strict=True):
        mark = f'<path class="failed" {_mark(failed)} d="M-4-4 4 4M-4 4 4-4"/>'
        parts.append(f'<svg x="{_inside(at)}" y="{10 + floor}">{mark}</svg>')
    marks = []
    places = scale.spread([row.values[key] for row in view.ranked])
    for ranked, score, at in zip(view.ranked, view.scores, places, strict=True):
        place = metric.place(score)
        x, y = _inside(at), 10 + _height(place, LOW)
        if 0 <= place <= 1:
            kind, radius = ('class="best" ', 6) if ranked.rank == 1 else ("", 3.5)
            marks.append(f'<circle {kind}{_mark(ranked)} cx="{x}" cy="{y:.1f}" r="{radius}"/>')
        else:
            shape = "M-5-4 5-4 0 4Z" if place < 0 else "M-5 4 5 4 0-4Z"
            marks.append(f'<svg x="{x}" y="{y:.1f}"><path class="clipped" {_mark(ranked)} d="{shape}"/></svg>')
    parts += reversed(marks)  # the best are on top
    bottom = floor + 42 + 16 * max((line for _, _, line in labels), default=0)
    label = f"{view.board.metric.name} against {key}"
    return f'<svg class="points" height="{bottom}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def heat_svg(view: SweepView) -> str:
    """Return a heat map of the best metric for each learning rate and batch size."""
    cells = rate_by_batch(view)
    rows, columns = cells.best.shape
    width, height = 100 / columns, max(28, LOW / rows)
    parts = []
    for (row, column), value in np.ndenumerate(cells.best):
        if cells.counts[row, column]:
            goodness, y = cells.goodness[row, column], 10 + height * row
            shade = "dark" if goodness > 0.5 else "pale"
            parts.append(
                f'<rect style="--goodness:{100 * goodness:.0f}%" x="{width * column:.2f}%" y="{y:.1f}" '
                f'width="{width:.2f}%" height="{height:.1f}"/><text class="{shade}" text-anchor="middle" '
                f'x="{width * (column + 0.5):.2f}%" y="{y + height / 2 + 4:.1f}">{value:.3f}</text>'
            )
    for row, size in enumerate(cells.sizes):
        y = 14 + height * (row + 0.5)
        parts.append(f'<text x="0" dx="-6" y="{y:.1f}" text-anchor="end">{escape(size)}</text>')
    for at, label in cells.rates:
        y = 28 + height * rows
        parts.append(f'<text x="{width * at:.2f}%" y="{y:.1f}" text-anchor="middle">{escape(label)}</text>')
    label = f"Best {view.board.metric.name} for each learning_rate (columns) and batch_size (rows)"
    bottom = 36 + height * rows
    return (
        f'<svg class="points heat" height="{bottom:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _mark(trial: Row | Result) -> str:
    """Return the attribute by which the script finds the marks of a trial, or with repeats of a point."""
    return f'data-trial="{trial.trial}"' if isinstance(trial, Row) else f'data-trial="failed {trial.trial}"'


def _height(position: float, length: float) -> float:
    """Return the distance from the upper end of a vertical axis, on which outliers are at the ends."""
    return length * (1 - min(1.0, max(0.0, position)))


def _inside(position: float) -> str:
    """Return a position on a horizontal axis, with a margin at both ends."""
    return f"{3 + 94 * position:.2f}%"
