"""Plans: which trials of a wave (those that train at the same time) share a stack, and how many stacks train at a time.

Two trials may share a stack if their configs have the same `stack_key` (``mlptrain/training/stack.py``): the same
images and batches, number of layers, functions, optimizer and dtype, and both or neither with input dropout and with
averaged weights. Such a group of trials is divided

1. into stacks that are at most `stack_width` wide, with at most `PADDING` weights of padding, or none if the networks
   are large, and
2. into more and narrower stacks, if workers would otherwise be idle.

The plan of a wave is in the journal, so that a resumed sweep keeps it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlptrain.config.config import Config
from mlptrain.datasets.batches import batch_size_of
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.engine.parameters import Architecture
from mlptrain.sweeps.trials import Trial
from mlptrain.system.machine import threads_for
from mlptrain.training.memory import check_memory, memory_needed
from mlptrain.training.stack import architecture_of, stack_key

MAX_WIDTH = 64
"""Number of networks of the widest stack."""

PARAMETER_BYTES = 4 * 1024**2
"""Bytes of parameters, gradients and optimizer state in a stack, which every step reads and writes: about as many as
stay in a core's cache. Wider stacks are not faster (``python -m benchmarks.stack_size``)."""

AUGMENTED_PARAMETER_BYTES = 32 * 1024**2
"""The same for augmented images, because a wide stack shares the work of augmentation, which outweighs the caches."""

MEMORY_BYTES = 256 * 1024**2
"""Memory of the largest stack, because several stacks train at a time."""

PADDING = 24_000
"""Number of padding weights of a stack in which hidden layers differ in size, at most.

A further stack would have further fixed costs, and gather the images of every batch once more; that takes as long as
the products of about 24,000 weights (30 units with 784 inputs), for small batches and large ones. If n trials have
sizes at equal distances, the padding of m stacks is proportional to 1/m, and the sum of both costs is least if they are
equal. The minimum is flat: where the true number is half or twice as large, the sum is 6 % above it.
"""

PARAMETERS_PER_IMAGE = 4000
"""Parameters of a network per image of a batch, above which networks of different sizes do not share a stack.

A stack saves the gathering of images, in proportion to the batch, and fixed costs. It does not save the passes over the
parameters, and makes them slower when they no longer fit in the cache. At batch 10 networks of 30 units take half of
the time in a stack, of 64 units the same and of 100 units more (benchmarks/LOG.md).
"""

STACKS_PER_WORKER = 4
"""Number of stacks per worker at which groups are no longer divided: all workers are busy then."""

MIN_GAIN = 0.1
"""Share by which a division must shorten the sweep, because narrower stacks are slower."""


_Shape = tuple[Config, Architecture, int]
"""The config of a trial, its architecture, and the number of images in its train split."""


@dataclass(frozen=True)
class StackPlan:
    """A stack: its number within the sweep, the numbers of its trials, and its BLAS threads."""

    number: int
    trials: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class WavePlan:
    """The stacks of a wave, in the order in which they start, and how many of them train at a time."""

    stacks: tuple[StackPlan, ...]
    workers: int


