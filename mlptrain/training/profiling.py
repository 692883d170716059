"""Where the time of training goes: the phases of a trainer, timed by wrapping its functions.

Only a trainer that is watched pays for it; the engine knows nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from mlptrain.engine.backprop import TrainingPass
from mlptrain.training.reports import Profile
from mlptrain.training.trainer import Trainer

PHASES = (
    *("products", "activations", "normalisation", "dropout", "update"),
    *("gather", "metrics", "validation", "reporting"),
)

PEAK_SIZE, PEAK_TRIES = 1024, 8


class Profiler:
    """Adds up the seconds of each phase of one trainer's runs, of one network or of a stack."""

    def __init__(self) -> None:
        self.phases = dict.fromkeys(PHASES, 0.0)
        self.seconds = 0.0
        self.operations = 0
        self.dtype = np.dtype(np.float32)

    def watch(self, trainer: Trainer) -> None:
        """Have the trainer's functions timed from now on.

        What is wrapped: the products, activations, normalisation and dropout of each pass as it is made, the update,
        the batches (with augmentation: the wait for them), the figures of a chunk, and validation. Between two
        reports it is whoever takes them that works.
        """
        stack, batches = trainer.stack, trainer.batches
        self.dtype = trainer.network.dtype
        make_pass, run, epoch = stack._pass, trainer.run, batches.epoch

        def watched_pass(batch_size: int) -> TrainingPass:
            made = make_pass(batch_size)
            self._watch_pass(made)
            return made

        def watched_step(step: Callable[..., None], x: np.ndarray, *others: Any) -> None:
            step(x, *others)
            self.operations += _operations(trainer.network.architecture.layers, len(x)) * trainer.network.members

        def watched_run(*arguments: Any, **keywords: Any) -> Iterator[Any]:
            mark = time.perf_counter()
            for report in run(*arguments, **keywords):
                given = time.perf_counter()
                self.seconds += given - mark
                yield report
                mark = time.perf_counter()
                self.phases["reporting"] += mark - given
                self.seconds += mark - given
            self.seconds += time.perf_counter() - mark

        def watched_epoch(*arguments: Any, **keywords: Any) -> Iterator[Any]:
            chunks = epoch(*arguments, **keywords)
            following = self._timed("gather", lambda: next(chunks, None))
            while (chunk := following()) is not None:
                yield chunk

        step = stack.step
        for owner, name, function in (
            (stack, "_pass", watched_pass),
            (stack, "step", lambda *arguments: watched_step(step, *arguments)),
            (stack.optimizer, "update", self._timed("update", stack.optimizer.update)),
            (batches, "epoch", watched_epoch),
            (trainer, "_measure", self._timed("metrics", trainer._measure)),
            (trainer, "validate", self._timed("validation", trainer.validate)),
            (trainer, "run", watched_run),
        ):
            setattr(owner, name, function)

    def _watch_pass(self, made: TrainingPass) -> None:
        made.product = self._timed("products", made.product)
        made.flat_product = self._timed("products", made.flat_product)
        made.apply = self._timed("activations", made.apply)
        made.apply_backward = self._timed("activations", made.apply_backward)
        made.output_delta = self._timed("activations", made.output_delta)
        parts = [(layer.norm, "normalisation", ("forward", "backward")) for layer in made.hidden]
        drops = [*(layer.dropout for layer in made.hidden), made.input_dropout]
        for part, phase, names in [*parts, *((drop, "dropout", ("draw",)) for drop in drops)]:
            for name in names if part is not None else ():
                setattr(part, name, self._timed(phase, getattr(part, name)))

    def _timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        phases, clock = self.phases, time.perf_counter

        def timed(*arguments: Any, **keywords: Any) -> Any:
            began = clock()
            result = function(*arguments, **keywords)
            phases[phase] += clock() - began
            return result

        return timed

    def profile(self) -> Profile:
        """The seconds so far, beside the speed of large products that is measured here and now."""
        rest = self.seconds - sum(self.phases.values())
        phases = {name: seconds for name, seconds in self.phases.items() if seconds > 0}
        return Profile(phases | {"the rest": max(0.0, rest)}, self.seconds, self.operations, peak(self.dtype))


def _operations(layers: tuple[int, ...], batch: int) -> int:
    """Multiplications and additions of a step's products: forward, and back to weights and all but the pixels."""
    sizes = [inputs * out for inputs, out in pairwise(layers)]
    return 2 * batch * (3 * sum(sizes) - sizes[0])


def peak(dtype: np.dtype) -> float:
    """Operations a second of a product of large matrices, the best of a few, on the threads in force."""
    a = np.ones((PEAK_SIZE, PEAK_SIZE), dtype)
    out = np.empty_like(a)
    best = 0.0
    for _ in range(PEAK_TRIES):
        began = time.perf_counter()
        np.dot(a, a, out=out)
        best = max(best, 2 * PEAK_SIZE**3 / (time.perf_counter() - began))
    return best
