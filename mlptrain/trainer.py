"""The training loop: epochs of mini-batch gradient descent as a generator of frozen reports."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mlptrain.config import Config
from mlptrain.datasets.augment import Augmentation
from mlptrain.datasets.batches import CHUNK, Batches, Chunk
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Architecture, Network
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.errors import ConfigError, DivergedError
from mlptrain.evaluation import BATCH as EVALUATION_BATCH
from mlptrain.evaluation import Evaluator, losses_and_hits
from mlptrain.memory import available_memory, format_bytes
from mlptrain.patience import Patience
from mlptrain.reports import EpochReport, Progress
from mlptrain.stack import Stack, Weights
from mlptrain.streams import stream


@dataclass(frozen=True)
class Outcome:
    """Where training ended; the figures belong to the weights that are kept.

    ``loss`` and ``accuracy`` are running means over the epoch after which the weights were kept (over the epoch
    that a time limit cut short, where it did), ``seconds`` and ``samples`` what training itself took and saw,
    validation not counted.
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


def batch_size_of(config: Config, images: int) -> int:
    """Examples a step: the config's batch size, or all ``images`` where it is ``full`` or larger."""
    return images if config.batch_size == "full" else min(config.batch_size, images)


def check_memory(config: Config, architecture: Architecture, images: int) -> None:
    """Refuse, before anything is allocated, a network that would not fit in the memory available.

    Counted are the parameters with gradients, optimiser state, averages and the copies that are saved, the
    arrays a layer of a batch's activations, those of each evaluation (validation and test), and every one's
    chunk of images.

    Raises
    ------
    ConfigError
        With the memory that training would take and what is available.
    """
    size, batch = np.dtype(config.dtype).itemsize, batch_size_of(config, images)
    copies = 3 + OPTIMIZERS[config.optimizer].states
    copies += config.batch_norm + 2 * (config.ema is not None) + (config.early_stopping is not None)
    pixels, classes = architecture.layers[0], architecture.layers[-1]
    units, image = sum(architecture.layers[1:]), pixels + size * (pixels + 2 * classes)
    arrays = 3 + (config.activation in ("gelu", "silu")) + config.batch_norm + 3 * (config.dropout != 0.0)
    needed = size * (copies * architecture.parameters + (arrays * batch + 4 * EVALUATION_BATCH) * units)
    needed += image * (max(CHUNK, batch) * (1 + (config.augment is not None)) + 2 * CHUNK)
    needed += 3 * size * batch * pixels * (config.input_dropout > 0)
    available = available_memory()
    if available is not None and needed > available:
        raise ConfigError(
            f"hidden {list(config.hidden)} with batch_size {config.batch_size} takes {format_bytes(needed)} "
            f"of memory; {format_bytes(available)} are available\n"
            "make the hidden layers or the batch smaller"
        )


def augmentation_of(config: Config) -> Augmentation | None:
    """The config's augmentation, or None where images stay as they are."""
    if config.augment is None:
        return None
    values = config.augment.model_dump(exclude={"elastic"})
    elastic = config.augment.elastic
    if elastic is not None:
        values |= {"elastic_alpha": elastic.alpha, "elastic_sigma": elastic.sigma}
    return Augmentation(**values)


def training_batches(config: Config, dataset: Dataset, split: Split) -> Batches:
    """The training part in batches of the config's size and type, augmented as it says."""
    size = batch_size_of(config, len(split.train))
    return Batches(dataset, split.train, size, dataset.classes, config.dtype, augmentation_of(config))


def batch_seed_of(config: Config) -> int:
    """The seed of batch order and augmentation: ``batch_seed``, else ``seed``."""
    return config.seed if config.batch_seed is None else config.batch_seed


