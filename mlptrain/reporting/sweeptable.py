"""A sweep in lines of text: a trial, the leaderboard, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlptrain.reporting.live import clock, duration
from mlptrain.reporting.plain import counted, keras_number
from mlptrain.sweeps.importance import BINS, LEAST
from mlptrain.sweeps.leaderboard import HALVED, Leaderboard, Result, Row
from mlptrain.sweeps.reports import Retry, SweepEnd, SweepStart, WaveStart
from mlptrain.sweeps.trials import short

GAP = "  "
WIDEST_VALUE = 24
SHARE_BAR = 20


def start_lines(start: SweepStart) -> list[list[str]]:
    """What is about to be tried, as the phrases of each line."""
    count = "trials as they are sampled" if start.trials is None else counted(start.trials, "trial")
    repeats = [f"each point with {start.repeat} seeds"] if start.repeat > 1 else []
    done = [f"{start.done} of them done before"] if start.done else []
    goal = "highest" if start.metric.sign > 0 else "lowest"
    return [
        [f"{start.name}: {count} of {start.base}", *repeats, *done],
        [f"{start.method} over {', '.join(start.keys) or 'nothing'}", f"the {goal} {start.metric.name} is the best"],
    ]


def wave_phrases(wave: WaveStart) -> list[str]:
    """What trains now."""
    until = [] if wave.until is None else [f"up to epoch {wave.until}"]
    return [
        f"{counted(wave.trials, 'trial')} in {counted(wave.stacks, 'stack')}",
        f"{counted(wave.workers, 'worker')} with {counted(wave.threads, 'thread')} each",
        *until,
    ]


def parameters(values: Mapping[str, Any]) -> str:
    """``learning_rate=0.1 hidden=[30]``."""
    return " ".join(f"{key}={short(value)}" for key, value in values.items())


def trial_line(result: Result, metric: str, *, best: bool) -> str:
    """A finished trial: number, metric (marked where it is the best so far), time, parameters."""
    figure = result.metrics.get(metric)
    text = result.status if result.failed or figure is None else keras_number(float(figure)) + ("*" if best else " ")
    note = f" (halved after {counted(result.metrics['epochs'], 'epoch')})" if result.status == HALVED else ""
    seconds = duration(result.metrics.get("seconds") or 0.0)
    return f"{result.trial:04d}{GAP}{text:>9}{GAP}{seconds:>6}{GAP}{parameters(result.values)}{note}"


def trial_heading(metric: str) -> str:
    """The heading of `trial_line`, which marks the best so far."""
    return f"trial {metric:>9} {GAP}{'time':>5}{GAP}parameters (* best so far)"


def retry_line(retry: Retry) -> str:
    """A stack that is trained again."""
    trials = ", ".join(f"{trial:04d}" for trial in retry.trials[:6]) + (", …" if len(retry.trials) > 6 else "")
    return f"{retry.reason}; trained again: {trials}"


def leaderboard_lines(board: Leaderboard, width: int, limit: int) -> list[str]:
    """A heading and the first ``limit`` rows, in columns where they fit ``width``, else the parameters at the end."""
    rows = board.rows[:limit]
    tested = [("test_acc", [_number(row.figures.get("test_accuracy")) for row in rows])]
    fixed = [("rank", [_rank(row) for row in rows]), ("trial", [f"{row.trial:04d}" for row in rows])]
    fixed.append((board.metric.name, [_figure(row) for row in rows]))
    times = [("time", [duration(row.seconds) for row in rows])]
    if any(row.status == HALVED for row in board.rows):
        times.insert(0, ("epochs", ["" if row.epochs is None else str(row.epochs) for row in rows]))
    varied = [(key, [_cut(short(row.values.get(key))) for row in rows]) for key in board.keys]
    for columns in ([*fixed, *tested, *times, *varied], [*fixed, *times, *varied]):
        lines = _columns(columns)
        if max(map(len, lines)) <= width:
            return lines
    heads = _columns([*fixed, *times])
    tails = ["parameters", *(parameters({key: row.values.get(key) for key in board.keys}) for row in rows)]
    return [_ended(f"{head}{GAP}{tail}", width) for head, tail in zip(heads, tails, strict=True)]


def _columns(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Columns aligned on the right under their headings."""
    widths = [max(len(heading), *map(len, cells), 0) for heading, cells in columns]
    heading = GAP.join(heading.rjust(width) for (heading, _), width in zip(columns, widths, strict=True))
    count = len(columns[0][1])
    rows = (
        GAP.join(cells[row].rjust(width) for (_, cells), width in zip(columns, widths, strict=True))
        for row in range(count)
    )
    return [heading, *rows]


def _rank(row: Row) -> str:
    return "-" if row.rank is None else str(row.rank)


def _figure(row: Row) -> str:
    if row.figure is None:
        return row.status
    spread = "" if row.deviation is None else f" ± {row.deviation:.4f}"
    return keras_number(row.figure) + spread


def _number(value: float | None) -> str:
    return "" if value is None else keras_number(value)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST_VALUE else text[: WIDEST_VALUE - 1] + "…"


def _ended(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def importance_lines(end: SweepEnd, bar: str) -> list[str]:
    """How much of the variance of the metric each parameter explains by itself, and what that means."""
    if not end.board.keys:
        return []
    metric = end.board.metric.name
    if end.importances is None:
        return [f"which parameters mattered: too few different results to say ({LEAST} at least)"]
    width = max(map(len, end.importances))
    lines = [f"which parameters mattered: share of the variance of {metric} that each explains alone"]
    for key, share in end.importances.items():
        lines.append(f"  {key:<{width}} {share:>5.0%} {bar * round(SHARE_BAR * share)}".rstrip())
    lines.append(
        f"  (adjusted R² of its values' means, many numbers in {BINS} groups; not in it: interactions, failures)"
    )
    return lines


def end_lines(end: SweepEnd) -> list[str]:
    """Where the result lies, what failed, and how long it took."""
    lines = []
    if end.failed:
        names = ", ".join(f"{result.trial:04d} ({result.status})" for result in end.failed[:8])
        lines.append(f"{counted(len(end.failed), 'trial')} failed: {names}{', …' if len(end.failed) > 8 else ''}")
    hidden = len(end.board.rows) - 10
    more = f" ({hidden} more rows)" if hidden > 0 else ""
    lines.append(f"all trials: {end.folder}/leaderboard.csv{more}")
    if end.best is not None:
        lines.append(f"the best one: {end.best}")
    took = duration(end.seconds)
    lines.append(f"training took {took}, summed over the trials" if end.collected else f"finished in {took}")
    return lines


def remaining(done: float, total: int, before: float, elapsed: float) -> str:
    """The ETA by the trials done since the start, or nothing where there are none."""
    if done <= before or elapsed < 1:
        return ""
    return f"ETA {clock((total - done) * elapsed / (done - before))}"
