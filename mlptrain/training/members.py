"""The best epoch so far, its weights, and whether it is time to stop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mlptrain.config.config import Config, EarlyStopping
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import State, part, under
from mlptrain.training.reports import EpochReport, Outcome, Progress


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


@dataclass
class Running:
    """Sums over the part of an epoch trained so far."""

    samples: int = 0
    loss: float = 0.0
    hits: int = 0
    seconds: float = 0.0

    def add(self, losses: Sequence[float], hits: int, samples: int) -> None:
        """Add steps by the sum of each one's losses: one by one, so that cutting an epoch in two changes no bit."""
        for loss in losses:
            self.loss += loss
        self.hits += hits
        self.samples += samples

    @property
    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the examples so far."""
        return self.loss / self.samples, self.hits / self.samples


class Member:
    """One network of a stack: what is known of it besides its weights."""

    def __init__(self, index: int, config: Config) -> None:
        self.index = index
        self.config = config
        self.patience = Patience(config.early_stopping)
        self.running = Running()
        self.last: EpochReport | None = None
        self.seconds = 0.0
        self.samples = 0
        self.diverged: str | None = None
        self.stopped: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs finished."""
        return self.last.epoch if self.last is not None else 0

    @property
    def finished(self) -> bool:
        """Whether all its epochs are done."""
        return self.epochs >= self.config.epochs

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self.finished or self.diverged is not None or self.stopped_by is not None

    @property
    def stopped_by(self) -> str | None:
        """What has ended training before its last epoch."""
        if self.stopped is None and self.patience.exhausted and not self.finished:
            return "early_stopping"
        return self.stopped

    def diverges(self, what: str) -> None:
        """Take note that a figure is not finite."""
        rate = self.config.learning_rate
        self.diverged = self.diverged or (
            f"training diverged: the {what} is not a finite number (learning_rate {rate:g})\n"
            f"try a smaller rate, learning_rate={rate / 10:g}, or weights that start smaller, init=auto"
        )

    def progress(self, step: int, steps: int) -> Progress:
        """Where the epoch stands after ``step`` of ``steps`` batches."""
        loss, accuracy = self.running.means
        return Progress(
            self.epochs + 1, self.config.epochs, step, steps, loss, accuracy, self.running.seconds, member=self.index
        )

    def end_epoch(
        self, steps: int, val_loss: float | None, val_accuracy: float | None, rate: float, validation: float
    ) -> EpochReport:
        """The epoch's figures, now that it is over; validating took ``validation`` seconds. The sums begin anew."""
        loss, accuracy = self.running.means
        epoch, epochs, seconds = self.epochs + 1, self.config.epochs, self.running.seconds + validation
        self.last = EpochReport(
            epoch, epochs, steps, loss, accuracy, val_loss, val_accuracy, rate, seconds, member=self.index
        )
        self.seconds += self.running.seconds
        self.samples += self.running.samples
        self.running = Running()
        return self.last

    @property
    def unmeasured(self) -> bool:
        """Whether the weights that would be kept now have no validation figures yet."""
        within = self.running.samples > 0 or self.last is None
        return within and self.patience.weights is None and self.diverged is None

    def outcome(
        self, network: Network, row: int, val_loss: float | None, val_accuracy: float | None, stopped: str | None
    ) -> Outcome:
        """The outcome if it ended now, its weights in ``row`` of a plain network.

        The validation figures are those of these weights, and only read where they are ``unmeasured``.
        """
        best, running, weights = self.patience.best, self.running, self.patience.weights
        kept = best if weights is not None else None if running.samples else self.last
        loss, accuracy = running.means if running.samples else (None, None)
        if kept is not None:
            loss, accuracy, val_loss, val_accuracy = kept.loss, kept.accuracy, kept.val_loss, kept.val_accuracy
        outcome = Outcome(
            epochs=self.epochs,
            best_epoch=best.epoch if best is not None else None,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=self.seconds + running.seconds,
            samples=self.samples + running.samples,
            stopped=stopped,
            weights=network.member(row) if weights is None else network.weights_of(weights),
            member=self.index,
        )
        return outcome if self.diverged is None else outcome.as_diverged(self.diverged)

    def state(self) -> State:
        """All of it: sums, the last report (as JSON), patience."""
        return {
            "seconds": self.seconds,
            "samples": self.samples,
            "last": None if self.last is None else json.dumps(asdict(self.last)),
            **under("running", asdict(self.running)),
            **under("patience", self.patience.state()),
        }

    def restore(self, state: State) -> None:
        """Continue from there, under this member's number."""
        self.seconds, self.samples = state["seconds"], state["samples"]
        self.last = None if state["last"] is None else EpochReport(**json.loads(state["last"]) | {"member": self.index})
        self.running = Running(**part("running", state))
        self.patience.restore(part("patience", state))
