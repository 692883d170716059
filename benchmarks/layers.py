"""Cost of the statistics of layers: ``python -m benchmarks.layers [--repeats 15] [--data-dir DIR]``.

Trains epochs of the same networks alternately with and without them, and prints the median time of an epoch without
validation, and the median of the ratios of neighbouring epochs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.contestants import mlptrain_epoch
from benchmarks.work import CASES, WHOLE, load
from mlptrain.engine.layers import LayerStatistics
from mlptrain.engine.network import Network


def skip(network: Network, *given: object) -> list[tuple[LayerStatistics, ...]]:
    """Return no statistics."""
    return [()] * network.members


def main() -> None:
    """Print a row per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST; without it random bytes")
    options = parser.parse_args()

    from mlptrain.system.machine import available_cores, threads_for, use_threads
    from mlptrain.training import stack

    data = load(WHOLE, options.data_dir)
    measure = vars(stack)["measure_layers"]
    print(f"{data.dataset.name}, {options.repeats} epochs of each kind")
    for case in (*CASES, replace(CASES[1], batch=64, members=16)):
        use_threads(threads_for(case.layers, case.batch, available_cores()))
        epoch = mlptrain_epoch(case, data._replace(x=data.x[: case.images], labels=data.labels[: case.images]))
        epoch()
        seconds: tuple[list[float], list[float]] = [], []
        for _ in range(options.repeats):
            for kind, function in enumerate((measure, skip)):
                vars(stack)["measure_layers"] = function
                began = time.perf_counter()
                epoch()
                seconds[kind].append(time.perf_counter() - began)
        vars(stack)["measure_layers"] = measure
        ratio = median(a / b for a, b in zip(*seconds, strict=True))
        with_statistics, without = map(median, seconds)
        name = case.name + (f", {case.members} in a stack" if case.members > 1 else "")
        print(f"{name:<28} {with_statistics:.4f} s with, {without:.4f} s without, ratio {ratio:.4f}", flush=True)


if __name__ == "__main__":
    main()
