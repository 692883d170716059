"""The HTML report that compares several runs on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mlptrain.config.config import plain_values
from mlptrain.config.values import differing, flow
from mlptrain.reporting.comparison import BY_CHANCE, MCNEMAR, group_lines, run_names
from mlptrain.reporting.gallery import comparison
from mlptrain.reporting.page import (
    command_block,
    command_title,
    diagnosis_box,
    heading,
    html_page,
    html_table,
    number_text,
    plot_sections,
    state_of,
    train_command,
)
from mlptrain.reporting.text import counted
from mlptrain.runs.comparison import Comparison
from mlptrain.runs.diagnosis import LearningCurves
from mlptrain.runs.finished import RunView

LOWEST = "lowest"

METRICS = {
    "test_accuracy": ("test accuracy", ".2%", 1),
    "test_loss": ("test loss", ".4f", -1),
    "val_accuracy": ("validation accuracy", ".2%", 1),
    "val_loss": ("validation loss", ".4f", -1),
    LOWEST: ("lowest validation loss in epoch", ",", 0),
    "accuracy": ("training accuracy", ".2%", 0),
    "loss": ("training loss", ".4f", 0),
    "epochs": ("finished epochs", ",", 0),
    "parameters": ("parameters", ",", 0),
    "seconds": ("training time in seconds", ".1f", 0),
}
"""The rows of the table: name, format, and 1 if the largest value is the best, -1 if the smallest is, 0 if none is."""

_DATA = ("dataset", "split", "split_seed")
"""Config keys that choose the images of validation and test."""


def comparison_page(views: Sequence[RunView], compared: Comparison) -> str:
    """Return the page that compares runs: configs, metrics, tests, learning curves and diagnoses."""
    curves = [view for view in views if view.history.epochs]
    return html_page(
        f"Comparison of {counted(len(views), 'run')}",
        [
            heading("Configurations and metrics"),
            _table(views),
            *_tests(compared),
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
    results = [view.metrics | {LOWEST: _lowest(view.history)} for view in views]
    for key, (name, form, sign) in METRICS.items():
        marked = sign and comparable and not (key.endswith("loss") and "loss" in keys)
        values = [result.get(key) for result in results]
        numbers = [sign * value for value in values if isinstance(value, int | float)]
        best = [marked and isinstance(value, int | float) and sign * value == max(numbers) for value in values]
        rows.append(_row(name, [number_text(value, form) for value in values], best))
    notes = ["" if keys else "The configurations are equal."]
    notes.append("" if comparable else "The runs have different data or splits, so no value is marked as the best.")
    head = "".join(f"<th>{escape(str(view.path))}</th>" for view in views)
    text = "".join(f'<p class="muted">{note}</p>' for note in notes if note)
    return f'{text}<div class="scroll"><table class="wide"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _tests(compared: Comparison) -> Iterator[str]:
    """Yield the means over seeds, and McNemar's test of each pair of runs."""
    if not compared.mcnemar:
        return
    yield heading("Is the difference due to chance?")
    yield "".join(f"<p>{escape(line)}</p>" for line in group_lines(compared) if line)
    yield f'<p class="muted">{escape(MCNEMAR)}. {escape(BY_CHANCE)}.</p>'
    rows = [
        [run_names(compared, test.runs), f"{test.n10:,}", f"{test.n01:,}", f"{test.p:.2g}"] for test in compared.mcnemar
    ]
    yield html_table(("runs", "only the first", "only the second", "p"), rows, "wide numbers")


def _lowest(history: LearningCurves) -> int | None:
    return history.epochs[history.best] if history.validated else None


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
