"""The training loop: epochs of mini-batch gradient descent of a stack, as a generator of reports."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import numpy as np

from mlptrain.config.config import Config, batch_seed_of
from mlptrain.datasets.batches import Batches, Chunk, training_batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.arrays import Floats
from mlptrain.engine.backprop import untimed
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Weights
from mlptrain.engine.state import State, add_prefix, select_prefix
from mlptrain.engine.streams import restore_generator, save_generator, stream
from mlptrain.models.evaluation import Evaluator, score_examples
from mlptrain.training.members import Member
from mlptrain.training.profiling import Clock
from mlptrain.training.reports import PROBE_IMAGES, TIME_LIMIT, EpochReport, LayersReport, Outcome, Progress
from mlptrain.training.stack import Stack, stack_key

ValMetrics = list[tuple[float | None, float | None]]
"""Validation loss and accuracy of each network of a stack."""


class Trainer:
    """The loop that trains a stack of networks on the same batches, and removes each network that has ended.

    A member is named by the index of its config. ``epoch`` counts the finished epochs, ``step`` the finished batches of
    the current one, and ``steps`` the batches per epoch.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        dataset: Dataset,
        split: Split,
        start: Weights | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``start`` are initial weights and biases for all networks, in place of random ones; ``clock`` times phases.

        Raises
        ------
        ValueError
            The configs cannot share a stack.
        """
        if len({stack_key(config) for config in configs}) != 1:
            raise ValueError("these configs cannot train in one stack: their stack keys differ")
        self.configs = tuple(configs)
        self.dataset, self.split = dataset, split
        self.batches = training_batches(configs[0], dataset, split)
        self.steps = len(self.batches)
        probe = split.train[:PROBE_IMAGES]
        self._probe = next(Batches(dataset, probe, len(probe), dataset.classes, configs[0].dtype).epoch())
        self.epoch = self.step = 0
        self._clock = clock
        self._timed = untimed if clock is None else clock.timed
        steps = [config.epochs * self.steps for config in configs]
        self.stack = Stack(configs, dataset.images.shape[1], dataset.classes, steps, start, self._timed)
        self._members = [Member(index, config) for index, config in enumerate(configs)]
        self._seed = batch_seed_of(configs[0])
        self._order = stream(self._seed, "batches")
        self._order_of_epoch = save_generator(self._order)
        self._evaluator = self._make_evaluator()
        self._halted = False
        self._deadline = math.inf

    @property
    def network(self) -> Network:
        """Plain networks with the weights that are evaluated and saved, one row for each network in training."""
        return self.stack.plain

    @property
    def active(self) -> tuple[int, ...]:
        """The members still in training."""
        return tuple(member.index for member in self._members if member.diverged is None)

    def _make_evaluator(self) -> Evaluator | None:
        """Return the evaluator of the current stack on the validation split; None if that is empty."""
        return Evaluator(self.network, self.dataset, self.split.validation) if len(self.split.validation) else None

    def validate(self) -> ValMetrics:
        """Return loss and accuracy of each row on the validation split, or (None, None) without one."""
        self.stack.refresh()
        if self._evaluator is None:
            return [(None, None)] * len(self._members)
        losses, accuracies = self._evaluator.metrics()
        return list(zip(losses.tolist(), accuracies.tolist(), strict=True))

    def run(
        self, time_limit: float | None = None, until: int | None = None
    ) -> Generator[Progress | LayersReport | EpochReport | Outcome, None, None]:
        """Train, and yield reports of each member: after every chunk of batches, after every epoch, at its end.

        The layers of an epoch are reported just before its `EpochReport`, those of the initial weights first of all.

        After ``time_limit`` seconds training ends with the current step: every member has an outcome, and a state from
        which it can be continued. After the epoch ``until`` it pauses: members that have not ended have no outcome, and
        another ``run`` continues. A member that diverges has an outcome that says so.
        """
        self._halted = False
        self._deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
        if self.epoch == self.step == 0:
            yield from self._measure_layers(0)
        yield from self._retire()
        while self._members and (until is None or self.epoch < until):
            yield from self._train_epoch()
            if self._members and self.step == self.steps:
                yield from self._end_epoch()
                yield from self._retire()
            if self._halted:
                return
            if time.perf_counter() > self._deadline:
                yield from self._outcomes(self._members, TIME_LIMIT)
                return

    def halt(self) -> None:
        """End the current `run` after the current step, without outcomes; safe to call from a signal handler."""
        self._halted = True

    def outcome(self, member: int, stopped: str) -> Outcome:
        """Return the outcome of an active member if it ended now for the reason ``stopped``; nothing changes."""
        (outcome,) = self._outcomes([self._members[self._row(member)]], stopped)
        return outcome

    def state(self, member: int = 0) -> State:
        """Return everything from which a member can be continued to the same bytes, between any two reports."""
        row = self._row(member)
        return {
            "epoch": self.epoch,
            "step": self.step,
            "order": self._order_of_epoch,
            **add_prefix("member", self._members[row].state()),
            **add_prefix("stack", self.stack.state(row)),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue from the states, one per config, which were all taken after the same step.

        Raises
        ------
        ValueError
            The states are of different steps, or of networks of another shape or with other options.
        """
        first = states[0]
        for index, state in enumerate(states):
            _check_fits(state, self.state(index))
            if any(state[key] != first[key] for key in ("epoch", "step", "order")):
                raise ValueError("these states are of different steps or of different batches")
        if type(first["step"]) is not int or not 0 <= first["step"] <= self.steps:
            raise ValueError(f"it was saved after step {first['step']} of an epoch that has {self.steps}")
        self.epoch, self.step, self._order_of_epoch = first["epoch"], first["step"], first["order"]
        restore_generator(self._order, self._order_of_epoch)
        for member, state in zip(self._members, states, strict=True):
            member.restore(select_prefix("member", state))
        self.stack.restore([select_prefix("stack", state) for state in states])

    def _row(self, member: int) -> int:
        return [one.index for one in self._members].index(member)

    def _outcomes(self, members: Sequence[Member], stopped: str | None = None) -> list[Outcome]:
        """Return the outcomes of some members if they ended now, for the reason ``stopped`` or their own."""
        metrics: ValMetrics = [(None, None)] * len(self._members)
        if any(member.needs_validation for member in members):
            metrics = self._timed("validation", self.validate)()
        return [
            member.outcome(self.network, row, *metrics[row], stopped or member.stopped)
            for row, member in enumerate(self._members)
            if member in members
        ]

    def _retire(self) -> Iterator[Outcome]:
        """Remove the members that have ended from the stack, and yield their outcomes."""
        ended = [member for member in self._members if member.ended]
        if not ended:
            return
        outcomes = self._outcomes(ended)
        rows = [row for row, member in enumerate(self._members) if not member.ended]
        self._members = [self._members[row] for row in rows]
        if rows:
            self.stack = self.stack.keep(rows)
            self._evaluator = self._make_evaluator()
        yield from outcomes

    def _is_interrupted(self) -> bool:
        return self._halted or time.perf_counter() > self._deadline

    def _train_epoch(self) -> Iterator[Progress | Outcome]:
        """Train on the remaining batches of the epoch, chunk by chunk, until the end or an interruption."""
        mark = time.perf_counter()
        restore_generator(self._order, self._order_of_epoch)  # an interrupted epoch is drawn again
        augment = partial(stream, self._seed, "augment", self.epoch + 1)
        chunks = self.batches.epoch(self._order, augment, first=self.step)
        for chunk in iter(self._timed("gather", lambda: next(chunks, None)), None):
            steps, batch = chunk.labels.shape
            logits = np.empty((steps, len(self._members), chunk.y.shape[1], batch), self.network.dtype)
            step, done = self.stack.step, 0
            with np.errstate(over="ignore", invalid="ignore"):
                for x, y, z in zip(chunk.x, self.stack.targets(chunk.y), logits, strict=True):
                    step(x, y, z)
                    done += 1
                    if self._is_interrupted():
                        break
            self._timed("metrics", self._measure)(chunk, logits[:done])
            now = time.perf_counter()
            for member in self._members:
                member.running.seconds += (now - mark) / len(self._members)
            mark = now
            yield from [member.progress(self.step, self.steps) for member in self._members if member.diverged is None]
            yield from self._retire()
            if not self._members or self._is_interrupted():
                return

    def _measure(self, chunk: Chunk, logits: Floats) -> None:
        """Add loss and accuracy of the steps that wrote ``logits``, with respect to the labels without smoothing."""
        architecture, (steps, _, _, batch) = self.network.architecture, logits.shape
        y, labels = chunk.y[:steps, np.newaxis], chunk.labels[:steps, np.newaxis]
        losses, hits = score_examples(architecture.loss, architecture.output, logits, y, labels)
        with np.errstate(over="ignore"):
            sums = losses.sum(axis=2, dtype=np.float64)
        finite, counts = np.isfinite(sums), hits.sum(axis=(0, 2)).tolist()
        for row, member in enumerate(self._members):
            if not finite[:, row].all():
                first = self.step + int(finite[:, row].argmin()) + 1
                member.diverge(f"loss at step {first} of {self.steps} in epoch {self.epoch + 1}")
            member.running.add(sums[:, row].tolist(), counts[row], steps * batch)
        self.step += steps
        if self._clock is not None:
            self._clock.examples += steps * batch * len(self._members)

    def _measure_layers(self, epoch: int) -> list[LayersReport]:
        """Return the statistics of each member's layers after an epoch; nothing changes."""
        found = self._timed("layers", self.stack.layers)(self._probe.x[0], self._probe.y[0])
        return [LayersReport(epoch, layers, member.index) for member, layers in zip(self._members, found, strict=True)]

    def _end_epoch(self) -> list[LayersReport | EpochReport]:
        """Validate, report the epoch of each member, and tell schedules and early stopping about it."""
        began = time.perf_counter()
        metrics = self._timed("validation", self.validate)()
        seconds = (time.perf_counter() - began) / len(self._members)
        layers = self._measure_layers(self.epoch + 1)
        reports: list[LayersReport | EpochReport] = []
        for row, (member, (val_loss, val_accuracy)) in enumerate(zip(self._members, metrics, strict=True)):
            if val_loss is not None and not math.isfinite(val_loss):
                member.diverge(f"validation loss after epoch {self.epoch + 1}")
                continue
            report = member.end_epoch(
                self.steps,
                seconds,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                learning_rate=float(self.stack.last_rates[row]),
            )
            member.patience.update(report, partial(self.network.flatten, row))
            reports += [layers[row], report]
        self.stack.end_epoch([val_loss for val_loss, _ in metrics])
        self.epoch, self.step, self._order_of_epoch = self.epoch + 1, 0, save_generator(self._order)
        return reports


def _check_fits(state: State, own: State) -> None:
    """Check that a state has the keys of this network's state, and arrays of the same sizes and types."""
    if unknown := sorted(set(state) ^ set(own)):
        raise ValueError(f"a state of other options: {', '.join(unknown[:3])} is only in one of the two")
    for key, value in own.items():
        found = state[key]
        if isinstance(value, np.ndarray) and (
            not isinstance(found, np.ndarray) or found.shape != value.shape or found.dtype != value.dtype
        ):
            raise ValueError(f"a state of another network: {key} is not {value.size} numbers of {value.dtype}")
