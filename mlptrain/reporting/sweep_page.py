"""The HTML report of a sweep: one self-contained page, with the report of its best run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from mlptrain.config.values import flow, short
from mlptrain.reporting.gallery import MAX_BEST, PAIR, notes, select_trials
from mlptrain.reporting.page import (
    code_block,
    command_block,
    fact_list,
    heading,
    html_page,
    html_table,
    number_text,
    run_sections,
    tiles,
)
from mlptrain.reporting.sweep import REST
from mlptrain.reporting.sweep_svg import heat_svg, parallel_svg, parameter_svg
from mlptrain.reporting.text import counted, duration, shortened
from mlptrain.runs.files import CONFIG, SWEEP
from mlptrain.runs.finished import view_run
from mlptrain.sweeps.finished import SweepView
from mlptrain.sweeps.importance import MIN_TRIALS, trials_needed
from mlptrain.sweeps.leaderboard import Row, summarise_values
from mlptrain.sweeps.shell import train_command
from mlptrain.sweeps.trials import HALVED, PAUSED, trial_name
from mlptrain.sweeps.watch import resume_commands
from mlptrain.system.lock import is_in_use
from mlptrain.system.text import keras_number, shell_line, shell_word

FIRST_ROWS = 20  # of the leaderboard, shown at once

MAX_LISTED = 20  # trials that diverged or failed, with their reasons

MAX_REASON, MAX_VALUE, MAX_VALUES = 160, 24, 120  # characters

_FACTS = "facts metrics"  # CSS classes of the parameters and metrics of the best trial

_HOME = Path(__file__).parent

_CSS = (_HOME / "sweep_page.css").read_text(encoding="utf-8")

_PART = re.compile("(?<=[._])")

_SCRIPT = (_HOME / "parallel.js").read_text(encoding="utf-8")


def sweep_page(view: SweepView, data_dir: Path) -> str:
    """Return the page of a sweep, also while it is running, with its best run if that was kept."""
    return html_page(str(view.path), [*_sections(view, data_dir)], _CSS)


def _sections(view: SweepView, data_dir: Path) -> Iterator[str]:
    yield f'<p class="summary">{escape(_summary(view))}</p>'
    if view.ended < view.trials:
        yield _progress(view)
    best = view.ranked[0] if view.ranked else None
    yield tiles(
        [
            (f"best {view.board.metric.name}", number_text(best and best.figure)),
            ("its test accuracy", number_text(best and best.figures.get("test_accuracy"))),
            ("trials", f"{view.ended:,}"),
            ("diverged or failed", f"{len(view.failed):,}"),
            ("training", duration(sum(row.seconds for row in view.board.rows))),
        ]
    )
    if best is None:
        yield f"<p>No trial has a {escape(view.board.metric.name)} yet.</p>"
    else:
        yield _best(view, best, data_dir)
        yield from _explorer(view)
        yield _values(view)
    yield _failed(view)
    file = view.path / SWEEP
    if file.is_file():
        command, text = f"mlptrain sweep {shell_word(str(file))}", file.read_text(encoding="utf-8")
        yield heading("Reproduce") + command_block(command) + heading("Sweep file") + code_block(text)
    if view.best is not None:
        yield heading(f"Best run: {view.best}")
        yield from run_sections(view_run(view.best), data_dir)


def _summary(view: SweepView) -> str:
    metric, keys = view.board.metric, view.board.keys
    ranking = f"ranked by the {'highest' if metric.sign > 0 else 'lowest'} {metric.name}"
    method = "collected runs" if view.spec is None else view.spec.method
    repeats = f", each point with {view.board.repeat} seeds" if view.board.repeat > 1 else ""
    return f"{method}, {counted(len(keys), 'parameter')}{repeats}, {ranking}"


def _progress(view: SweepView) -> str:
    """Return how much of the sweep is done, and the command that resumes it if it is not running."""
    paused = sum(row.status == PAUSED for row in view.board.rows)
    waiting = f", {paused:,} more are paused until their next rung" if paused else ""
    commands = "\n".join(resume_commands(view.path, Path("runs")))
    if is_in_use(view.path):
        text = "<p>The sweep is running. This page shows the results so far; write it again for newer ones.</p>"
    elif commands:
        text = f"<p>The sweep was interrupted. Resume it, with the options that it had:</p>{command_block(commands)}"
    else:
        text = "<p>The sweep ended early, because its method found no more points.</p>"
    return (
        f'<div class="progress"><b>{view.ended:,} of {view.trials:,} trials have ended{waiting}</b>'
        f'<progress value="{view.ended}" max="{view.trials}"></progress>{text}</div>'
    )


def _best(view: SweepView, best: Row, data_dir: Path) -> str:
    """Return all about the best trial: its parameters, its metrics and the command that trains it."""
    names = dict.fromkeys([view.board.metric.name, *best.figures])
    metrics = [(name, number_text(best.figures.get(name))) for name in names]
    metrics += [("epochs", number_text(best.epochs, "")), ("time", duration(best.seconds))]
    if view.spec is not None and view.config is not None:
        command = train_command(view.spec, view.config, data_dir)
    else:
        command = shell_line(["mlptrain", "train", str(view.best / CONFIG)]) if view.best else ""
    again = f"<p>Train it again:</p>{command_block(command)}" if command else ""
    mean = f", means of {counted(best.repeats, 'seed')}" if view.board.repeat > 1 else ""
    title = heading(f"Best trial: {trial_name(best.best_trial)}{mean}")
    return title + fact_list(metrics, _FACTS) + again + _parameters(view, best)


def _parameters(view: SweepView, best: Row) -> str:
    """Return the parameters of the best trial and their importance, side by side if it is known."""
    values, title = [(key, short(value)) for key, value in best.values.items()], heading("Its parameters")
    if not values:
        return ""
    if view.importances is None:
        return title + fact_list(values, _FACTS) + _importance(view)
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in values)
    table = f"<div>{title}<table>{rows}</table></div>"
    return f'<div class="pair best-trial">{table}<div>{_importance(view)}</div></div>'


def _importance(view: SweepView) -> str:
    title, metric, shares = heading("Parameter importance"), view.board.metric.name, view.importances
    if shares is None:
        needed = max(MIN_TRIALS, trials_needed(len(view.board.keys)))
        text = f"Not known: this needs a complete grid or at least {needed} trials with a metric."
        return f'{title}<p class="muted">{text}</p>'
    bars = [("", *item) for item in shares.items()]
    bars += [(' class="rest"', REST, max(0.0, 1 - sum(shares.values())))]
    rows = "".join(
        f"<tr{kind}><th>{escape(name)}</th>"
        f'<td><div style="width:{100 * share:.1f}%"></div></td><td>{share:.0%}</td></tr>'
        for kind, name, share in bars
    )
    return (
        f'{title}<p class="muted">The share of the variance of {escape(metric)} that each parameter explains alone, '
        f"over the values that were tried. The rest is due to combinations of parameters and to chance.</p>"
        f'<table class="importance">{rows}</table>'
    )


def _explorer(view: SweepView) -> Iterator[str]:
    """Yield the plots and the leaderboard, which the script connects."""
    if not view.board.keys:
        yield _leaderboard(view)
        return
    drawn, note, metric = select_trials(view), escape(notes(view)), view.board.metric.name
    if len(view.board.keys) > 1:
        lines = 2 + (len(view.board.keys) - 1) // 6  # of text about a trial in a wide window
        yield heading("All parameters together")
        yield (
            f'<p class="muted">One line per trial, through its parameters to its {escape(metric)}. '
            f"The stronger the colour of a line, the better its rank; the best is thick.{note}</p>"
            f'<div class="coordinates">{parallel_svg(drawn)}</div>'
            f'<p class="trial muted" role="status" style="min-height:{lines * 1.5}em" hidden>'
            "Point at a line or tap it to see its trial. Drag along an axis to filter the trials, here and below. "
            "Arrow keys do the same; Escape ends it.</p>"
            '<p class="filter" hidden><span role="status"></span><button type="button">Clear filter</button></p>'
        )
    yield _leaderboard(view)
    yield heading(f"{metric} against each parameter")
    yield f'<p class="muted">One point per trial; the large one is the best.{note}</p>'
    panels = [f"<figure><h3>{escape(key)}</h3>{parameter_svg(drawn, key)}</figure>" for key in view.board.keys]
    if set(view.board.keys) >= PAIR:
        panels.append(f"<figure><h3>Best per learning_rate × batch_size</h3>{heat_svg(view)}</figure>")
    yield f'<div class="parameters{" four" if len(panels) == 4 else ""}">{"".join(panels)}</div>'
    if len(view.board.keys) > 1:
        yield f'<script>"use strict";\n{_SCRIPT}exploreTrials(document.querySelector("main"));\n</script>'


def _leaderboard(view: SweepView) -> str:
    metric, halving = view.board.metric.name, any(row.status in (HALVED, PAUSED) for row in view.board.rows)
    tested = [] if metric == "test_accuracy" else ["test_accuracy"]
    heads = ["rank", metric, *view.board.keys, *tested, *(["epochs"] if halving else []), "time", "status", "trial"]
    lines = []
    for number, (row, score) in enumerate(zip(view.ranked[:MAX_BEST], view.scores, strict=False)):
        deviation = "" if row.deviation is None else f" ± {row.deviation:.4f}"
        status = row.status if view.board.repeat in (1, row.repeats) else f"{row.status}, {row.repeats} seeds"
        cells = [str(row.rank), keras_number(score) + deviation]
        cells += [_value(row.values.get(key)) for key in view.board.keys]
        cells += [number_text(row.figures.get(name)) for name in tested] + (
            [number_text(row.epochs, "")] if halving else []
        )
        cells += [duration(row.seconds), status, trial_name(row.trial)]
        kind = ' class="more"' if number >= FIRST_ROWS else ""
        lines.append(f'<tr{kind} data-trial="{row.trial}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>')
    # Names may break after their parts, so that columns are as narrow as their values.
    head = "".join(f"<th>{_PART.sub('<wbr>', escape(name))}</th>" for name in heads)
    table = f'<div class="scroll leaderboard"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
    more = f'<p><label><input type="checkbox"> Show {len(lines)} rows</label></p>' if len(lines) > FIRST_ROWS else ""
    hidden = len(view.ranked) - len(lines)
    more += f'<p class="muted">{hidden:,} more in leaderboard.csv</p>' if hidden else ""
    return heading("Leaderboard") + table + more


def _value(value: object) -> str:
    """Return a value for a narrow column, with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else shortened(short(value), MAX_VALUE)


