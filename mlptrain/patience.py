"""The best epoch so far, its weights, and whether it is time to stop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from mlptrain.config import EarlyStopping
from mlptrain.engine.state import State
from mlptrain.reports import EpochReport


class Patience:
    """Follows an epoch figure: early stopping's ``monitor``, else the validation loss (for the record alone).

    An epoch is better where it beats the best by more than ``min_delta``; after ``patience`` epochs that are
    not, patience is ``exhausted``. ``weights`` are a copy of the best epoch's where ``restore_best`` asks for
    them, else None.
    """

    def __init__(self, rule: EarlyStopping | None) -> None:
        self._rule = rule
        self._monitor = rule.monitor if rule is not None else "val_loss"
        self._least = rule.min_delta if rule is not None else 0.0
        self._waited = 0
        self.best: EpochReport | None = None
        self.weights: np.ndarray | None = None

    def epoch(self, report: EpochReport, weights: Callable[[], np.ndarray]) -> None:
        """Take a finished epoch into account; an epoch without the figure changes nothing.

        ``weights`` makes a copy of those after it, where they are wanted.
        """
        value = getattr(report, self._monitor)
        if value is None or not math.isfinite(value):
            return
        sign = -1 if self._monitor.endswith("accuracy") else 1
        if self.best is None or sign * value < sign * getattr(self.best, self._monitor) - self._least:
            self.best, self._waited = report, 0
            if self._rule is not None and self._rule.restore_best:
                self.weights = weights()
        else:
            self._waited += 1

    @property
    def exhausted(self) -> bool:
        """Whether early stopping would stop now."""
        return self._rule is not None and self._waited >= max(1, self._rule.patience)

    def state(self) -> State:
        """The best epoch's report (as JSON) and weights, and the epochs waited since."""
        best = None if self.best is None else json.dumps(asdict(self.best))
        return {"waited": self._waited, "best": best, "weights": self.weights}

    def restore(self, state: State) -> None:
        """Continue from there."""
        self._waited, self.weights = state["waited"], state["weights"]
        self.best = None if state["best"] is None else EpochReport(**json.loads(state["best"]))
