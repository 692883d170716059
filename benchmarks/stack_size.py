"""Measure what a step costs each member of a stack, by width: ``python -m benchmarks.stack_size [--repeats N]``.

The last columns are the width that ``mlptrain/sweeps/planning.py`` chooses, and what it costs more than the best one.
 One BLAS thread; processor time, so that other processes disturb little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlptrain.config.config import Config

CASES: tuple[dict[str, Any], ...] = (
    {"hidden": [15]},
    {"hidden": [30]},
    {"hidden": [30], "batch_size": 10},
    {"hidden": [30], "optimizer": "momentum"},
    {"hidden": [30], "optimizer": "adam"},
    {"hidden": [64], "batch_size": 16},
    {"hidden": [128]},
    {"hidden": [128], "batch_size": 10},
    {"hidden": [128, 64], "optimizer": "adam", "batch_size": 128},
    {"hidden": [512, 512], "batch_size": 128},
)
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
STEPS = 32
UNITS = 4096  # of all networks of the widest stack measured


def member_seconds(config: Config, width: int, repeats: int) -> float:
    """Return the processor time per member and step in a stack of this width, including gathering and metrics."""
    from mlptrain.datasets.dataset import Dataset
    from mlptrain.datasets.split import Split
    from mlptrain.training.trainer import Trainer

    rng = np.random.default_rng(0)
    assert config.batch_size != "full"
    count = STEPS * config.batch_size
    images, labels = rng.integers(0, 256, (count, 784), np.uint8), rng.integers(0, 10, count, np.uint8)
    data = Dataset("random bytes", images, labels, count, (28, 28), tuple("0123456789"), "")
    none = np.empty(0, np.int64)
    configs = [config.model_copy(update={"seed": seed, "learning_rate": 0.01 / (seed + 1)}) for seed in range(width)]
    trainer = Trainer(configs, data, Split(np.arange(count), none, none, ""))
    seconds = []
    for _ in range(repeats + 1):
        began = time.thread_time()
        list(trainer.run(until=trainer.epoch + 1))
        seconds.append((time.thread_time() - began) / STEPS / width)
    return statistics.median(seconds[1:])


def rows(repeats: int) -> Iterator[list[str]]:
    """Yield a row per case: microseconds by width, the chosen width, and what it costs over the best."""
    from mlptrain.config.config import Config
    from mlptrain.sweeps.planning import stack_width
    from mlptrain.training.stack import architecture_of

    for case in CASES:
        config = Config.model_validate({**case, "batch_seed": 0, "epochs": 1000}).resolve()
        assert config.batch_size != "full"
        architecture = architecture_of(config, 784, 10)
        widths = [one for one in WIDTHS if one * sum(config.hidden) <= UNITS]
        measured = {one: member_seconds(config, one, repeats) for one in widths}
        chosen = stack_width(config, architecture, 49_000)
        cells = [f"{measured[one] * 1e6:.0f}" if one in measured else "" for one in WIDTHS]
        more = measured[min(chosen, widths[-1])] / min(measured.values()) - 1
        name = "-".join(map(str, config.hidden)) + f", {config.batch_size}, {config.optimizer}"
        yield [name, *cells, str(chosen), f"{more:.0%}"]


def main() -> None:
    """Read the options, choose one thread, measure, print."""
    from mlptrain.system.machine import use_threads

    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_size", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="epochs of 32 steps; the median counts (default: 9)")
    options = parser.parse_args()
    use_threads(1)

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("hidden, batch, optimizer", *map(str, WIDTHS), "chosen", "over the best", box=SIMPLE, padding=0)
    for cells in rows(options.repeats):
        table.add_row(*cells)
    console = Console(width=120)
    console.print("Microseconds per member and step, by width.", table)


if __name__ == "__main__":
    main()
