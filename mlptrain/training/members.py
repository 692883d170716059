"""Members: for each network of a stack its metrics so far, its best epoch, and the reason why training ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from mlptrain.config.config import Config, EarlyStopping
from mlptrain.engine.arrays import Floats
from mlptrain.engine.network import Network
from mlptrain.engine.state import State, add_prefix, select_prefix
from mlptrain.training.reports import EpochReport, Outcome, Progress


class Patience:
    """The best epoch of a network so far, and the number of epochs since.

    An epoch is better if the metric ``monitor`` beats that of the best epoch by more than ``min_delta``; after
    ``patience`` epochs that are not better, patience is ``exhausted``. ``weights`` is a copy of the best epoch's if the
    rule has ``restore_best``, otherwise None. Without a rule the validation loss decides, and training never stops.
    """

    def __init__(self, rule: EarlyStopping | None) -> None:
        self._rule = rule
        self._monitor = rule.monitor if rule is not None else "val_loss"
        self._min_delta = rule.min_delta if rule is not None else 0.0
        self._waited = 0
        self.best: EpochReport | None = None
        self.weights: Floats | None = None

    def update(self, report: EpochReport, copy_weights: Callable[[], Floats]) -> None:
        """Compare a finished epoch with the best one; without a finite metric nothing changes."""
        value = getattr(report, self._monitor)
        if value is None or not math.isfinite(value):
            return
        sign = -1 if self._monitor.endswith("accuracy") else 1
        if self.best is None or sign * value < sign * getattr(self.best, self._monitor) - self._min_delta:
            self.best, self._waited = report, 0
            if self._rule is not None and self._rule.restore_best:
                self.weights = copy_weights()
        else:
            self._waited += 1

    @property
    def exhausted(self) -> bool:
        """True if early stopping ends training now."""
        return self._rule is not None and self._waited >= max(1, self._rule.patience)

    def state(self) -> State:
        """Return the best epoch's report (as JSON) and weights, and the number of epochs since."""
        best = None if self.best is None else json.dumps(asdict(self.best))
        return {"waited": self._waited, "best": best, "weights": self.weights}

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self._waited, self.weights = state["waited"], state["weights"]
        self.best = None if state["best"] is None else EpochReport(**json.loads(state["best"]))


@dataclass
class Running:
    """Sums over the steps of the current epoch."""

    samples: int = 0
    loss: float = 0.0
    hits: int = 0
    seconds: float = 0.0

    def add(self, losses: Sequence[float], hits: int, samples: int) -> None:
        """Add steps; ``losses`` has the sum of each, one by one, so that the division into chunks changes no bit."""
        for loss in losses:
            self.loss += loss
        self.hits += hits
        self.samples += samples

    @property
    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy of the examples so far."""
        return self.loss / self.samples, self.hits / self.samples


class Member:
    """The record of one network of a stack, without its weights; ``index`` is the position of its config in the stack.

    ``seconds`` and ``samples`` are those of the finished epochs, ``running`` has those of the current one. ``diverged``
    is the error message of a network that diverged.
    """

    def __init__(self, index: int, config: Config) -> None:
        self.index = index
        self.config = config
        self.patience = Patience(config.early_stopping)
        self.running = Running()
        self.last: EpochReport | None = None
        self.seconds = 0.0
        self.samples = 0
        self.diverged: str | None = None

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return self.last.epoch if self.last is not None else 0

    @property
    def finished(self) -> bool:
        """True after the last epoch of the config."""
        return self.epochs >= self.config.epochs

    @property
    def stopped(self) -> str | None:
        """Reason why training ends before the last epoch."""
        return "early_stopping" if self.patience.exhausted and not self.finished else None

    @property
    def ended(self) -> bool:
        """True if there is nothing left to train."""
        return self.finished or self.diverged is not None or self.stopped is not None

    @property
    def kept(self) -> EpochReport | None:
        """Report of the epoch whose weights are kept if training ends now; None within an epoch.

        With ``restore_best`` that is the best epoch, also within a later one.
        """
        if self.patience.weights is not None:
            return self.patience.best
        return None if self.running.samples else self.last

    @property
    def needs_validation(self) -> bool:
        """True if the weights that are kept have not been validated."""
        return self.kept is None and self.diverged is None

    def diverge(self, metric: str) -> None:
        """Record that a metric is not finite; only the first time counts."""
        rate = self.config.learning_rate
        self.diverged = self.diverged or (
            f"training diverged: the {metric} is not finite (learning_rate {rate:g})\n"
            f"hint: try learning_rate={rate / 10:g}, or smaller initial weights with init=auto"
        )

    def progress(self, step: int, steps: int) -> Progress:
        """Return the report after ``step`` of ``steps`` batches of the epoch."""
        loss, accuracy = self.running.means
        return Progress(
            self.epochs + 1, self.config.epochs, step, steps, loss, accuracy, self.running.seconds, member=self.index
        )

    def end_epoch(self, steps: int, seconds: float, **metrics: float | None) -> EpochReport:
        """Return the report of the epoch that ends, and start the sums of the next one.

        Validation took ``seconds``; ``metrics`` are those of `EpochReport` other than the means over the epoch.
        """
        loss, accuracy = self.running.means
        self.last = EpochReport(
            epoch=self.epochs + 1,
            epochs=self.config.epochs,
            steps=steps,
            loss=loss,
            accuracy=accuracy,
            seconds=self.running.seconds + seconds,
            member=self.index,
            **metrics,  # type: ignore[arg-type]
        )
        self.seconds += self.running.seconds
        self.samples += self.running.samples
        self.running = Running()
        return self.last

    def outcome(
        self, network: Network, row: int, val_loss: float | None, val_accuracy: float | None, stopped: str | None
    ) -> Outcome:
        """Return the outcome if training ends now; the current weights are in a ``row`` of a plain ``network``.

        The validation metrics are those of these weights, and used only if the member `needs_validation`.
        """
        best, kept, running, weights = self.patience.best, self.kept, self.running, self.patience.weights
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
            weights=network.member(row) if weights is None else network.unflatten(row, weights),
            member=self.index,
        )
        return outcome if self.diverged is None else outcome.as_diverged(self.diverged)

    def state(self) -> State:
        """Return everything that changes in training: sums, the last report (as JSON), patience."""
        return {
            "seconds": self.seconds,
            "samples": self.samples,
            "last": None if self.last is None else json.dumps(asdict(self.last)),
            **add_prefix("running", asdict(self.running)),
            **add_prefix("patience", self.patience.state()),
        }

    def restore(self, state: State) -> None:
        """Continue from a state, which may be that of a member with another index."""
        self.seconds, self.samples = state["seconds"], state["samples"]
        self.last = None if state["last"] is None else EpochReport(**json.loads(state["last"]) | {"member": self.index})
        self.running = Running(**select_prefix("running", state))
        self.patience.restore(select_prefix("patience", state))
