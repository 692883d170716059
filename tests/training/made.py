"""Data and runs that the tests of training share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Config
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Network
from mlptrain.models.evaluation import Evaluator
from mlptrain.training.reports import EpochReport, Outcome, Progress
from mlptrain.training.trainer import Trainer, ValMetrics
from tests.made import dataset, kept, split


def square_images() -> Dataset:
    """Random images of 5 × 5 pixels, which can be moved; labels in turn, so that a network can only memorise them."""
    flat = dataset(90, 25, 3)
    return Dataset(flat.name, flat.images, flat.labels, 90, (5, 5), flat.class_names, flat.fingerprint)


SQUARES = square_images()

SQUARES_SPLIT = split(49, 30, 11)  # 49 in batches of 8: six, and a last one of a single image


class Run:
    """A network trained to the end by the `Trainer`, with all its reports and the weights after each epoch."""

    def __init__(
        self,
        settings: Config,
        data: Dataset = SQUARES,
        parts: Split = SQUARES_SPLIT,
        network: Network | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.trainer = Trainer([settings], data, parts, None if network is None else network.member(0))
        self.reports: list[EpochReport | Progress] = []
        self.epochs: list[EpochReport] = []
        self.weights_of_epochs: list[np.ndarray] = []
        for report in self.trainer.run(time_limit):
            if isinstance(report, EpochReport):
                self.epochs.append(report)
                self.weights_of_epochs.append(self.trainer.network.parameters.flat.copy())
            if isinstance(report, EpochReport | Progress):
                self.reports.append(report)
            elif isinstance(report, Outcome):
                self.outcome = report
        self.network = kept(self.outcome, self.trainer.network.architecture, settings.dtype)

    @property
    def weights(self) -> np.ndarray:
        """The parameters of the network that is kept."""
        return self.network.parameters.flat

    def series(self, metric: str) -> list[Any]:
        """A metric of every epoch."""
        return [getattr(report, metric) for report in self.epochs]


def validated(run: Run) -> tuple[float, float]:
    """Loss and accuracy of the kept network on the validation split."""
    loss, accuracy = Evaluator(run.network, SQUARES, SQUARES_SPLIT.validation).metrics()
    return float(loss[0]), float(accuracy[0])


def pretend_validation(
    monkeypatch: pytest.MonkeyPatch, losses: list[float], accuracies: list[float] | None = None
) -> None:
    """Make validation return these metrics epoch by epoch."""
    pairs = iter(zip(losses, accuracies or [0.5] * len(losses), strict=True))

    def validate(self: Trainer) -> ValMetrics:
        self.stack.refresh()
        return [next(pairs)]

    monkeypatch.setattr(Trainer, "validate", validate)
