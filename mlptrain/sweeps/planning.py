"""Which trials train side by side: stacks as wide as pays, and enough of them for the workers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mlptrain.config.config import Config
from mlptrain.datasets.batches import batch_size_of
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.engine.parameters import Architecture
from mlptrain.sweeps.journal import Plan, PlannedStack
from mlptrain.sweeps.trials import Trial
from mlptrain.system.machine import Caches, processor_caches, threads_for
from mlptrain.training.memory import check_memory, memory_needed
from mlptrain.training.stack import architecture_of, stack_key

WIDEST = 64

MEMORY = 256 * 1024**2
"""Bytes that a stack may take, unless one network alone takes more: several run at a time."""

SLACK = 0.03
"""A narrower stack is as good as one that is faster by less than this: less is lost with it, and more run at a time."""

# Seconds on one core of an EPYC (1 MB and 32 MB of cache) beside other work; only their proportions matter. Against ten
# cases of benchmarks/stack_size.py, 15 units to 512-512 and sgd to adam, the width chosen by them costs 0 to 11 % more
# than the best of 1, 2, 4, ..., 64 (3 % in the middle), by which neighbouring widths differ by chance there.
_CALLS = 50e-6  # of a step, whatever its width: calls and views

_IMAGE = 0.8e-6  # gathered as a float

_MOVED_IMAGE = 8e-6  # the same, augmented

_PRODUCT = 26e-12  # a multiply-add at full speed, in float32

_FILL = 8  # rows at which the first product reaches half its speed

_ENTRY = 2e-9  # an activation, forward and backward

_NEAR = 1 / 50e9  # a byte of parameters beyond the core's cache

_FAR = 1 / 20e9  # what it costs more beyond the shared one


@dataclass(frozen=True)
class StackPlan:
    """The trials that train in one stack, by their place in the list of configs, and its BLAS threads."""

    members: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class Machine:
    """What the stacks run on: cores for all of them together, and caches."""

    cores: int
    caches: Caches


def step_seconds(config: Config, architecture: Architecture, batch: int, members: int, machine: Machine) -> float:
    """What a step of a stack costs each of its members on one core, by a model of its parts.

    A member's share of what every step costs once; its multiply-adds, faster the more rows the first product has; its
    activations; and the bytes of parameters that do not stay in the core's cache, dearer those beyond its share of the
    shared one.
    """
    layers, size = architecture.layers, 8 if config.dtype == "float64" else 4
    weights = sum(inputs * out for inputs, out in pairwise(layers))
    states = OPTIMIZERS[config.optimizer].states
    held = (2 + states) * weights * size * members
    core, shared = machine.caches.core, max(machine.caches.core, machine.caches.shared // (2 * machine.cores))
    beyond = _NEAR * max(0.0, 1 - core / held) + _FAR * max(0.0, 1 - shared / held)
    image = _IMAGE if config.augment is None else _MOVED_IMAGE
    products = batch * (3 * weights - layers[0] * layers[1])  # forward, gradient, and back but to the pixels
    return (
        (_CALLS + image * batch) / members
        + _PRODUCT * size / 4 * products * (1 + _FILL / (layers[1] * members))
        + _ENTRY * size / 4 * batch * sum(layers[1:])
        + (5 + 3 * states) * weights * size * beyond
    )


def width(config: Config, architecture: Architecture, images: int, machine: Machine) -> int:
    """The narrowest stack of a config's kind whose members train nearly as fast as in any, within `MEMORY`."""
    batch = batch_size_of(config, images)
    widths = [1 << power for power in range(WIDEST.bit_length())]
    fitting = [one for one in widths if one == 1 or memory_needed(config, architecture, images, one) <= MEMORY]
    costs = [step_seconds(config, architecture, batch, members, machine) for members in fitting]
    return next(members for members, cost in zip(fitting, costs, strict=True) if cost <= (1 + SLACK) * min(costs))


@dataclass(frozen=True)
class _Group:
    """Configs that may share a stack: their places, the steps of each, what a step costs by width, and the stacks."""

    members: tuple[int, ...]
    steps: tuple[int, ...]
    costs: tuple[float, ...]
    stacks: int

    def parts(self) -> list[tuple[float, tuple[int, ...]]]:
        """The stacks as seconds and members; trials of one length lie together, so that a stack ends as a whole."""
        order = sorted(range(len(self.members)), key=lambda place: (-self.steps[place], place))
        share, longer = divmod(len(order), self.stacks)
        found, start = [], 0
        for number in range(self.stacks):
            places = order[start : start + share + (number < longer)]
            start += len(places)
            seconds = self.costs[len(places) - 1] * sum(self.steps[place] for place in places)
            found.append((seconds, tuple(sorted(self.members[place] for place in places))))
        return found


