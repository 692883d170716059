"""Time of a step per member of a stack, by width: ``python -m benchmarks.stack_size [--repeats N]``.

The last columns are the width that ``mlptrain/sweeps/planning.py`` chooses, and what it costs more than the best one.
One BLAS thread; processor time, so that other processes disturb little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import mlptrain_epoch
from benchmarks.work import Case, load
from mlptrain.config.config import Config
from mlptrain.sweeps.planning import stack_width
from mlptrain.system.machine import use_threads
from mlptrain.training.stack import architecture_of

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


def main() -> None:
    """Read the options, choose one thread, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_size", description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="epochs of 32 steps; the median counts (default: 9)")
    options = parser.parse_args()
    use_threads(1)
    table = Table("network, batch, optimizer", *map(str, WIDTHS), "chosen", "over the best", box=SIMPLE, padding=0)
    for cells in rows(options.repeats):
        table.add_row(*cells)
    Console(width=120).print("Microseconds per member and step, by width.", table)


if __name__ == "__main__":
    main()