def _values(view: SweepView) -> str:
    """Return the mean and the best metric per value of a grid; nothing for other sweeps."""
    metric = view.board.metric
    rows = [
        [summary.key, flow(summary.value), number_text(summary.mean), number_text(summary.best), str(summary.failed)]
        for summary in summarise_values(view.board.keys, metric, view.board.rows)
    ]
    heads = ("parameter", "value", f"mean {metric.name}", "best", "diverged or failed")
    return heading("Values of the parameters") + html_table(heads, rows, "wide") if rows else ""


def _failed(view: SweepView) -> str:
    """Return the trials that diverged or failed, with their reasons."""
    if not view.failed:
        return ""
    items = []
    for trial in view.failed[:MAX_LISTED]:
        reason = shortened((trial.message or "reason unknown").partition("\n")[0], MAX_REASON)
        values = shortened(" ".join(f"{key}={short(value)}" for key, value in trial.values.items()), MAX_VALUES)
        items.append(
            f"<li><b>{trial_name(trial.trial)} {escape(trial.status)}</b>: {escape(reason)}"
            f'<br><span class="muted">{escape(values)}</span></li>'
        )
    hidden = len(view.failed) - len(items)
    more = f'<p class="muted">{counted(hidden, "more trial")}</p>' if hidden else ""
    return f'{heading("Diverged and failed trials")}<ul class="failures">{"".join(items)}</ul>{more}'
