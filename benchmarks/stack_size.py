"""Time of a step per member of a stack, by width: ``python -m benchmarks.stack_size [--repeats N]``.

The last columns are the width that ``mlptrain/sweeps/planning.py`` chooses, and what it costs more than the best one.
A second table compares networks of different sizes in the stacks of the plan with each of them alone. One BLAS thread;
processor time, so that other processes disturb little.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import mlptrain_epoch
from benchmarks.work import Case, load
from mlptrain.config.config import Config
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.sweeps.planning import plan_wave, stack_width
from mlptrain.sweeps.trials import Trial
from mlptrain.system.machine import use_threads
from mlptrain.training.stack import architecture_of
from mlptrain.training.trainer import Trainer

MOMENTUM = (("optimizer", "momentum"), ("learning_rate", 0.01))
ADAM = (("optimizer", "adam"), ("learning_rate", 0.001))
CASES = (
    Case((784, 15, 10), "sigmoid", 64),
    Case((784, 30, 10), "sigmoid", 64),
    Case((784, 30, 10), "sigmoid", 10),
    Case((784, 30, 10), "sigmoid", 64, options=MOMENTUM),
    Case((784, 30, 10), "sigmoid", 64, options=ADAM),
    Case((784, 64, 10), "sigmoid", 16),
    Case((784, 128, 10), "sigmoid", 64),
    Case((784, 128, 10), "sigmoid", 10),
    Case((784, 128, 64, 10), "sigmoid", 128, options=ADAM),
    Case((784, 512, 512, 10), "sigmoid", 128),
)
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
MIXED = {
    "15 to 30": range(15, 31),
    "1 to 64": range(1, 65),
    "50 random, 8 to 128": [random.Random(seed).randint(8, 128) for seed in range(50)],
}
STEPS = 32
UNITS = 4096
"""Number of hidden units of all networks in the widest stack that is measured."""


def member_seconds(case: Case, repeats: int) -> float:
    """Return the processor time per member and step, including gathering and metrics."""
    epoch = mlptrain_epoch(case, load(case.images, None))
    seconds = []
    for _ in range(repeats + 1):
        began = time.thread_time()
        epoch()
        seconds.append((time.thread_time() - began) / STEPS / case.members)
    return statistics.median(seconds[1:])


def rows(repeats: int) -> Iterator[list[str]]:
    """Yield a row per case: microseconds by width, the chosen width, and what it costs over the best."""
    for case in CASES:
        config = Config.model_validate(case.config()).resolve()
        widths = [width for width in WIDTHS if width * sum(config.hidden) <= UNITS]
        stacks = {width: replace(case, images=STEPS * case.batch, members=width) for width in widths}
        measured = {width: member_seconds(stack, repeats) for width, stack in stacks.items()}
        chosen = stack_width(config, architecture_of(config, 784, 10), 49_000)
        cells = [f"{measured[width] * 1e6:.0f}" if width in measured else "" for width in WIDTHS]
        more = measured[min(chosen, widths[-1])] / min(measured.values()) - 1
        yield [f"{case.name}, {case.batch}, {config.optimizer}", *cells, str(chosen), f"{more:.0%}"]


def trained_seconds(configs: Sequence[Config], dataset: Dataset, split: Split) -> float:
    """Return the processor time of training a stack."""
    began = time.thread_time()
    for _ in Trainer(configs, dataset, split).run():
        pass
    return time.thread_time() - began


def mixed_rows(repeats: int) -> Iterator[list[str]]:
    """Yield a row per search over the hidden size: stacks of the plan, seconds alone and planned, and their ratio."""
    dataset = load_dataset("sample", Path())
    for name, sizes in MIXED.items():
        for batch, optimizer in ((10, "sgd"), (64, "sgd"), (64, "adam")):
            values = {"batch_size": batch, "optimizer": optimizer, "epochs": 2, "batch_seed": 0, "learning_rate": 0.01}
            configs = [Config.model_validate({**values, "hidden": size}).resolve() for size in sizes]
            split = make_split(dataset, configs[0].split, seed=0, subset=None)
            plan = plan_wave([Trial(index, index, {}, each) for index, each in enumerate(configs)], Path(), 1)
            stacks = [[configs[trial] for trial in stack.trials] for stack in plan.stacks]
            times = [
                (
                    sum(trained_seconds([each], dataset, split) for each in configs),
                    sum(trained_seconds(stack, dataset, split) for stack in stacks),
                )
                for _ in range(repeats)
            ]
            alone, planned = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(first / second for first, second in times)
            yield [f"{name}, {batch}, {optimizer}", str(len(stacks)), f"{alone:.2f}", f"{planned:.2f}", f"{ratio:.2f}"]


def main() -> None:
    """Read the options, choose one thread, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_size", description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="epochs of 32 steps; the median counts (default: 9)")
    options = parser.parse_args()
    use_threads(1)
    table = Table("network, batch, optimizer", *map(str, WIDTHS), "chosen", "over the best", box=SIMPLE, padding=0)
    for cells in rows(options.repeats):
        table.add_row(*cells)
    console = Console(width=120)
    console.print("Microseconds per member and step, by width.", table)
    mixed = Table("hidden sizes, batch, optimizer", "stacks", "s alone", "s in stacks", "ratio", box=SIMPLE, padding=0)
    for cells in mixed_rows(min(options.repeats, 5)):
        mixed.add_row(*cells)
    console.print("Searches over the hidden size.", mixed)


if __name__ == "__main__":
    main()
