"""Agreement of trials trained in stacks and alone: ``python -m benchmarks.stack_agreement [--trials N]``.

Rates, momentum, penalties, dropout, schedules and seeds are random; hidden and batch sizes have two values each, so
that stacks form. The test accuracy of every stacked trial is compared with that of the same config trained alone. A
second round adds a member with a rate of 1e6 to every stack, which must not change the others.
"""

from __future__ import annotations

import argparse
import random
from typing import Any

from mlptrain.config.config import Config, Schedule
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.models.evaluation import evaluate_weights
from mlptrain.runs.job import default_data_dir, load_dataset
from mlptrain.sweeps.planning import plan_wave
from mlptrain.sweeps.trials import Trial
from mlptrain.training.reports import Outcome
from mlptrain.training.stack import architecture_of
from mlptrain.training.trainer import Trainer

EPOCHS = 5


def draw(rng: random.Random, seed: int) -> Config:
    """Return the config of a random trial."""
    values: dict[str, Any] = {
        "hidden": [rng.choice((20, 40))],
        "batch_size": rng.choice((32, 64)),
        "optimizer": rng.choice(("sgd", "momentum", "adam")),
        "momentum": rng.uniform(0.0, 0.95),
        "l2": rng.choice((0.0, 1e-4, 1e-3)),
        "dropout": rng.choice((0.0, 0.0, 0.2)),
        "label_smoothing": rng.choice((0.0, 0.1)),
        "schedule": Schedule(name=rng.choice(("constant", "cosine", "one_cycle"))),
    }
    lowest, highest = (1e-4, 1e-2) if values["optimizer"] == "adam" else (1e-2, 1.0)
    values["learning_rate"] = lowest * (highest / lowest) ** rng.random()
    return Config(**values, epochs=EPOCHS, seed=seed, batch_seed=0).resolve()


def accuracies(configs: list[Config], data: Dataset, split: Split) -> list[float | None]:
    """Return the test accuracy of each config, trained in one stack; None if it diverged."""
    outcomes = [report for report in Trainer(configs, data, split).run() if isinstance(report, Outcome)]
    kept = {outcome.member: outcome.weights for outcome in outcomes if outcome.weights is not None}
    architecture = architecture_of(configs[0], data.images.shape[1], data.classes)
    _, found = evaluate_weights(architecture, list(kept.values()), configs[0].dtype, data, split.test)
    by_member = dict(zip(kept, found.tolist(), strict=True))
    return [by_member.get(member) for member in range(len(configs))]


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_agreement")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, data = random.Random(options.seed), load_dataset("sample")
    configs = [draw(rng, seed) for seed in range(options.trials)]
    split = make_split(data, configs[0].split, seed=0)
    trials = [Trial(number, number, {}, config) for number, config in enumerate(configs)]
    plans = plan_wave(trials, default_data_dir(), workers=1).stacks
    alone = [accuracies([config], data, split)[0] for config in configs]
    for what, guests in (("stacked", 0), ("next to a member with a rate of 1e6", 1)):
        worst, diverged = 0.0, 0
        for plan in plans:
            members = [configs[place] for place in plan.trials]
            guest = members[0].model_copy(update={"learning_rate": 1e6})
            found = accuracies([guest] * guests + members, data, split)
            diverged += guests and found[0] is None
            for place, accuracy in zip(plan.trials, found[guests:], strict=True):
                expected = alone[place]
                assert (accuracy is None) == (expected is None), f"trial {place} diverged in one of the two"
                if accuracy is not None and expected is not None:
                    worst = max(worst, abs(accuracy - expected) * 100)
        guests_said = f" ({diverged} of {len(plans)} of those diverged)" if guests else ""
        print(f"{len(configs)} trials in {len(plans)} stacks, {what}{guests_said}: within {worst:.2f} points of alone")


if __name__ == "__main__":
    main()
