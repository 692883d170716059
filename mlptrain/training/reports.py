"""What a run tells while it goes: frozen reports, from the trainer to whoever shows or stores them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunStart:
    """What is about to be trained; said once, before the first step.

    ``layers`` are the layer sizes from input to output; ``steps`` are updates an epoch;
    ``parts`` are the numbers of images for training, validation and test. A run that goes on from a checkpoint has
    finished the epochs of ``history`` and ``step`` batches of the next one.
    """

    name: str
    dataset: str
    parts: tuple[int, int, int]
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
    resumed: bool = False
    history: tuple[EpochReport, ...] = ()
    step: int = 0


@dataclass(frozen=True)
class Progress:
    """Where the current epoch stands: means over the ``step`` batches trained so far, seconds since it began.

    ``member`` is the network's number in its stack; ``seconds`` are its share of the stack's time.
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
    """The figures of a finished epoch; ``seconds`` are training and validation together.

    ``member`` is the network's number in its stack; ``seconds`` are its share of the stack's time.

    ``loss`` and ``accuracy`` are means over the epoch while the weights moved, as Keras counts them;
    the ``val_`` figures are measured after its last step and None where there is no validation part.
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
class RunEnd:
    """The result of a run; None where a figure does not exist (no epoch done, no validation part).

    ``stopped`` says why training ended before its last epoch (``time_limit``), else None.
    """

    epochs: int
    best_epoch: int | None
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float
    test_accuracy: float
    seconds: float
    samples_per_second: float | None
    stopped: str | None


@dataclass(frozen=True)
class Profile:
    """Where the time of training went: ``phases`` in seconds, which make up ``seconds``, validation included.

    ``operations`` are the additions and multiplications of the training steps' matrix products, ``peak`` those that
    large products reach a second on the same threads.
    """

    phases: dict[str, float]
    seconds: float
    operations: int
    peak: float

    @property
    def speed(self) -> float:
        """Operations a second within the products."""
        spent = self.phases.get("products", 0.0)
        return self.operations / spent if spent else 0.0

    @property
    def share_of_peak(self) -> float:
        """What all of training reached of the peak."""
        return self.operations / (self.seconds * self.peak) if self.seconds else 0.0


Report = RunStart | Progress | EpochReport | RunEnd
