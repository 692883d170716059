"""Accuracy of the recipes in configs/ over several seeds, written to RECIPES.md: ``python -m benchmarks.recipes``.

The networks of `AVERAGED` are evaluated a second time, with their outputs averaged over deformed copies and over the
members of a committee.

Each run is a whole ``mlptrain train`` process, stored in ``runs/recipes/NAME-SEED``. Complete runs are not repeated, so
the script can be stopped and restarted; the other rows of the table are kept. The metrics are those of the final epoch
on the official test file. They select nothing: recipes are chosen on validation images first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.report import version, write_page

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "recipes"
TABLE = ROOT / "benchmarks" / "RECIPES.md"
TITLES = ("Recipes", "Averaged outputs", "Records", "Notes")


@dataclass(frozen=True)
class Recipe:
    """A config, its network, the published accuracy, and the number of seeds."""

    name: str
    network: str
    published: str
    seeds: int = 5


RECIPES = (
    Recipe("nielsen", "784-30-10 sigmoid mse, Nielsen's network.py", "95.42 (best of 3)"),
    Recipe("nielsen100", "784-100-10 sigmoid mse, Nielsen's network.py", "96.59 (best of 3)"),
    Recipe("network3", "784-100-10 sigmoid softmax, Nielsen's network3.py", "97.80 (best of 3)"),
    Recipe("theano", "784-500-10 tanh, Theano's tutorial", "98.35, in 97 min on an i7"),
    Recipe("keras", "784-512-512-10 relu, dropout, Keras's example", "98.40"),
    Recipe("srivastava", "dropout and max-norm, Srivastava et al., Goodfellow et al.", "98.75 to 98.95", 3),
    Recipe("simard", "784-800-10, elastic, Simard et al.", "99.30"),
    Recipe("ciresan", "784-1024-512-10, elastic", "99.65 with nine times the weights, Ciresan et al.", 6),
)

AVERAGED = "ciresan"
"""Name of the recipe whose networks are the members of the committee (configs/sweeps/committee.yaml)."""

SINGLE = 3
"""Number of members whose outputs are averaged over copies one by one, from the first seed."""

COPIES = 16
"""Deformed copies of each image, chosen on validation images (LOG.md)."""


def run(recipe: Recipe, seed: int, threads: int | None) -> dict[str, Any]:
    """Return the metrics of one run, from its folder if it is complete."""
    folder = RUNS / f"{recipe.name}-{seed}"
    metrics = folder / "metrics.json"
    if not metrics.exists():
        command = [sys.executable, "-m", "mlptrain", "train", f"configs/{recipe.name}.yaml", f"seed={seed}", "-q"]
        command += ["--threads", str(threads)] * (threads is not None)
        command += ["--run", f"recipes/{recipe.name}-{seed}", "--overwrite"]
        subprocess.run(command, cwd=ROOT, check=True)
    result: dict[str, Any] = json.loads(metrics.read_text())
    print(f"{recipe.name} seed {seed}: {100 * result['test_accuracy']:.2f} in {result['seconds']:.0f} s", flush=True)
    return result


def heading(recipe: Recipe) -> str:
    """Return the beginning of the recipe's row."""
    return f"| [{recipe.name}](../configs/{recipe.name}.yaml) | {recipe.network} |"


def row(recipe: Recipe, runs: Sequence[Path]) -> str:
    """Return a row: mean, standard deviation and all accuracies in percent, median time, date and processor."""
    metrics = [json.loads(path.read_text(encoding="utf-8")) for path in runs]
    accuracies = [100 * each["test_accuracy"] for each in metrics]
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    seconds = statistics.median(each["seconds"] for each in metrics)
    last = date.fromtimestamp(max(path.stat().st_mtime for path in runs))
    return (
        f"{heading(recipe)} {recipe.published} | **{statistics.mean(accuracies):.2f}**{spread} "
        f"| {', '.join(f'{value:.2f}' for value in accuracies)} | {seconds:.0f} s | {metrics[0]['threads']} "
        f"| {last}, {metrics[0]['machine']['processor']} |"
    )


