"""The HTML report that compares several runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlptrain.config.config import plain_values
from mlptrain.config.values import differing, flow
from mlptrain.reporting.gallery import comparison
from mlptrain.reporting.page import (
    command_block,
    command_title,
    diagnosis_box,
    heading,
    html_page,
    number_text,
    plot_sections,
    state_of,
    train_command,
)
from mlptrain.reporting.text import counted
from mlptrain.runs.finished import RunView

METRICS = {
    "test_accuracy": ("test accuracy", ".2%", 1),
    "test_loss": ("test loss", ".4f", -1),
    "val_accuracy": ("validation accuracy", ".2%", 1),
    "val_loss": ("validation loss", ".4f", -1),
    "accuracy": ("training accuracy", ".2%", 0),
    "loss": ("training loss", ".4f", 0),
    "epochs": ("finished epochs", ",", 0),
    "parameters": ("parameters", ",", 0),
    "seconds": ("training time in seconds", ".1f", 0),
}
"""The rows of the table: name, format, and 1 if the largest value is the best, -1 if the smallest is, 0 if none is."""

_DATA = ("dataset", "split", "split_seed")
"""Config keys that choose the images of validation and test."""


def comparison_page(views: Sequence[RunView]) -> str:
    """Return the page that compares runs: configs, metrics, learning curves and diagnoses."""
    curves = [view for view in views if view.history.epochs]
    return html_page(
        f"Comparison of {counted(len(views), 'run')}",
        [
            heading("Configurations and metrics"),
            _table(views),
            *plot_sections([comparison(curves)] if curves else []),
            heading("Diagnoses"),
            *map(_diagnosis, views),
        ],
    )


def _table(views: Sequence[RunView]) -> str:
    """Return a table with a column per run: the config keys that differ, and the metrics with the best ones marked."""
    configs = [plain_values(view.config) for view in views]
    keys = differing(configs)
    digests = {str(view.metrics.get("data_fingerprint")) for view in views if view.metrics}
    comparable = len(digests) <= 1 and not set(keys) & set(_DATA)
    rows = [_row(key, [flow(config.get(key)) for config in configs]) for key in keys]
    if not all(view.metrics for view in views):
        rows.append(_row("state", ["finished" if view.metrics else state_of(view) for view in views]))
    for key, (name, form, sign) in METRICS.items():
        marked = sign and comparable and not (key.endswith("loss") and "loss" in keys)
        values = [view.metrics.get(key) for view in views]
        numbers = [sign * value for value in values if isinstance(value, int | float)]
        best = [marked and isinstance(value, int | float) and sign * value == max(numbers) for value in values]
        rows.append(_row(name, [number_text(value, form) for value in values], best))
    lowest = [view.history.epochs[view.history.best] if view.history.validated else None for view in views]
    rows.append(_row("lowest validation loss in epoch", [number_text(epoch, ",") for epoch in lowest]))
    notes = ["" if keys else "The configurations are equal."]
    notes.append("" if comparable else "The runs have different data or splits, so no value is marked as the best.")
    head = "".join(f"<th>{escape(str(view.path))}</th>" for view in views)
    text = "".join(f'<p class="muted">{note}</p>' for note in notes if note)
    return f'{text}<div class="scroll"><table class="wide"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _row(name: str, cells: Sequence[str], best: Sequence[object] = ()) -> str:
    marks = best or [False] * len(cells)
    texts = (
        f"<td><b>{escape(cell)}</b> (best)</td>" if is_best else f"<td>{escape(cell)}</td>"
        for cell, is_best in zip(cells, marks, strict=True)
    )
    return f"<tr><th>{escape(name)}</th>{''.join(texts)}</tr>"


def _diagnosis(view: RunView) -> str:
    command = f"<p>{command_title(view)}:</p>{command_block(train_command(view))}"
    return f"<h3>{escape(str(view.path))}</h3>{diagnosis_box(view)}{command}"
