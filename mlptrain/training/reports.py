"""Reports: frozen records of the course of training, for display and files. `EpochReport` has the metrics per epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `mlptrain.runs.status` needs no NumPy
    from mlptrain.engine.layers import LayerStatistics
    from mlptrain.engine.parameters import Weights

TIME_LIMIT = "time_limit"

METRIC_NAMES = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
"""The metrics of a network: attributes of an `Outcome`, keys of ``metrics.json``, columns of a leaderboard."""


@dataclass(frozen=True)
class RunStart:
    """The network, data and length of a run, reported once before its first step.

    ``layers`` are the layer sizes from input to output, ``steps`` the updates per epoch, ``splits`` the numbers of
    images for training, validation and test. A resumed run has finished the epochs of ``history`` and ``step`` batches
    of the next one. ``start`` names the model with the initial weights. ``fresh`` is True if the run was to be resumed
    and there was nothing to resume.
    """

    name: str
    dataset: str
    splits: tuple[int, int, int]
    layers: tuple[int, ...]
    activation: str
    output: str
    loss: str
    optimizer: str
    parameters: int
    epochs: int
    steps: int
    batch_size: int
    threads: int | None
    history: tuple[EpochReport, ...] = ()
    step: int = 0
    start: str | None = None
    fresh: bool = False

    @property
    def resumed(self) -> bool:
        """True if training continues from a checkpoint."""
        return bool(self.history or self.step)


@dataclass(frozen=True)
class Progress:
    """The state of the current epoch after ``step`` of ``steps`` batches: means over them, seconds since its start.

    ``member`` is the network's number in its stack, ``seconds`` its share of the stack's time.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds: float
    member: int = 0


@dataclass(frozen=True)
class EpochReport:
    """The metrics of a finished epoch: a row of ``history.csv``, in which every metric is a column.

    ``loss`` and ``accuracy`` are means over the epoch, during which the weights change (as in Keras). The ``val_``
    metrics are measured after its last step, and None without a validation split. ``seconds`` is the time of training
    and validation, of a stack the network's share; ``member`` is the network's number in its stack.

    For another metric per epoch add a field at the end with the default None (histories of older versions lack the
    column), and its value in `Trainer._end_epoch`. The history and checkpoints contain it then; to show it, add it to
    `LAYOUTS` in ``reporting/live.py`` and to `PlainRun` in ``reporting/plain.py``.
    """

    epoch: int
    epochs: int
    steps: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    seconds: float
    member: int = 0


@dataclass(frozen=True)
class LayersReport:
    """The statistics of each layer, input side first, after an epoch, or before the first one as epoch 0.

    They are measured on the first `PROBE_IMAGES` images of the training split, and are the rows of ``layers.csv``.
    """

    epoch: int
    layers: tuple[LayerStatistics, ...]
    member: int = 0


PROBE_IMAGES = 256


@dataclass(frozen=True)
class Outcome:
    """The end of the training of one network; the metrics are those of the weights that are kept.

    ``loss`` and ``accuracy`` are means over the epoch after which the weights were kept, or over the steps done of an
    epoch that was cut short. The test metrics are None until the network is tested, the ``val_`` metrics without a
    validation split. ``seconds`` and ``samples`` count training without validation; of a stack, the network's share.
    ``stopped`` is why training ended before its last epoch: ``early_stopping``, ``time_limit`` or ``halving``.

    ``weights`` are those of the plain network. A network that diverged has neither weights nor metrics, and an error
    message in ``diverged``.
    """

    epochs: int
    best_epoch: int | None
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    samples: int
    stopped: str | None
    weights: Weights | None = field(repr=False)
    diverged: str | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    member: int = 0

    @property
    def samples_per_second(self) -> float | None:
        """Images trained on per second; None if no time was measured."""
        return self.samples / self.seconds if self.seconds > 0 else None

    def as_diverged(self, message: str) -> Outcome:
        """Return the outcome without weights and metrics, with this error message."""
        absent: dict[str, Any] = dict.fromkeys(METRIC_NAMES)
        return replace(self, **absent, weights=None, diverged=message)


Report = RunStart | Progress | LayersReport | EpochReport | Outcome


@dataclass(frozen=True)
class Profile:
    """The time of training by phase, in seconds; the phases add up to ``seconds``, validation included.

    ``operations`` counts the additions and multiplications of the matrix products of the training steps; ``peak`` is
    the number per second that large products reach on the same threads.
    """

    phases: dict[str, float]
    seconds: float
    operations: int
    peak: float

    @property
    def speed(self) -> float:
        """Operations per second within the products."""
        spent = self.phases.get("products", 0.0)
        return self.operations / spent if spent else 0.0

    @property
    def share_of_peak(self) -> float:
        """Share of the peak that training as a whole reached."""
        return self.operations / (self.seconds * self.peak) if self.seconds else 0.0
