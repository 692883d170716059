"""The learning curves of a run: its figures, a column each, over its finished epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlptrain.reports import EpochReport


@dataclass(frozen=True)
class LearningCurves:
    """An entry a finished epoch in each column; the ``val_`` columns are empty where nothing was validated.

    ``diverged`` is the epoch in which the loss was no finite number any more, None where that did not happen.
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()
    diverged: int | None = None

    @property
    def validated(self) -> bool:
        """Whether every epoch has validation figures."""
        return bool(self.val_loss)


def curves_of(reports: Sequence[EpochReport]) -> LearningCurves:
    """The curves that epoch reports tell; a report without a finite loss is the epoch that diverged."""
    diverged = next((report.epoch for report in reports if not math.isfinite(report.loss)), None)
    kept = [report for report in reports if math.isfinite(report.loss)]
    val_loss = tuple(report.val_loss for report in kept if report.val_loss is not None)
    val_accuracy = tuple(report.val_accuracy for report in kept if report.val_accuracy is not None)
    if not len(val_loss) == len(val_accuracy) == len(kept):
        val_loss, val_accuracy = (), ()
    return LearningCurves(
        tuple(report.epoch for report in kept),
        tuple(report.loss for report in kept),
        tuple(report.accuracy for report in kept),
        val_loss,
        val_accuracy,
        diverged,
    )
