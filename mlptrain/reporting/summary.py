"""The result of a run as Markdown, for the summary of a CI job, and its difference to a baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlptrain.reporting.text import counted, duration
from mlptrain.runs.diagnosis import Diagnosis
from mlptrain.runs.files import FINGERPRINTS
from mlptrain.runs.train import TrainResult
from mlptrain.system.text import keras_number, printable

Baseline = tuple[str, Mapping[str, Any]]
"""Name and metrics of the run with which another is compared."""

COMPARED = ("test_accuracy", "test_loss", "val_accuracy", "val_loss", "accuracy", "loss")

CURVE_WIDTH = 80  # characters

_MARKS = re.compile(r"([\\`*_\[\]<>&|#~$!])")


def run_summary(
    result: TrainResult, found: Diagnosis, min_accuracy: float | None = None, baseline: Baseline | None = None
) -> str:
    """Return the verdict, the metrics, their difference to the baseline, and the curves of a run."""
    from mlptrain.reporting.live import curve_lines  # imports Rich, which `mlptrain train` may not need

    metrics = result.metrics
    accuracy = metrics["test_accuracy"]
    verdict = f"test accuracy {accuracy:.4f}"
    if min_accuracy is not None:
        passed, limit = ("failed", "below") if accuracy < min_accuracy else ("passed", "at least")
        verdict = f"{passed}, {verdict} is {limit} {min_accuracy:g}"
    lines = [f"### {_literal(str(result.folder))}: {verdict}", ""]
    lines += [f"Diagnosis: {_literal(found.title)}", "", *(f"- {_literal(text)}" for text in found.evidence), ""]
    if baseline is None:
        lines += ["| metric | value |", "|---|--:|"]
    else:
        lines += [f"Baseline: {_literal('; '.join([baseline[0], *_notes(metrics, baseline[1])]))}", ""]
        lines += ["| metric | value | baseline | difference |", "|---|--:|--:|--:|"]
    for name in COMPARED:
        cells = [name, _number(metrics.get(name))]
        if baseline is not None:
            cells += [_number(baseline[1].get(name)), _difference(metrics.get(name), baseline[1].get(name))]
        lines.append(f"| {' | '.join(cells)} |")
    if curves := curve_lines(result.history, CURVE_WIDTH):
        lines += ["", "```text", *map(str, curves), "```"]
    layers = "-".join(map(str, result.model.architecture.layers))
    lines += ["", f"{layers}, {counted(metrics['epochs'], 'epoch')} in {duration(metrics['seconds'])}", "", ""]
    return "\n".join(lines)


def diverged_summary(name: str, message: str) -> str:
    """Return the verdict about a run that diverged, with the first line of the error message."""
    return f"### {_literal(name)}: failed\n\n{_literal(message.splitlines()[0])}\n\n"


def difference_lines(metrics: Mapping[str, Any], baseline: Baseline | None) -> list[str]:
    """Return lines that compare the test metrics with those of a baseline; none without one."""
    if baseline is None:
        return []
    name, before = baseline
    parts = (
        f"{key.replace('_', ' ')} {_number(before.get(key))} ({_difference(metrics.get(key), before.get(key))})"
        for key in COMPARED[:2]
    )
    return [f"baseline {name}: {', '.join(parts)}", *(f"  {note}" for note in _notes(metrics, before))]


def _notes(metrics: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return a warning if the metrics were measured on other images."""
    same = all(metrics.get(key) == before.get(key) for key in FINGERPRINTS)
    return [] if same else ["measured on other data or another split"]


def _number(value: Any) -> str:
    return keras_number(value) if isinstance(value, int | float) else ""


def _difference(value: Any, before: Any) -> str:
    numbers = isinstance(value, int | float) and isinstance(before, int | float)
    return f"{value - before:+.4f}" if numbers else ""


def _literal(text: str) -> str:
    """Return printable text without Markdown's marks."""
    return _MARKS.sub(r"\\\1", printable(text))
