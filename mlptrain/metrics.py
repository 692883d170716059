"""The figures of a run that has ended, as ``metrics.json`` holds them."""

from __future__ import annotations

import math
from typing import Any

from mlptrain.job import Job, versions
from mlptrain.members import Outcome
from mlptrain.reports import RunEnd
from mlptrain.threads import configured_threads


def run_end(outcome: Outcome, test_loss: float, test_accuracy: float) -> RunEnd:
    """The result of a run, with the figures of its model on the test part."""
    rate = outcome.samples / outcome.seconds if outcome.seconds > 0 else None
    return RunEnd(
        outcome.epochs,
        outcome.best_epoch,
        outcome.loss,
        outcome.accuracy,
        outcome.val_loss,
        outcome.val_accuracy,
        test_loss,
        test_accuracy,
        outcome.seconds,
        rate,
        outcome.stopped,
    )


def metrics_of(job: Job, end: RunEnd) -> dict[str, Any]:
    """The content of ``metrics.json`` but for the folder; numbers that are not finite become null."""
    figures = {
        key: getattr(end, key)
        for key in (
            "epochs",
            "best_epoch",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "test_loss",
            "test_accuracy",
        )
    }
    return {
        **{key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in figures.items()},
        "parameters": job.architecture.parameters,
        "seconds": round(end.seconds, 4),
        "samples_per_second": None if end.samples_per_second is None else round(end.samples_per_second),
        "stopped": end.stopped,
        "versions": versions(),
        "threads": configured_threads(),
        "data_fingerprint": job.dataset.fingerprint,
        "split_fingerprint": job.split.fingerprint,
    }