@dataclass
class _Running:
    """Sums over the part of an epoch trained so far."""

    steps: int = 0
    samples: int = 0
    loss: float = 0.0
    hits: int = 0

    def add(self, losses: np.ndarray, hits: np.ndarray) -> None:
        """Add examples: ``losses`` and ``hits`` are (steps, K = 1, batch)."""
        self.steps += len(losses)
        self.samples += losses.size
        self.loss += float(losses.sum(dtype=np.float64))
        self.hits += int(hits.sum())

    @property
    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the examples so far."""
        return self.loss / self.samples, self.hits / self.samples


class Trainer:
    """One run: a stack of one network, its batches, and what is decided after each epoch."""

    def __init__(self, config: Config, dataset: Dataset, split: Split, start: Weights | None = None) -> None:
        self.config = config
        self.batches = training_batches(config, dataset, split)
        pixels = dataset.images.shape[1]
        self.stack = Stack([config], pixels, dataset.classes, config.epochs * len(self.batches), start)
        self.network: Network = self.stack.plain
        self.validation = Evaluator(self.network, dataset, split.validation) if len(split.validation) else None
        self.seed = batch_seed_of(config)
        self.order = stream(self.seed, "batches")
        self.patience = Patience(config.early_stopping)

    def validate(self) -> tuple[float | None, float | None]:
        """Loss and accuracy on the validation part, or None and None without one."""
        self.stack.refresh()
        if self.validation is None:
            return None, None
        loss, accuracy = self.validation.figures()
        return float(loss[0]), float(accuracy[0])

    def run(self, time_limit: float | None = None) -> Generator[Progress | EpochReport, None, Outcome]:
        """Train epoch by epoch; reports go out after every chunk of batches and after every epoch.

        ``time_limit`` (seconds) ends training after the step in which it passes. In the end ``network`` holds
        the weights to keep.

        Raises
        ------
        DivergedError
            A training or validation loss is not finite.
        """
        config, began = self.config, time.perf_counter()
        deadline = math.inf if time_limit is None else began + time_limit
        last: EpochReport | None = None
        partial: _Running | None = None
        stopped = None
        seconds, samples = 0.0, 0
        for epoch in range(1, config.epochs + 1):
            started, running = time.perf_counter(), _Running()
            for _ in self._train_epoch(epoch, running, deadline):
                elapsed = time.perf_counter() - started
                yield Progress(epoch, config.epochs, running.steps, len(self.batches), *running.means, elapsed)
            seconds += time.perf_counter() - started
            samples += running.samples
            if running.steps < len(self.batches):
                stopped, partial = "time_limit", running
                break
            last = self._end_epoch(epoch, running, started)
            yield last
            if self.patience.exhausted and epoch < config.epochs:
                stopped = "early_stopping"
                break
            if time.perf_counter() > deadline and epoch < config.epochs:
                stopped = "time_limit"
                break
        return self._outcome(last, partial, seconds, samples, stopped)

    def _end_epoch(self, epoch: int, running: _Running, started: float) -> EpochReport:
        """Validate, and let the schedule and early stopping take notice."""
        val_loss, val_accuracy = self.validate()
        self._check_finite(val_loss, f"validation loss after epoch {epoch}")
        loss, accuracy = running.means
        rate, elapsed = float(self.stack.last_rates[0]), time.perf_counter() - started
        report = EpochReport(
            epoch, self.config.epochs, running.steps, loss, accuracy, val_loss, val_accuracy, rate, elapsed
        )
        self.stack.epoch_ended([val_loss])
        self.patience.epoch(report, self.network.parameters.flat)
        return report

    def _outcome(
        self, last: EpochReport | None, partial: _Running | None, seconds: float, samples: int, stopped: str | None
    ) -> Outcome:
        """The figures of the weights that are kept: the best epoch's where they are restored, else the last."""
        epochs = last.epoch if last is not None else 0
        best_epoch = self.patience.best.epoch if self.patience.best is not None else None
        kept = last if partial is None else None
        if self.patience.weights is not None:
            kept = self.patience.best
            np.copyto(self.network.parameters.flat, self.patience.weights)
        if kept is not None:
            loss: float | None
            accuracy: float | None
            loss, accuracy, val_loss, val_accuracy = kept.loss, kept.accuracy, kept.val_loss, kept.val_accuracy
        else:
            loss, accuracy = partial.means if partial is not None else (None, None)
            val_loss, val_accuracy = self.validate()
        return Outcome(epochs, best_epoch, loss, accuracy, val_loss, val_accuracy, seconds, samples, stopped)

    def _train_epoch(self, epoch: int, running: _Running, deadline: float) -> Generator[None, None, None]:
        """One pass over the training images, a chunk of batches at a time, until the deadline."""
        for chunk in self.batches.epoch(self.order, lambda number: stream(self.seed, "augment", epoch, number)):
            steps, batch = chunk.labels.shape
            logits = np.empty((steps, 1, chunk.y.shape[1], batch), self.network.dtype)
            step, done = self.stack.step, 0
            with np.errstate(over="ignore", invalid="ignore"):
                for x, y, z in zip(chunk.x, self.stack.targets(chunk.y), logits, strict=True):
                    step(x, y, z)
                    done += 1
                    if time.perf_counter() > deadline:
                        break
            self._measure(epoch, running, chunk, logits[:done])
            yield
            if time.perf_counter() > deadline:
                return

    def _measure(self, epoch: int, running: _Running, chunk: Chunk, logits: np.ndarray) -> None:
        """Add the figures of the steps that left ``logits``, against the labels themselves, unsmoothed."""
        config, steps = self.config, len(logits)
        y, labels = chunk.y[:steps, np.newaxis], chunk.labels[:steps, np.newaxis]
        losses, hits = losses_and_hits(config.loss, self.network.architecture.output, logits, y, labels)
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(losses.sum(axis=(1, 2), dtype=np.float64))
        if bad.any():
            step = running.steps + int(bad.argmax()) + 1
            self._check_finite(math.nan, f"loss at step {step} of {len(self.batches)} in epoch {epoch}")
        running.add(losses, hits)

    def _check_finite(self, value: float | None, what: str) -> None:
        if value is not None and not math.isfinite(value):
            rate = self.config.learning_rate
            raise DivergedError(
                f"training diverged: the {what} is not a finite number (learning_rate {rate:g})\n"
                f"try a smaller rate, learning_rate={rate / 10:g}, or weights that start smaller, init=auto"
            )
