"""Run the recipes of configs/ over several seeds and write what they reach: ``python -m benchmarks.recipes``.

Each run is a whole ``mlptrain train`` process, kept in ``runs/recipes/NAME-SEED``; a run that is complete there is
not run again, so the script may be ended and started anew. The figures are of the final epoch on the official
test file. Nothing is chosen by them: a recipe is settled on validation images first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.report import write_page

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "RECIPES.md"


@dataclass(frozen=True)
class Recipe:
    """A config, what it answers, and over how many seeds it is run; ``epochs`` in place of the config's."""

    config: str
    answers: str
    published: str
    seeds: int = 5
    epochs: int | None = None

    @property
    def name(self) -> str:
        """The config's stem, with the epochs where they are not the config's."""
        return Path(self.config).stem + (f"-{self.epochs}" if self.epochs is not None else "")


RECIPES = (
    Recipe("nielsen", "784-30-10 sigmoid mse, Nielsen's network.py", "95.42 (best of 3)"),
    Recipe("nielsen100", "784-100-10 sigmoid mse, Nielsen's network.py", "96.59 (best of 3)"),
    Recipe("network3", "784-100-10 sigmoid softmax, Nielsen's network3.py", "97.80 (best of 3)"),
    Recipe("theano", "784-500-10 tanh, Theano's tutorial", "98.35, in 97 min on an i7"),
    Recipe("keras", "784-512-512-10 relu, dropout, Keras's example", "98.40"),
    Recipe("srivastava", "dropout and max-norm, Srivastava et al., Goodfellow et al.", "98.75 to 98.95", 3),
    Recipe("simard", "784-800-10, elastic, Simard et al.", "99.30"),
    Recipe("ciresan", "784-1024-512-10, 60 epochs", "(99.48 elsewhere)", 3),
    Recipe("ciresan", "the same, 200 epochs", "99.65 with nine times the weights, Ciresan et al.", 3, 200),
    Recipe("fast98", "as fast as possible to 98.0 %", "(98.8 in 79 s, a NumPy script elsewhere)"),
)


def run(recipe: Recipe, seed: int, threads: int | None) -> dict[str, Any]:
    """The metrics of one run, from its folder where it is complete."""
    folder = ROOT / "runs" / "recipes" / f"{recipe.name}-{seed}"
    metrics = folder / "metrics.json"
    if not metrics.exists():
        command = [sys.executable, "-m", "mlptrain", "train", f"configs/{recipe.config}.yaml", f"seed={seed}", "-q"]
        command += [f"epochs={recipe.epochs}"] * (recipe.epochs is not None)
        command += ["--threads", str(threads)] * (threads is not None)
        command += ["--run", f"recipes/{recipe.name}-{seed}", "--overwrite"]
        subprocess.run(command, cwd=ROOT, check=True)
    result: dict[str, Any] = json.loads(metrics.read_text())
    print(f"{recipe.name} seed {seed}: {100 * result['test_accuracy']:.2f} in {result['seconds']:.0f} s", flush=True)
    return result


def row(recipe: Recipe, runs: list[dict[str, Any]]) -> str:
    """A row of the table: mean, standard deviation and every figure in percent, and the median of the times."""
    figures = [100 * metrics["test_accuracy"] for metrics in runs]
    spread = f" ± {statistics.stdev(figures):.2f}" if len(figures) > 1 else ""
    seconds = statistics.median(metrics["seconds"] for metrics in runs)
    each = ", ".join(f"{figure:.2f}" for figure in figures)
    return (
        f"| [{recipe.config}](../configs/{recipe.config}.yaml) | {recipe.answers} | {recipe.published} "
        f"| **{statistics.mean(figures):.2f}**{spread} | {each} | {seconds:.0f} s | {runs[0]['threads']} |"
    )


def table(results: list[tuple[Recipe, list[dict[str, Any]]]], jobs: int) -> str:
    """The Markdown page."""
    versions = results[0][1][0]["versions"]
    head = [
        "# What the recipes reach",
        "",
        f"Written by `python -m benchmarks.recipes --jobs {jobs}` on {date.today()}: {platform.machine()}, "
        f"{os.cpu_count()} cores, {jobs} runs at a time, Python {versions['python']}, NumPy {versions['numpy']}.",
        "",
        "Test accuracy in percent on the official test file, final epoch, seeds 0, 1, …; the time is that of training",
        "alone (median), on so many BLAS threads.",
        "",
        "| config | answers | published | mean ± sd | each seed | time | threads |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(row(recipe, runs) for recipe, runs in results)]) + "\n"


def main() -> None:
    """Run what is asked for, then write the table of all that is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes to run (default: all): " + ", ".join(r.name for r in RECIPES))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
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
    results = []
    for recipe in RECIPES:
        paths = [ROOT / "runs" / "recipes" / f"{recipe.name}-{seed}" / "metrics.json" for seed in range(recipe.seeds)]
        complete = [json.loads(path.read_text()) for path in paths if path.exists()]
        if complete:
            results.append((recipe, complete))
    if not results:
        parser.exit(1, "no run is complete; name recipes to run, or none for all\n")
    write_page(TABLE, table(results, arguments.jobs))
    print(TABLE)


if __name__ == "__main__":
    main()
