"""The training loop: epochs of mini-batch gradient descent of a stack, as a generator of frozen reports."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import numpy as np

from mlptrain.config.config import Config, batch_seed_of
from mlptrain.datasets.batches import Chunk, training_batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.backprop import untimed
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import State, Weights, part, under
from mlptrain.engine.streams import move_to, position, stream
from mlptrain.models.evaluation import Evaluator, losses_and_hits
from mlptrain.training.members import Member
from mlptrain.training.profiling import Clock
from mlptrain.training.reports import EpochReport, Outcome, Progress
from mlptrain.training.stack import Stack, stack_key

Figures = list[tuple[float | None, float | None]]


class Trainer:
    """A stack in training on the same batches, and what is decided about each member after each epoch.

    A member is named by the place of its config; one that has ended is compacted away, and the rest go on.
    ``epoch`` counts finished epochs, ``step`` the batches done of the one begun.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        dataset: Dataset,
        split: Split,
        start: Weights | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``start`` gives all networks initial weights and biases in place of those of their seeds.

        ``clock`` times the phases.

        Raises
        ------
        ValueError
            The configs cannot share a stack.
        """
        if len({stack_key(config) for config in configs}) != 1:
            raise ValueError("these configs cannot be trained in one stack: their stack keys differ")
        self.configs = tuple(configs)
        self.dataset, self.split = dataset, split
        self.batches = training_batches(configs[0], dataset, split)
        self.steps = len(self.batches)
        self.epoch = self.step = 0
        self._halted = False
        self._clock = clock
        self._timed = untimed if clock is None else clock.timed
        steps = [config.epochs * self.steps for config in configs]
        self.stack = Stack(configs, dataset.images.shape[1], dataset.classes, steps, start, self._timed)
        self._members = [Member(index, config) for index, config in enumerate(configs)]
        self._seed = batch_seed_of(configs[0])
        self._order = stream(self._seed, "batches")
        self._order_of_epoch = position(self._order)
        self._validation = self._evaluator()

    @property
    def network(self) -> Network:
        """The networks in training as they are evaluated and saved, one a row for each of ``active``."""
        return self.stack.plain

    @property
    def active(self) -> tuple[int, ...]:
        """The members still in training."""
        return tuple(member.index for member in self._members if member.diverged is None)

    def _evaluator(self) -> Evaluator | None:
        """What validates the stack as it is now, where there is a validation part."""
        return Evaluator(self.network, self.dataset, self.split.validation) if len(self.split.validation) else None

    def validate(self) -> Figures:
        """Loss and accuracy of each row on the validation part, or None and None without one."""
        self.stack.refresh()
        if self._validation is None:
            return [(None, None)] * len(self._members)
        losses, accuracies = self._validation.figures()
        return list(zip(losses.tolist(), accuracies.tolist(), strict=True))

    def run(
        self, time_limit: float | None = None, until: int | None = None
    ) -> Generator[Progress | EpochReport | Outcome, None, None]:
        """Train epoch by epoch: reports of each member after every chunk of batches, after every epoch, at its end.

        ``time_limit`` (seconds) ends training after the step in which it passes; members that it cut short have an
        outcome, and a state from which they can be continued. ``until`` pauses after so many epochs: members that
        have more to do have no outcome yet, and another ``run`` goes on. A member whose loss is not finite ends with
        an outcome that says so.
        """
        self._halted = False
        deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
        yield from self._retire()
        while self._members and (until is None or self.epoch < until):
            yield from self._train_epoch(deadline)
            if self._members and self.step == self.steps:
                yield from self._end_epoch()
                yield from self._retire()
            if self._halted:
                return
            if time.perf_counter() > deadline:
                yield from self._outcomes(self._members, "time_limit")
                return

    def halt(self) -> None:
        """End the `run` in progress after the step under way, without outcomes; may be called by a signal's handler."""
        self._halted = True

    def stop(self, member: int, why: str) -> None:
        """End a member, between two reports: its outcome, ``stopped`` for this reason, comes before the next."""
        for one in self._members:
            if one.index == member:
                one.stopped = why

    def outcome(self, member: int, stopped: str | None) -> Outcome:
        """The outcome of a member still in training as if it ended now; changes nothing."""
        (outcome,) = self._outcomes([self._members[self._row(member)]], stopped)
        return outcome

    def state(self, member: int = 0) -> State:
        """All that continuing a member exactly takes, wherever training stands between two reports."""
        row = self._row(member)
        return {
            "epoch": self.epoch,
            "step": self.step,
            "order": self._order_of_epoch,
            **under("member", self._members[row].state()),
            **under("stack", self.stack.state(row)),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue where the states, one for each config, were taken.

        Raises
        ------
        ValueError
            They were taken at different places, or from networks of another shape or other options.
        """
        first = states[0]
        for index, state in enumerate(states):
            _check_like(state, self.state(index))
            if any(state[key] != first[key] for key in ("epoch", "step", "order")):
                raise ValueError("these states were taken at different places of training, or with different batches")
        if type(first["step"]) is not int or not 0 <= first["step"] <= self.steps:
            raise ValueError(f"it was saved after step {first['step']} of an epoch that has {self.steps}")
        self.epoch, self.step, self._order_of_epoch = first["epoch"], first["step"], first["order"]
        move_to(self._order, self._order_of_epoch)
        for member, state in zip(self._members, states, strict=True):
            member.restore(part("member", state))
        self.stack.restore([part("stack", state) for state in states])

    def _row(self, member: int) -> int:
        return [one.index for one in self._members].index(member)

    def _outcomes(self, members: Sequence[Member], stopped: str | None = None) -> list[Outcome]:
        """The outcomes of some members as they stand, for this reason or, where None, for their own."""
        figures: Figures = [(None, None)] * len(self._members)
        if any(member.unmeasured for member in members):
            figures = self._timed("validation", self.validate)()
        rows = [self._row(member.index) for member in members]
        return [
            member.outcome(self.network, row, *figures[row], member.stopped_by if stopped is None else stopped)
            for row, member in zip(rows, members, strict=True)
        ]

    def _retire(self) -> Iterator[Outcome]:
        """Take the members that have ended out of the stack."""
        ended = [member for member in self._members if member.ended]
        if not ended:
            return
        outcomes = self._outcomes(ended)
        rows = [row for row, member in enumerate(self._members) if not member.ended]
        self._members = [self._members[row] for row in rows]
        if rows:
            self.stack = self.stack.keep(rows)
            self._validation = self._evaluator()
        yield from outcomes

    def _train_epoch(self, deadline: float) -> Iterator[Progress | Outcome]:
        """What is left of a pass over the training images, a chunk of batches at a time, until the deadline."""
        epoch, mark = self.epoch + 1, time.perf_counter()
        move_to(self._order, self._order_of_epoch)  # a run that was cut off within the epoch has drawn from it
        chunks = self.batches.epoch(
            self._order, lambda number: stream(self._seed, "augment", epoch, number), first=self.step
        )
        for chunk in iter(self._timed("gather", lambda: next(chunks, None)), None):
            steps, batch = chunk.labels.shape
            logits = np.empty((steps, len(self._members), chunk.y.shape[1], batch), self.network.dtype)
            step, done = self.stack.step, 0
            with np.errstate(over="ignore", invalid="ignore"):
                for x, y, z in zip(chunk.x, self.stack.targets(chunk.y), logits, strict=True):
                    step(x, y, z)
                    done += 1
                    if self._halted or time.perf_counter() > deadline:
                        break
            self._timed("metrics", self._measure)(chunk, logits[:done])
            now = time.perf_counter()
            for member in self._members:
                member.running.seconds += (now - mark) / len(self._members)
            mark = now
            going = [member for member in self._members if member.diverged is None]
            yield from [member.progress(self.step, self.steps) for member in going]
            yield from self._retire()
            if not self._members or self._halted or time.perf_counter() > deadline:
                return

    def _measure(self, chunk: Chunk, logits: np.ndarray) -> None:
        """Add the figures of the steps that left ``logits``, against the labels themselves, unsmoothed."""
        architecture, (steps, _, _, batch) = self.network.architecture, logits.shape
        y, labels = chunk.y[:steps, np.newaxis], chunk.labels[:steps, np.newaxis]
        losses, hits = losses_and_hits(architecture.loss, architecture.output, logits, y, labels)
        with np.errstate(over="ignore"):
            sums = losses.sum(axis=2, dtype=np.float64)
        finite, counts = np.isfinite(sums), hits.sum(axis=(0, 2)).tolist()
        for row, member in enumerate(self._members):
            if not finite[:, row].all():
                first = self.step + int(finite[:, row].argmin()) + 1
                member.diverges(f"loss at step {first} of {self.steps} in epoch {self.epoch + 1}")
            member.running.add(sums[:, row].tolist(), counts[row], steps * batch)
        self.step += steps
        if self._clock is not None:
            self._clock.examples += steps * batch * len(self._members)

    def _end_epoch(self) -> list[EpochReport]:
        """Validate, and let each member's schedule and patience take notice."""
        began = time.perf_counter()
        figures = self._timed("validation", self.validate)()
        seconds = (time.perf_counter() - began) / len(self._members)
        reports = []
        for row, (member, (val_loss, val_accuracy)) in enumerate(zip(self._members, figures, strict=True)):
            if val_loss is not None and not math.isfinite(val_loss):
                member.diverges(f"validation loss after epoch {self.epoch + 1}")
                continue
            rate = float(self.stack.last_rates[row])
            report = member.end_epoch(self.steps, val_loss, val_accuracy, rate, seconds)
            member.patience.epoch(report, partial(self.network.entries, row))
            reports.append(report)
        self.stack.epoch_ended([loss for loss, _ in figures])
        self.epoch, self.step, self._order_of_epoch = self.epoch + 1, 0, position(self._order)
        return reports


def _check_like(state: State, own: State) -> None:
    """Refuse a state that has other names than this network's, or arrays of other sizes."""
    if strange := sorted(set(state) ^ set(own)):
        raise ValueError(f"a state of other options: {', '.join(strange[:3])} is only in one of the two")
    for key, value in own.items():
        found = state[key]
        if isinstance(value, np.ndarray) and (
            not isinstance(found, np.ndarray) or found.shape != value.shape or found.dtype != value.dtype
        ):
            raise ValueError(f"a state of another network: {key} is not {value.size} numbers of {value.dtype}")