def averages() -> list[str]:
    """Return the section about averaged outputs, with each network and committee evaluated on the test file."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == AVERAGED)
    runs = [str(RUNS / f"{AVERAGED}-{seed}") for seed in range(recipe.seeds)]
    single = [evaluate([run]) for run in runs[:SINGLE]]
    committee = evaluate(runs)
    rows = [
        (f"one network, seeds 0 to {SINGLE - 1}", "one image", "99.54 (0.1)", [plain for plain, _ in single]),
        ("the same", f"{COPIES} copies", "99.65 with nine times the weights, Ciresan et al.", [a for _, a in single]),
        (f"committee of {len(runs)}", "one image", "99.69 (seven networks), Ciresan et al.", [committee[0]]),
        ("the same", f"{COPIES} copies", "", [committee[1]]),
    ]
    return [
        "## Averaged outputs",
        "",
        f"Networks of [{AVERAGED}](../configs/{AVERAGED}.yaml), with the mean of the outputs for each image or for",
        f"{COPIES} deformed copies of it (`--augment {COPIES}`), and the mean over a committee",
        "([committee](../configs/sweeps/committee.yaml)); test accuracy in percent.",
        "",
        "| networks | outputs for | published | mean | each |",
        "|---|---|---|---|---|",
        *(
            f"| {networks} | {images} | {published} | **{statistics.mean(values):.2f}** "
            f"| {', '.join(f'{value:.2f}' for value in values)} |"
            for networks, images, published, values in rows
        ),
    ]


def evaluate(runs: Sequence[str]) -> tuple[float, float]:
    """Return the test accuracy in percent of averaged outputs, without and with copies."""
    command = [sys.executable, "-m", "mlptrain", "eval", *runs, "--augment", str(COPIES), "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    return 100 * result["accuracy"], 100 * result["augmented"]["accuracy"]


def table(old: str) -> str:
    """Return the Markdown page; recipes with missing seeds keep their row from the ``old`` page."""
    kept = {
        heading(recipe): line for recipe in RECIPES for line in old.splitlines() if line.startswith(heading(recipe))
    }
    rows = []
    for recipe in RECIPES:
        paths = [RUNS / f"{recipe.name}-{seed}" / "metrics.json" for seed in range(recipe.seeds)]
        complete = [path for path in paths if path.exists()]
        previous = kept.get(heading(recipe))
        if complete and (previous is None or len(complete) == recipe.seeds):
            rows.append(row(recipe, complete))
        elif previous is not None:
            rows.append(previous)
    head = [
        "# Accuracy of the recipes",
        "",
        f"Written by `python -m benchmarks.recipes`: {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {version('numpy')}.",
        "",
        "## Recipes",
        "",
        "Test accuracy in percent on the official test file after the final epoch, seeds 0, 1, …; the median time of",
        "training alone, and the number of BLAS threads.",
        "",
        "| config | network | published | mean ± sd | each seed | time | threads | run on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def main() -> None:
    """Run the selected recipes, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes to run (default: all): " + ", ".join(r.name for r in RECIPES))
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at the same time")
    parser.add_argument("--threads", type=int, help="BLAS threads of each run (default: chosen by mlptrain)")
    parser.add_argument("--seeds", type=int, help="seeds, in place of each recipe's own number")
    arguments = parser.parse_args()
    chosen = [recipe for recipe in RECIPES if not arguments.names or recipe.name in arguments.names]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        pending = [
            pool.submit(run, recipe, seed, arguments.threads)
            for recipe in chosen
            for seed in range(arguments.seeds or recipe.seeds)
        ]
        for future in pending:
            future.result()
    page = table(TABLE.read_text(encoding="utf-8") if TABLE.exists() else "")
    if AVERAGED in {recipe.name for recipe in chosen}:
        page += "\n".join(["", *averages(), ""])
    write_page(TABLE, page, TITLES)
    print(TABLE)


if __name__ == "__main__":
    main()
