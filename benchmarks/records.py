"""The shortest time to an accuracy, as a section of RECIPES.md: ``python -m benchmarks.records``.

Whole processes, from the start of Python to the result on the official test file, with the default number of threads.
Each config takes turns with the one that version 0.1 used for the same accuracy. The configs were chosen on validation
images (LOG.md).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.processes import accuracy
from benchmarks.recipes import TABLE, TITLES
from benchmarks.report import ratio, write_page
from mlptrain.system.machine import processor

ROOT = Path(__file__).resolve().parents[1]

_SMALL = (
    *("split=official-60k", "activation=relu", "loss=cross_entropy", "batch_norm=true"),
    *("optimizer=adamw", "ema=0.99"),
)
_FAST = ("hidden=128", "batch_size=64", "learning_rate=0.004", *_SMALL)


@dataclass(frozen=True)
class Record:
    """An accuracy in percent, the config that reaches it, the arguments of 0.1, and the number of seeds."""

    target: float
    config: str
    before: tuple[str, ...]
    seeds: int = 5


RECORDS = (
    Record(97, "fast97", ("mnist", *_FAST, "epochs=1")),
    Record(98, "fast98", ("mnist", *_FAST, "epochs=4")),
    Record(
        99,
        "fast99",
        (
            *("mnist", "hidden=512", "batch_size=128", "learning_rate=0.002", "schedule=one_cycle", *_SMALL),
            *("augment.shift=2", "augment.rotate=12", "augment.scale=0.12", "epochs=20"),
        ),
    ),
    Record(
        99.5,
        "fast995",
        ("ciresan", "label_smoothing=0", "batch_size=128", "learning_rate=0.002", "epochs=60"),
        3,
    ),
)


def measure(record: Record, seeds: int) -> list[str]:
    """Return the cells of a record's row: each of the ``seeds`` trains with both configs, one after the other."""
    commands = ((record.config,), record.before)
    found: list[list[tuple[float, float]]] = [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            for index, arguments in enumerate(commands):
                train = [sys.executable, "-m", "mlptrain", "train", *arguments, f"seed={seed}", "--json", "--quiet"]
                command = [*train, f"--runs-dir={folder}/{seed}-{index}"]
                began = time.perf_counter()
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                elapsed = time.perf_counter() - began
                found[index].append((elapsed, 100 * accuracy(done.stdout)))
                print(record.config, seed, index, *found[index][-1], flush=True)
    (times, reached), (old_times, old_reached) = (tuple(zip(*each, strict=True)) for each in found)
    return [
        f"{record.target:g} %",
        f"[{record.config}](../configs/{record.config}.yaml)",
        f"**{statistics.mean(reached):.2f}** ({', '.join(f'{value:.2f}' for value in reached)})",
        f"{statistics.median(times):.1f} s ({min(times):.1f} to {max(times):.1f})",
        f"{statistics.mean(old_reached):.2f}",
        f"{statistics.median(old_times):.1f} s",
        f"{ratio(times, old_times):.2f}",
    ]


def section(rows: Sequence[Sequence[str]]) -> str:
    """Return the section "Records" in Markdown."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    lines = [
        "",
        "## Records",
        "",
        f"Written by `python -m benchmarks.records`: {processor()}, {os.cpu_count()} cores, commit {commit.strip()}, "
        f"{date.today().isoformat()}.",
        "",
        "The shortest time to a mean test accuracy, as whole processes: median over the seeds. The recipe of version",
        "0.1 takes turns with the config; the last column is the ratio of the times.",
        "",
        "| accuracy | config | mean (each seed) | time (all seeds) | 0.1: mean | time | ratio |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure the selected records, then write the section; the rows of the others are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", help="records to measure (default: all)")
    parser.add_argument("--seeds", type=int, help="seeds, in place of each record's own number")
    arguments = parser.parse_args()
    page = TABLE.read_text(encoding="utf-8")
    rows = []
    for record in RECORDS:
        start = f"| {record.target:g} % | "
        kept = [line for line in page.splitlines() if line.startswith(start)]
        if not arguments.configs or record.config in arguments.configs:
            rows.append(measure(record, arguments.seeds or record.seeds))
        elif kept:
            rows.append(kept[0].strip("| ").split(" | "))
    write_page(TABLE, page.partition("\n## ")[0] + "\n" + section(rows), TITLES)
    print(TABLE)


if __name__ == "__main__":
    main()
