"""Random search with mlptrain and with scikit-learn on the same points: time and agreement.

    MLPTRAIN_DATA_DIR=data python -m benchmarks.sweep_search              64 points, 5 epochs, full MNIST
    python -m benchmarks.sweep_search --dataset sample --points 6         a test that takes a minute
    ... --hidden '[10, 15, 30]' --batch-size '[10, 20, 32]'               the small networks of the course

Rate, hidden size, batch size and momentum vary. mlptrain is timed as a whole process, ``mlptrain sweep`` with its
start-up, its journal and its test of every model; scikit-learn as ``RandomizedSearchCV(n_jobs=2)`` of ``MLPClassifier``
with the same points, the same training and validation images and no refit. Initial weights and batch orders differ, so
accuracies differ as they do between seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mlptrain.datasets.split import make_split
from mlptrain.runs.job import load_dataset
from mlptrain.sweeps.shell import all_trials
from mlptrain.sweeps.sweepfile import read_sweep

SWEEP = """base: base.yaml
method: random
metric: {{name: val_accuracy, goal: maximize}}
run_cap: {points}
seed: 1
parameters:
  hidden: {{values: {hidden}}}
  batch_size: {{values: {batch_size}}}
  learning_rate: {{distribution: log_uniform_values, min: 0.01, max: 0.3}}
  momentum: {{min: 0.0, max: 0.9}}
"""


def ours(folder: Path) -> tuple[float, list[float]]:
    """Return the seconds of ``mlptrain sweep`` and the validation accuracy of each point."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "mlptrain", "sweep", "sweep.yaml", "--run", "s", "-q", "--workers", "2"]
    subprocess.run(command, cwd=folder, check=True)
    seconds = time.perf_counter() - began
    with (folder / "runs/s/leaderboard.csv").open(newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: int(row["trial"]))
    return seconds, [float(row["val_accuracy"]) for row in rows]


def theirs(folder: Path) -> tuple[float, list[float]]:
    """Return the same for scikit-learn; loading the data is not timed."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV
    from sklearn.neural_network import MLPClassifier

    trials = list(all_trials(read_sweep(folder / "sweep.yaml")))
    config = trials[0].config
    dataset = load_dataset(config.dataset)
    split = make_split(dataset, config.split, seed=config.split_seed)
    both = np.concatenate([split.train, split.validation])
    x, y = dataset.images[both].astype(np.float32) / 255, dataset.labels[both]
    fold = np.concatenate([np.full(len(split.train), -1), np.zeros(len(split.validation), int)])
    points: list[dict[str, list[Any]]] = [
        {
            "hidden_layer_sizes": [t.config.hidden],
            "batch_size": [t.config.batch_size],
            "learning_rate_init": [t.config.learning_rate],
            "momentum": [t.config.momentum],
        }
        for t in trials
    ]
    network = MLPClassifier(
        solver="sgd", activation="relu", alpha=0.0, max_iter=config.epochs, nesterovs_momentum=False, tol=0.0
    )
    accuracies = []
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Each point is a distribution with a single value, so that the points are those of the sweep.
        search = RandomizedSearchCV(
            network, points, n_iter=len(points), cv=PredefinedSplit(fold), refit=False, n_jobs=2, random_state=0
        )
        search.fit(x, y)
    seconds = time.perf_counter() - began
    scores = {
        json.dumps(point, sort_keys=True): score
        for point, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    }
    for point in points:
        accuracies.append(float(scores[json.dumps({key: value[0] for key, value in point.items()}, sort_keys=True)]))
    return seconds, accuracies


def main() -> None:
    """Run both and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--hidden", default="[15, 30, 64]", help="sizes to draw from")
    parser.add_argument("--batch-size", default="[32, 64, 128]", help="sizes to draw from")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = f"dataset: {given.dataset}\nepochs: {given.epochs}\n"
        base += "activation: relu\ninit: glorot_uniform\noptimizer: momentum\n"
        (folder / "base.yaml").write_text(base)
        (folder / "sweep.yaml").write_text(
            SWEEP.format(points=given.points, hidden=given.hidden, batch_size=given.batch_size)
        )
        load_dataset(given.dataset)  # decompressed once for both
        seconds, accuracies = ours(folder)
        slow, others = theirs(folder)
    differences = [ours - other for ours, other in zip(accuracies, others, strict=True)]
    for number, (one, other) in enumerate(zip(accuracies, others, strict=True)):
        print(f"{number:3d}  mlptrain {one:.4f}  scikit-learn {other:.4f}  {one - other:+.4f}")
    print(f"mlptrain {seconds:.1f} s, scikit-learn {slow:.1f} s: {slow / seconds:.1f} times faster")
    print(f"difference: mean {fmean(differences):+.4f}, largest {max(map(abs, differences)):.4f}")


if __name__ == "__main__":
    main()
