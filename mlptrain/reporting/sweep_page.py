"""The HTML report of a sweep: one self-contained page, with the report of its best run."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path

from mlptrain.config.values import flow
from mlptrain.reporting.gallery import sweep_plots
from mlptrain.reporting.page import (
    code_block,
    command_block,
    heading,
    html_page,
    html_table,
    number_text,
    plot_section,
    run_sections,
    tiles,
)
from mlptrain.runs.files import SWEEP
from mlptrain.runs.finished import view_run
from mlptrain.sweeps.finished import SweepView
from mlptrain.sweeps.leaderboard import summarise_values

MAX_ROWS = 20  # rows of the leaderboard


def sweep_page(view: SweepView, data_dir: Path) -> str:
    """Return the page of a sweep, with its best run if that was kept."""
    best = view.ranked[0]
    values = ", ".join(f"{key}={flow(value)}" for key, value in best.values.items())
    file = view.path / SWEEP
    sections = [
        tiles(
            [
                (f"best {view.metric.name}", f"{best.figures[view.metric.name]:.4f}"),
                ("test accuracy of the best", number_text(best.figures.get("test_accuracy"))),
                ("trials", f"{len(view.ranked) + len(view.failed):,}"),
                ("diverged or failed", f"{len(view.failed):,}"),
            ]
        ),
        f"<p>Best: {escape(values)}</p>",
        plot_section(sweep_plots(view)),
        _values(view),
        _leaderboard(view),
    ]
    if file.is_file():
        command, text = f"mlptrain sweep {shlex.quote(str(file))}", file.read_text(encoding="utf-8")
        sections += [heading("Reproduce"), command_block(command), heading("Sweep file"), code_block(text)]
    if view.best is not None:
        sections += [heading(f"Best trial: {view.best}"), *run_sections(view_run(view.best), data_dir)]
    return html_page(str(view.path), sections)


def _values(view: SweepView) -> str:
    """Return the mean and the best metric per value of a grid; nothing for other sweeps."""
    rows = [
        [summary.key, flow(summary.value), number_text(summary.mean), number_text(summary.best), str(summary.failed)]
        for summary in summarise_values(view.keys, view.metric, (*view.ranked, *view.failed))
    ]
    heads = ("parameter", "value", f"mean {view.metric.name}", "best", "diverged or failed")
    return heading("Values of the parameters") + html_table(heads, rows) if rows else ""


def _leaderboard(view: SweepView) -> str:
    names = list(dict.fromkeys([view.metric.name, "test_accuracy", "seconds"]))
    rows = []
    for trial in view.ranked[:MAX_ROWS]:
        cells = [str(trial.rank), str(trial.trial), *(flow(value) for value in trial.values.values())]
        cells += [number_text({**trial.figures, "seconds": trial.seconds}.get(name)) for name in names]
        rows.append(cells)
    more = len(view.ranked) + len(view.failed) - len(rows)
    rest = f'<p class="muted">{more:,} more in leaderboard.csv</p>' if more else ""
    return heading("Leaderboard") + html_table(("rank", "trial", *view.keys, *names), rows) + rest