def plan_stacks(
    configs: Sequence[Config],
    inputs: int,
    classes: int,
    images: int,
    cores: int,
    stacked: bool = True,
    caches: Caches | None = None,
) -> tuple[tuple[StackPlan, ...], int]:
    """The stacks of a list of configs, those that take longest first, and how many of them to run at a time.

    ``inputs``, ``classes`` and ``images`` (for training) are those of the data; ``cores`` are for all workers together.
    Configs that differ in `stack_key` are never in one stack; without ``stacked`` each has a stack of its own. The same
    arguments on the same machine give the same plan.
    """
    machine, keys = Machine(cores, caches or processor_caches()), dict[Hashable, list[int]]()
    for place, config in enumerate(configs):
        keys.setdefault(stack_key(config) if stacked else place, []).append(place)
    groups = []
    for members in keys.values():
        first, batch = configs[members[0]], batch_size_of(configs[members[0]], images)
        architecture = architecture_of(first, inputs, classes)
        widest = min(len(members), width(first, architecture, images, machine))
        costs = [step_seconds(first, architecture, batch, count, machine) for count in range(1, widest + 1)]
        steps = [configs[place].epochs * -(-images // batch) for place in members]
        groups.append(_Group(tuple(members), tuple(steps), tuple(costs), -(-len(members) // widest)))
    parts = [part for group in _spread(groups, cores) for part in group.parts()]
    workers = max(1, min(cores, len(parts)))
    plans = []
    for _, places in sorted(parts, key=lambda part: (-part[0], part[1])):
        first = configs[places[0]]
        layers, batch = architecture_of(first, inputs, classes).layers, batch_size_of(first, images)
        together = (layers[0], layers[1] * len(places))  # the first layer of a stack is one product
        threads = [threads_for(sizes, batch, cores // workers) for sizes in (together, layers)]
        plans.append(StackPlan(places, max(threads)))
    return tuple(plans), workers


def _spread(groups: Sequence[_Group], cores: int) -> list[_Group]:
    """The groups in more stacks, where the cores would else wait for the last: few and long ones are cut in two."""
    groups = list(groups)
    best, least = groups, _seconds(groups, cores)
    while groups and sum(group.stacks for group in groups) < 4 * cores:
        longest = max(range(len(groups)), key=lambda index: max(groups[index].parts())[0])
        group = groups[longest]
        if group.stacks == len(group.members):
            break
        groups = [*groups[:longest], replace(group, stacks=group.stacks + 1), *groups[longest + 1 :]]
        if (seconds := _seconds(groups, cores)) < (1 - SLACK) * least:
            best, least = groups, seconds
    return best


def _seconds(groups: Sequence[_Group], cores: int) -> float:
    """How long the stacks take where each core that is free takes the longest of those left."""
    loads = [0.0] * cores
    for seconds in sorted((seconds for group in groups for seconds, _ in group.parts()), reverse=True):
        loads[loads.index(min(loads))] += seconds
    return max(loads)


@dataclass(frozen=True)
class Planner:
    """Plans waves for the data in ``data_dir``; ``stacked`` False gives every trial a stack of its own.

    ``threads`` are the BLAS threads of every stack, None where its size decides.
    """

    data_dir: Path
    stacked: bool = True
    threads: int | None = None

    def plan(self, trials: Sequence[Trial], workers: int, numbered: int) -> Plan:
        """The plan of a wave for at most ``workers`` at a time; its stacks are numbered on from ``numbered``.

        Raises
        ------
        MlptrainError
            A dataset is missing or damaged, or a split impossible: nothing has been trained yet.
        """
        stacks: list[PlannedStack] = []
        busy, parts = 1, _by_data(trials)
        for members in parts:
            dataset, images = self._data(members[0].config)
            configs = [trial.config for trial in members]
            pixels = dataset.images.shape[1]
            planned, useful = plan_stacks(configs, pixels, dataset.classes, images, workers, self.stacked)
            busy = max(busy, useful)
            for stack in planned:
                numbers = tuple(members[index].number for index in stack.members)
                stacks.append(PlannedStack(numbered + len(stacks), numbers, self.threads or stack.threads))
        return Plan(tuple(stacks), min(busy if len(parts) == 1 else workers, workers))

    def check(self, trials: Sequence[Trial]) -> None:
        """Load and split the data of every trial, so that what is wrong with it is said before anything is written.

        Raises
        ------
        MlptrainError
            A dataset is missing or damaged, a split impossible, or a network larger than the memory available.
        """
        for members in _by_data(trials):
            dataset, images = self._data(members[0].config)
            shapes = {stack_key(trial.config): trial.config for trial in members}
            for config in shapes.values():
                check_memory(config, architecture_of(config, dataset.images.shape[1], dataset.classes), images)

    def _data(self, config: Config) -> tuple[Dataset, int]:
        """A config's dataset, and how many images it trains on."""
        dataset = load_dataset(config.dataset, self.data_dir)
        split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
        return dataset, len(split.train)


def _by_data(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials that train on the same images together."""
    parts: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        config = trial.config
        parts.setdefault((config.dataset, config.split, config.split_seed, config.subset), []).append(trial)
    return list(parts.values())
