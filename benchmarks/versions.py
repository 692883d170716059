"""Comparison of this checkout with another one: epochs, a stack and start-up, old and new in turn.

    python -m benchmarks.versions OLD_CHECKOUT [--repeats N] [--data-dir DIR]

Every measurement is a whole ``mlptrain`` process, with PYTHONPATH set to one of the two source trees. The time of an
epoch is the median of the column ``seconds`` of ``history.csv`` without its first row. A ratio above 1 means that
this checkout is slower; it is the median of the ratios of neighbouring runs.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.report import ratio, seconds
from benchmarks.work import CASES, RATE, Case
from mlptrain.datasets.dataset import data_folder
from mlptrain.system.machine import processor

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4
STACK = 16


def process_seconds(tree: Path, folder: Path, arguments: Sequence[str]) -> float:
    """Run ``mlptrain`` from a source tree in ``folder`` and return the seconds of the whole process."""
    command = [sys.executable, "-m", "mlptrain", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def epoch_seconds(tree: Path, folder: Path, arguments: Sequence[str]) -> float:
    """Run ``mlptrain train`` in the same way and return the seconds of an epoch."""
    process_seconds(tree, folder, [*arguments, "--run", "r", "--overwrite"])
    with (folder / "runs/r/history.csv").open(newline="") as stream:
        return statistics.median([float(row["seconds"]) for row in csv.DictReader(stream)][1:])


Measurement = tuple[Callable[[Path, Path, Sequence[str]], float], list[str]]


def measurements(data_dir: Path) -> dict[str, Measurement]:
    """Return the functions that measure and their arguments of ``mlptrain``, by title."""
    common = ["config.yaml", "-q", f"--data-dir={data_dir}"]
    rates = ",".join(f"{RATE * (1 + number / 100):g}" for number in range(STACK))
    sweep = [f"learning_rate={rates}", "hidden=[30]", "epochs=3", "split=official", "--workers=1"]
    return {
        **{
            f"epoch of {case.name}, batch {case.batch}": (epoch_seconds, ["train", *common, *overrides(case)])
            for case in CASES
        },
        f"sweep of {STACK} x 784-30-10 in one stack": (process_seconds, ["sweep", *common, *sweep]),
        "mlptrain --help": (process_seconds, ["--help"]),
        "train with epochs=0": (process_seconds, ["train", "sample.yaml", "-q"]),
    }


def overrides(case: Case) -> list[str]:
    """Return the arguments that train a network of the benchmark for some epochs."""
    values = {**case.config(), "hidden": list(case.layers[1:-1]), "epochs": EPOCHS, "subset": case.images}
    return [f"{key}={value}" for key, value in values.items()]


def main() -> None:
    """Measure both checkouts in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the other checkout")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data-dir", type=Path, default=data_folder())
    options = parser.parse_args()
    trees = options.old.resolve(), ROOT
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text("dataset: mnist\nsplit: official-60k\n", encoding="utf-8")
        (folder / "sample.yaml").write_text("epochs: 0\n", encoding="utf-8")
        print(f"{processor()}; median of {options.repeats}; seconds old, new, ratio new/old")
        for title, (measure, arguments) in measurements(options.data_dir.resolve()).items():
            pairs = [[measure(tree, folder, arguments) for tree in trees] for _ in range(options.repeats + 1)]
            old, new = zip(*pairs[1:], strict=True)  # the first pair fills the caches
            print(f"{title:<42} {seconds(old):>7} {seconds(new):>7} {ratio(new, old):6.3f}", flush=True)


if __name__ == "__main__":
    main()
