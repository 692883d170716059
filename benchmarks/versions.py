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

from benchmarks.report import processor, ratio, seconds
from benchmarks.work import CASES, RATE, Case

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4
STACK = 16


def run(tree: Path, folder: Path, arguments: Sequence[str]) -> float:
    """Run ``mlptrain`` from a source tree in ``folder`` and return the seconds of the whole process."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mlptrain", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def epoch(case: Case, config: Sequence[str]) -> Callable[[Path, Path], float]:
    """Return a measurement of the median epoch of a network, the first one left out."""
    hidden = ",".join(map(str, case.layers[1:-1]))
    overrides = [f"hidden=[{hidden}]", f"activation={case.activation}", f"batch_size={case.batch}"]
    overrides += [f"learning_rate={RATE}", f"epochs={EPOCHS}", f"subset={case.images}"]

    def measure(tree: Path, folder: Path) -> float:
        run(tree, folder, ["train", *config, *overrides, "--run", "r", "--overwrite", "-q"])
        with (folder / "runs/r/history.csv").open(newline="") as stream:
            return statistics.median([float(row["seconds"]) for row in csv.DictReader(stream)][1:])

    return measure


def stack(config: Sequence[str]) -> Callable[[Path, Path], float]:
    """Return a measurement of a whole sweep that trains networks of one shape in one stack."""
    rates = ",".join(f"{RATE * (1 + number / 100):g}" for number in range(STACK))
    arguments = [
        "sweep",
        *config,
        f"learning_rate={rates}",
        "hidden=[30]",
        "epochs=3",
        "split=official",
        "--workers",
        "1",
        "-q",
    ]
    numbers = iter(range(10**6))
    return lambda tree, folder: run(tree, folder, [*arguments, "--run", f"s{next(numbers)}"])


def main() -> None:
    """Measure both checkouts in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the other checkout")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("MLPTRAIN_DATA_DIR") or "data")
    options = parser.parse_args()
    trees = options.old.resolve(), ROOT
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text("dataset: mnist\nsplit: official-60k\n", encoding="utf-8")
        (folder / "sample.yaml").write_text("epochs: 0\n", encoding="utf-8")
        config = ["config.yaml", "--data-dir", str(options.data_dir.resolve())]
        measurements = {f"epoch of {case.name}, batch {case.batch}": epoch(case, config) for case in CASES}
        measurements[f"sweep of {STACK} x 784-30-10 in one stack"] = stack(config)
        measurements["mlptrain --help"] = lambda tree, folder: run(tree, folder, ["--help"])
        measurements["train with epochs=0"] = lambda tree, folder: run(tree, folder, ["train", "sample.yaml", "-q"])
        print(f"{processor()}; median of {options.repeats}; seconds old, new, ratio new/old")
        for title, measure in measurements.items():
            for tree in trees:
                measure(tree, folder)
            times = [[measure(tree, folder) for tree in trees] for _ in range(options.repeats)]
            old, new = ([row[index] for row in times] for index in (0, 1))
            print(f"{title:<42} {seconds(old):>7} {seconds(new):>7} {ratio(new, old):6.3f}", flush=True)


if __name__ == "__main__":
    main()
