"""The training loop: epochs of mini-batch gradient descent as a generator of frozen reports."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mlptrain.config import Config
from mlptrain.datasets.batches import CHUNK, Batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Architecture, Network, TrainingPass
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer
from mlptrain.errors import ConfigError, DivergedError
from mlptrain.evaluation import BATCH as EVALUATION_BATCH
from mlptrain.evaluation import Evaluator, losses_and_hits
from mlptrain.memory import available_memory, format_bytes
from mlptrain.reports import EpochReport, Progress
from mlptrain.streams import stream


@dataclass(frozen=True)
class Outcome:
    """Where training ended; the figures belong to the weights as they are then.

    ``loss`` and ``accuracy`` are the last epoch's running means (of the epoch that a time limit cut short,
    where it did), ``seconds`` and ``samples`` what training itself took and saw, validation not counted.
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


def build_network(config: Config, inputs: int, classes: int) -> Network:
    """The config's network with its initial weights, drawn from its seed."""
    network = Network(architecture_of(config, inputs, classes), members=1, dtype=config.dtype)
    network.initialize(config.init, [stream(config.seed, "init")])
    return network


def architecture_of(config: Config, inputs: int, classes: int) -> Architecture:
    """The config's layer sizes and functions for images of ``inputs`` pixels in ``classes`` classes."""
    return Architecture((inputs, *config.hidden, classes), config.activation, config.output, config.loss)


def check_memory(config: Config, architecture: Architecture, images: int) -> None:
    """Refuse, before anything is allocated, a network that would not fit in the memory available.

    Counted are the parameters with gradients, optimiser state and the copy that is saved, three arrays a layer
    of a batch's activations, one of each evaluation's (validation and test), and every one's chunk of images.

    Raises
    ------
    ConfigError
        With the memory that training would take and what is available.
    """
    size, batch = np.dtype(config.dtype).itemsize, batch_size_of(config, images)
    copies = 3 + OPTIMIZERS[config.optimizer].states
    pixels, classes = architecture.layers[0], architecture.layers[-1]
    units, image = sum(architecture.layers[1:]), pixels + size * (pixels + 2 * classes)
    needed = size * (copies * architecture.parameters + (3 * batch + 2 * EVALUATION_BATCH) * units)
    needed += image * (max(CHUNK, batch) + 2 * CHUNK)
    available = available_memory()
    if available is not None and needed > available:
        raise ConfigError(
            f"hidden {list(config.hidden)} with batch_size {config.batch_size} takes {format_bytes(needed)} "
            f"of memory; {format_bytes(available)} are available\n"
            "make the hidden layers or the batch smaller"
        )


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
    """Everything that the steps of a run share: network, optimiser, batches and passes."""

    def __init__(self, config: Config, dataset: Dataset, split: Split, network: Network) -> None:
        self.config = config
        self.network = network
        architecture = network.architecture
        size = batch_size_of(config, len(split.train))
        self.batches = Batches(dataset, split.train, size, architecture.layers[-1], network.dtype)
        rates = {"momentum": np.array([config.momentum])}
        self.optimizer = Optimizer(config.optimizer, network, rates)
        self.passes: dict[int, TrainingPass] = {}
        self.validation = Evaluator(network, dataset, split.validation) if len(split.validation) else None
        self.order = stream(config.seed if config.batch_seed is None else config.batch_seed, "batches")

    def validate(self) -> tuple[float | None, float | None]:
        """Loss and accuracy on the validation part, or None and None without one."""
        if self.validation is None:
            return None, None
        loss, accuracy = self.validation.figures()
        return float(loss[0]), float(accuracy[0])

    def run(self, time_limit: float | None = None) -> Generator[Progress | EpochReport, None, Outcome]:
        """Train epoch by epoch; reports go out after every chunk of batches and after every epoch.

        ``time_limit`` (seconds) ends training after the step in which it passes.

        Raises
        ------
        DivergedError
            A training or validation loss is not finite.
        """
        config, began = self.config, time.perf_counter()
        deadline = math.inf if time_limit is None else began + time_limit
        reports: list[EpochReport] = []
        loss = accuracy = stopped = None
        seconds, samples = 0.0, 0
        for epoch in range(1, config.epochs + 1):
            started, running = time.perf_counter(), _Running()
            for _ in self._train_epoch(epoch, running, deadline):
                mean_loss, mean_accuracy = running.means
                yield Progress(
                    epoch,
                    config.epochs,
                    running.steps,
                    len(self.batches),
                    mean_loss,
                    mean_accuracy,
                    time.perf_counter() - started,
                )
            seconds += time.perf_counter() - started
            samples += running.samples
            loss, accuracy = running.means
            if running.steps < len(self.batches):
                stopped = "time_limit"
                break
            val_loss, val_accuracy = self.validate()
            self._check_finite(val_loss, f"validation loss after epoch {epoch}")
            reports.append(
                EpochReport(
                    epoch,
                    config.epochs,
                    running.steps,
                    loss,
                    accuracy,
                    val_loss,
                    val_accuracy,
                    config.learning_rate,
                    time.perf_counter() - started,
                )
            )
            yield reports[-1]
            if time.perf_counter() > deadline and epoch < config.epochs:
                stopped = "time_limit"
                break
        val_loss, val_accuracy = self.validate()
        return Outcome(
            len(reports), _best_epoch(reports), loss, accuracy, val_loss, val_accuracy, seconds, samples, stopped
        )

    def _train_epoch(self, epoch: int, running: _Running, deadline: float) -> Generator[None, None, None]:
        """One pass over the training images, a chunk of batches at a time, until the deadline."""
        for chunk in self.batches.epoch(self.order):
            steps, batch = chunk.labels.shape
            if batch not in self.passes:
                self.passes[batch] = TrainingPass(self.network, batch, self.optimizer.gradients)
            step, update = self.passes[batch], self.optimizer.update
            logits = np.empty((steps, 1, chunk.y.shape[1], batch), self.network.dtype)
            done = 0
            with np.errstate(over="ignore", invalid="ignore"):
                scale = self.network.dtype.type(self.config.learning_rate / batch)
                for x, y, z in zip(chunk.x, chunk.y, logits, strict=True):
                    step.forward(x, z)
                    step.backward(x, y, z, scale)
                    update()
                    done += 1
                    if time.perf_counter() > deadline:
                        break
            self._measure(epoch, running, logits[:done], chunk.y[:done], chunk.labels[:done])
            yield
            if done < steps or time.perf_counter() > deadline:
                return

    def _measure(self, epoch: int, running: _Running, logits: np.ndarray, y: np.ndarray, labels: np.ndarray) -> None:
        """Add the figures of some steps, from the weighted inputs that they left behind."""
        config = self.config
        losses, hits = losses_and_hits(config.loss, config.output, logits, y[:, np.newaxis], labels[:, np.newaxis])
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


def _best_epoch(reports: list[EpochReport]) -> int | None:
    """The epoch of the lowest validation loss, the first of several, or None without one."""
    scored = [(report.val_loss, report.epoch) for report in reports if report.val_loss is not None]
    return min(scored)[1] if scored else None
