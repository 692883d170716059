"""Check of the verdicts of ``diagnose``: ``python -m benchmarks.diagnosis [--seeds 5] [lab1|lab2|deep|mnist]``.

Trains each config of a laboratory, or each network of `DEEP`, with several seeds on the embedded digits, in memory, and
compares the verdict with the one that it demonstrates; ``mnist`` trains the shipped configs that take less than a
minute. The exit code is 1 if one differs.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SHOWS = {
    "lab1/rate_too_low": ("rate_too_low",),
    "lab1/rate_too_high": ("rate_too_high",),
    "lab1/divergence": ("divergence",),
    "lab1/bad_initialisation": ("saturated",),
    "lab1/zero_initialisation": ("zero_initialisation",),
    "lab1/overfitting": ("overfitting",),
    "lab1/underfitting": ("underfitting",),
    "lab1/batch_full": ("rate_too_low",),  # one step per epoch: after twenty the loss is still falling
    "lab1/batch_1": ("gap",),
    "lab1/batch_8": ("healthy", "gap"),  # 5.4 to 5.9 points, just below the limit
    "quickstart": ("gap",),
    "fast98": ("not_enough_epochs",),
}
"""The cases that configs show; what is not named here is healthy."""

OVERFITS = ("healthy", "gap", "overfitting")
"""Laboratory 2 trains a network that overfits, each technique changes by how much; recipes for MNIST may overfit."""

DEEP: dict[str, tuple[str, tuple[str, ...]]] = {
    "sigmoid, N(0, 1)": ("activation=sigmoid init=normal learning_rate=0.5", ("saturated",)),
    "tanh, N(0, 1)": ("activation=tanh init=normal learning_rate=0.1", ("saturated",)),
    "sigmoid, glorot": ("activation=sigmoid init=glorot_uniform learning_rate=0.5", ("vanishing_gradients",)),
    "tanh, glorot": ("activation=tanh init=glorot_uniform learning_rate=0.01", ("healthy",)),
    "relu, he": ("activation=relu init=he_normal learning_rate=0.01", ("healthy", "gap")),
    "relu, he, adam": ("activation=relu optimizer=adam learning_rate=0.1", ("dead_units",)),
    "sigmoid, batch norm": ("activation=sigmoid batch_norm=true learning_rate=0.01", ("healthy",)),
    "relu, batch norm": ("activation=relu batch_norm=true learning_rate=0.01", ("healthy",)),
}
"""Networks 784-100x5-10, each with its keys and the correct cases."""

MNIST = ("course", "fast98", "keras", "mnist", "network3", "nielsen", "nielsen100")
"""Shipped configs for MNIST that train within a minute."""


def expected(name: str) -> tuple[str, ...]:
    """Return the correct cases for a config."""
    if name in DEEP:
        return DEEP[name][1]
    return SHOWS.get(name, OVERFITS if name in MNIST or name.startswith("lab2/") else ("healthy",))


def names(folders: list[str]) -> list[str]:
    """Return the networks to check: deep ones, or whole laboratories, quickstart and smoke."""
    if folders in (["deep"], ["mnist"]):
        return list(DEEP if folders == ["deep"] else MNIST)
    laboratories = [path for folder in folders for path in sorted((CONFIGS / folder).glob("*.yaml"))]
    return [*(str(path.relative_to(CONFIGS).with_suffix("")) for path in laboratories), "quickstart", "smoke"]


def case_of(job: tuple[str, int]) -> tuple[str, int, str, str]:
    """Train a network with a seed and return the case with the evidence."""
    from mlptrain.config.config import load_config
    from mlptrain.errors import DivergedError
    from mlptrain.runs.diagnosis import curves_of, diagnose
    from mlptrain.runs.train import run
    from mlptrain.system.machine import use_threads
    from mlptrain.training.reports import EpochReport, LayersReport

    use_threads(1)
    name, seed = job
    if name in DEEP:
        deep = ["hidden=[100, 100, 100, 100, 100]", "batch_size=32", "epochs=20", *DEEP[name][0].split()]
        config = load_config("quickstart", [*deep, f"seed={seed}"])
    else:
        config = load_config(CONFIGS / f"{name}.yaml", [f"seed={seed}"])
    reports: list[EpochReport] = []
    layers: list[LayersReport] = []

    try:
        for report in run(config):
            if isinstance(report, EpochReport):
                reports.append(report)
            elif isinstance(report, LayersReport):
                layers.append(report)
        curves = curves_of(reports)
    except DivergedError:
        curves = replace(curves_of(reports), diverged=len(reports) + 1)
    found = diagnose(curves, config, layers=layers)
    return name, seed, found.case, "; ".join(found.evidence)


def main() -> int:
    """Print one line per config and every wrong verdict; return 1 if there was one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("folders", nargs="*", default=["lab1"], help="lab1, lab2, deep or mnist; default: lab1")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = [(name, seed) for name in names(options.folders) for seed in seeds]
    wrong, cases = 0, dict[str, list[str]]()
    with ProcessPoolExecutor(options.workers) as pool:
        for name, seed, case, evidence in pool.map(case_of, jobs):
            cases.setdefault(name, []).append(case)
            if case not in expected(name):
                wrong += 1
                print(f"{name} seed={seed}: {case}, expected {' or '.join(expected(name))}: {evidence}", flush=True)
    for name, found in cases.items():
        right = sum(case in expected(name) for case in found)
        print(f"{name:<36} {' or '.join(expected(name)):<24} {right} of {len(found)}")
    print(f"{len(jobs) - wrong} of {len(jobs)} runs diagnosed correctly")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