def plan_wave(
    trials: Sequence[Trial],
    data_dir: Path,
    workers: int,
    *,
    stacked: bool = True,
    threads: int | None = None,
    first: int = 0,
) -> WavePlan:
    """Return the plan of a wave for up to ``workers`` stacks at a time, numbered from ``first``.

    Without ``stacked`` every trial has a stack of its own. ``threads`` are the BLAS threads of every stack; None for
    one, or more if its matrix products are large and there are fewer stacks than workers.

    Raises
    ------
    MlptrainError
        A dataset is missing or damaged, or cannot be split.
    """
    groups: dict[Hashable, list[int]] = {}
    shapes: dict[int, _Shape] = {}
    for dataset, images, members in _by_data(trials, data_dir):
        for trial in members:
            groups.setdefault(stack_key(trial.config) if stacked else trial.number, []).append(trial.number)
            architecture = architecture_of(trial.config, dataset.images.shape[1], dataset.classes)
            shapes[trial.number] = trial.config, architecture, images
    work = {number: config.epochs * images * net.parameter_count for number, (config, net, images) in shapes.items()}
    stacks = _divide([piece for group in groups.values() for piece in _pieces(group, shapes, work)], work, workers)
    stacks.sort(key=lambda stack: (-_work(stack, work), stack))
    busy = min(workers, len(stacks))
    plans = (
        StackPlan(number, stack, threads or _threads([shapes[trial] for trial in stack], workers // busy))
        for number, stack in enumerate(stacks, start=first)
    )
    return WavePlan(tuple(plans), busy)


def stack_width(config: Config, architecture: Architecture, images: int) -> int:
    """Return the number of networks of this kind in the widest stack that pays: a power of two up to `MAX_WIDTH`.

    Networks of a stack share the costs of each step and larger matrix products, as long as their parameters, gradients
    and optimizer state fit in `PARAMETER_BYTES` (`AUGMENTED_PARAMETER_BYTES` if images are augmented).
    """
    member = np.dtype(config.dtype).itemsize * (2 + OPTIMIZERS[config.optimizer].states) * architecture.parameter_count
    limit = PARAMETER_BYTES if config.augment is None else AUGMENTED_PARAMETER_BYTES
    width = 1
    while (
        2 * width <= MAX_WIDTH
        and 2 * width * member <= limit
        and memory_needed(config, architecture, images, 2 * width) <= MEMORY_BYTES
    ):
        width *= 2
    return width


def check_trials(trials: Sequence[Trial], data_dir: Path) -> None:
    """Check the data and the available memory for some trials.

    Raises
    ------
    MlptrainError
        A dataset is missing or damaged or cannot be split, or a network is larger than the available memory.
    """
    for dataset, images, members in _by_data(trials, data_dir):
        for config in {(stack_key(trial.config), trial.config.hidden): trial.config for trial in members}.values():
            check_memory(config, architecture_of(config, dataset.images.shape[1], dataset.classes), images)


def _by_data(trials: Sequence[Trial], data_dir: Path) -> Iterator[tuple[Dataset, int, list[Trial]]]:
    """Yield each dataset, the number of images in its train split, and the trials that train on them."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        config = trial.config
        groups.setdefault((config.dataset, config.split, config.split_seed, config.subset), []).append(trial)
    for members in groups.values():
        config = members[0].config
        dataset = load_dataset(config.dataset, data_dir)
        split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
        yield dataset, len(split.train), members


class _Piece(NamedTuple):
    """Trials of a group whose networks are similar in size, from the largest, and the width of their widest stack."""

    trials: list[int]
    width: int


def _pieces(group: Sequence[int], shapes: Mapping[int, _Shape], work: Mapping[int, int]) -> Iterator[_Piece]:
    """Divide a group into pieces whose networks can share stacks; see `PADDING` and `PARAMETERS_PER_IMAGE`."""
    trials: list[int] = []
    largest: tuple[int, ...] | None = None
    width, parameters = 1, 0
    for trial in sorted(group, key=lambda trial: (-shapes[trial][1].parameter_count, -work[trial], trial)):
        config, net, images = shapes[trial]
        joint = replace(net, layers=tuple(map(max, net.layers, largest or net.layers)))
        padding = (len(trials) + 1) * joint.parameter_count - parameters - net.parameter_count
        is_large = joint.parameter_count > PARAMETERS_PER_IMAGE * batch_size_of(config, images)
        if padding > PADDING * max(1, len(trials) / width) or (padding and is_large):
            yield _Piece(trials, width)
            trials, parameters, joint = [], 0, net
        if joint.layers != largest:
            largest, width = joint.layers, stack_width(config, joint, images)
        trials.append(trial)
        parameters += net.parameter_count
    yield _Piece(trials, width)


def _divide(pieces: Sequence[_Piece], work: Mapping[int, int], workers: int) -> list[tuple[int, ...]]:
    """Divide pieces of groups into stacks.

    The stacks are as wide as possible; more of them if that lets the workers finish sooner, assuming that the time of
    a stack is the ``work`` of its trials.
    """

    def stacks(counts: Sequence[int]) -> list[tuple[int, ...]]:
        return [stack for piece, count in zip(pieces, counts, strict=True) for stack in _cut(piece.trials, count)]

    counts = [-(-len(piece.trials) // piece.width) for piece in pieces]
    best, least = counts, _makespan(stacks(counts), work, workers)
    while sum(counts) < STACKS_PER_WORKER * workers:
        longest = [
            max(_work(stack, work) for stack in _cut(piece.trials, count))
            for piece, count in zip(pieces, counts, strict=True)
        ]
        index = longest.index(max(longest))
        if counts[index] == len(pieces[index].trials):
            break
        counts = [*counts[:index], counts[index] + 1, *counts[index + 1 :]]
        if (makespan := _makespan(stacks(counts), work, workers)) < (1 - MIN_GAIN) * least:
            best, least = counts, makespan
    return stacks(best)


def _cut(trials: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """Cut trials into stacks of nearly equal width."""
    bounds = [-(-len(trials) * index // count) for index in range(count + 1)]
    return (tuple(sorted(trials[low:high])) for low, high in pairwise(bounds))


def _makespan(stacks: Iterable[Sequence[int]], work: Mapping[int, int], workers: int) -> int:
    """Return the work of the busiest worker, if each idle worker takes the longest remaining stack."""
    loads = [0] * workers
    for load in sorted((_work(stack, work) for stack in stacks), reverse=True):
        loads[loads.index(min(loads))] += load
    return max(loads)


def _work(stack: Iterable[int], work: Mapping[int, int]) -> int:
    return sum(work[trial] for trial in stack)


def _threads(stack: Sequence[_Shape], cores: int) -> int:
    """Return the BLAS threads of a stack, whose first layers are one matrix product."""
    config, _, images = stack[0]
    batch = batch_size_of(config, images)
    layers = tuple(map(max, zip(*(net.layers for _, net, _ in stack), strict=True)))
    return max(threads_for(sizes, batch, cores) for sizes in (layers, (layers[0], layers[1] * len(stack))))
