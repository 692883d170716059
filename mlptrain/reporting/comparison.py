"""The tables of `mlptrain compare`: runs side by side, means over seeds, and tests of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from mlptrain.config.values import short
from mlptrain.reporting.text import column, counted, duration, joined, shortened
from mlptrain.runs.comparison import EXACT, METRIC, Comparison
from mlptrain.system.text import keras_number, printable

MCNEMAR = "McNemar's test: test images that only one of two runs has right"

BY_CHANCE = "p < 0.05: they differ by more than chance, as 5 % of equal models do"

MAX_VALUE = 24  # characters of a config value

MAX_NAME = 32  # characters of a run


def comparison_lines(found: Comparison, width: int) -> list[str]:
    """Return the tables in lines of at most ``width`` characters; runs that do not fit side by side follow below.

    Each metric has the difference to the first run in brackets.
    """
    names = [shortened(str(path), MAX_NAME) for path in found.runs]
    config = [[_value(value) for value in values] for values in found.config.values()]
    metrics = [
        [_metric(name, value, values[0] if number else None) for number, value in enumerate(values)]
        for name, values in found.metrics.items()
    ]
    keys = column("", (*found.config, *found.metrics), left=True)
    columns = [column(*cells) for cells in zip(names, zip(*config, *metrics, strict=True), strict=True)]
    lines = []
    while columns:
        count = max(1, sum(len(joined([keys, *columns[: end + 1]])[0]) <= width for end in range(len(columns))))
        lines += [*joined([keys, *columns[:count]]), ""]
        columns = columns[count:]
    lines += ["the runs have the same config", ""] if not found.config else []
    groups = [part for line in group_lines(found) for part in wrap(line, width, subsequent_indent="  ") or [""]]
    reasons = [part for reason in found.untested for part in wrap(f"not tested: {printable(reason)}", width)]
    return [*(shortened(line.rstrip(), width) for line in (*lines, *groups, *_test_lines(found))), *reasons]


def _value(value: object) -> str:
    return shortened(short(value), MAX_VALUE)


def _metric(name: str, value: float | None, first: float | None) -> str:
    """Return a metric, with the difference to that of the first run in brackets."""
    if value is None:
        return "-"
    if name in ("epochs", "best_epoch", "parameters"):
        return f"{value:,}" if first in (None, value) else f"{value:,} ({value - first:+,})"
    text = duration(value) if name == "seconds" else keras_number(value)
    if first is None:
        return text
    return f"{text} ({value / first:.2f}x)" if name == "seconds" and first else f"{text} ({value - first:+.4f})"


def group_lines(found: Comparison) -> Iterator[str]:
    """Yield the means over seeds, and their differences."""
    for number, group in enumerate(found.groups, start=1):
        runs = run_names(found, group.runs)
        mean = f"{group.mean:.4f} ± {group.sd:.4f}"
        yield f"group {number}: {METRIC} {mean} over {counted(len(group.runs), 'seed')} ({runs})"
    for each in found.differences:
        first, second = (number + 1 for number in each.groups)
        yield f"group {second} - group {first}: {each.difference:+.4f}, standard error {each.error:.4f}"
    if found.groups:
        yield ""


def run_names(found: Comparison, runs: Sequence[int]) -> str:
    """Return the names of runs that are given by position."""
    return ", ".join(found.runs[number].name for number in runs)


def _test_lines(found: Comparison) -> Iterator[str]:
    if found.mcnemar:
        yield MCNEMAR
        first = column("only the first", (f"{test.n10:,}" for test in found.mcnemar))
        second = column("only the second", (f"{test.n01:,}" for test in found.mcnemar))
        pairs = column("runs", (run_names(found, test.runs) for test in found.mcnemar), left=True)
        p = column("p", (f"{test.p:.2g}" for test in found.mcnemar))
        exact = ("binomial" if test.n01 + test.n10 < EXACT else "chi-square" for test in found.mcnemar)
        yield from joined([pairs, first, second, p, column("by", exact, left=True)])
        yield BY_CHANCE
