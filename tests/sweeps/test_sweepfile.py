from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.config.config import dump_yaml
from mlptrain.config.values import difference
from mlptrain.errors import ConfigError
from mlptrain.sweeps.shell import all_trials, train_command
from mlptrain.sweeps.space import Choice, Interval
from mlptrain.sweeps.spec import Halving
from mlptrain.sweeps.sweepfile import read_sweep
from tests.sweeps.made import spec

RANDOM = "method: random\nrun_cap: 3\n"
EPOCHS = "parameters: {epochs: {value: 1}}\n"
METRIC_AND_BASE = "base: base.yaml\nmetric: {name: val_accuracy, goal: maximize}\n"


def test_spaces_are_written_like_those_of_wandb(tmp_path: Path) -> None:
    found = spec(
        tmp_path,
        """method: random
metric: {name: val_loss, goal: minimize}
run_cap: 40
repeat: 3
seed: 7
parameters:
  hidden: {values: [[15], [30]]}
  learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1.0}
  batch_size: {min: 16, max: 128, q: 16}
  momentum: {min: 0.0, max: 0.95}
  loss: {values: [cross_entropy, mse], probabilities: [0.8, 0.2]}
  epochs: {value: 3}
  schedule: {parameters: {name: {value: cosine}, warmup: {values: [0.1, 0.2]}}}
  early_stopping.patience: {distribution: int_uniform, min: 2, max: 5}
""",
    )
    assert (found.method, found.run_cap, found.repeat, found.seed) == ("random", 40, 3, 7)
    assert found.metric.name == "val_loss" and found.metric.sign == -1
    assert found.space.parameters == {
        "hidden": Choice(([15], [30])),
        "learning_rate": Interval(1e-3, 1.0, False, log=True),
        "batch_size": Interval(16, 128, True, step=16),
        "momentum": Interval(0.0, 0.95, False),
        "loss": Choice(("cross_entropy", "mse"), (0.8, 0.2)),
        "epochs": Choice((3,)),
        "schedule.name": Choice(("cosine",)),
        "schedule.warmup": Choice((0.1, 0.2)),
        "early_stopping.patience": Interval(2, 5, True),
    }


def test_written_sweeps_read_back_equal(tmp_path: Path) -> None:
    text = "method: halving\nrun_cap: 9\nearly_terminate: {min_iter: 2, eta: 4}\nparameters:\n"
    text += "  learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1.0}\n  hidden: {values: [[3], 4]}\n"
    text += "  loss: {values: [mse, cross_entropy], probabilities: [0.5, 0.5]}\n  batch_size: {min: 4, max: 8, q: 2}\n"
    first = spec(tmp_path, text)
    assert first.halving == Halving(2, 4)
    (tmp_path / "again").mkdir()
    (tmp_path / "again/base.yaml").write_text(dump_yaml(first.base_config))
    (tmp_path / "again/sweep.yaml").write_text(first.yaml())
    second = read_sweep(tmp_path / "again/sweep.yaml")
    assert second.space == first.space and second.digest == first.digest
    assert second.facts() == first.facts()


def test_differences_between_sweeps_are_described(tmp_path: Path) -> None:
    text = RANDOM + "parameters:\n  learning_rate: {values: [0.1, 0.3]}\n"
    first, second = spec(tmp_path, text), spec(tmp_path, text.replace("0.3", "0.5"), base="epochs: 9\n")
    assert first.digest != second.digest
    changed = difference(first.facts(), second.facts())
    assert changed["parameters.learning_rate"] == [{"values": [0.1, 0.3]}, {"values": [0.1, 0.5]}]
    assert changed["base: epochs"] == [2, 9]


def test_a_space_is_given_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("epochs: 3\n")
    arguments = [
        "learning_rate=0.1,0.3,1",
        "hidden=[15],[30,10]",
        "epochs=5",
        "early_stopping.patience={min: 1, max: 3}",
    ]
    found = read_sweep(tmp_path / "plain.yaml", arguments)
    assert (found.method, found.metric.name, found.metric.goal) == ("grid", "val_accuracy", "maximize")
    assert found.space.parameters == {
        "learning_rate": Choice((0.1, 0.3, 1)),
        "hidden": Choice(([15], [30, 10])),
        "epochs": Choice((5,)),
        "early_stopping.patience": Interval(1, 3, True),
    }
    assert found.base_path == str(tmp_path / "plain.yaml") and found.points == 18


def test_the_command_line_replaces_spaces_and_keys_of_the_sweep(tmp_path: Path) -> None:
    text = RANDOM + "parameters:\n  learning_rate: {min: 0.1, max: 1.0}\n  hidden: {values: [[3], [4]]}\n"
    found = spec(
        tmp_path, text, "learning_rate=0.2,0.4", "seed=1,2", "method=grid", "run_cap=null", "metric.goal=minimize"
    )
    assert found.method == "grid" and found.metric.goal == "minimize" and found.seed == 0
    assert found.space.parameters["learning_rate"] == Choice((0.2, 0.4))
    assert found.space.parameters["seed"] == Choice((1, 2)) and found.points == 8


def test_repeats_of_a_config_read_back_equal(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("epochs: 3\nhidden: [4]\n")
    found = read_sweep(tmp_path / "plain.yaml", ["repeat=3", "epochs=5", "schedule=cosine", "seed=10"])
    assert found.seeds_only and found.points == 1 and found.base_config.epochs == 5
    trials = list(all_trials(found))
    assert [(trial.config.seed, trial.config.batch_seed) for trial in trials] == [(10, None), (11, None), (12, None)]
    command = train_command(found, trials[1].config).split()
    assert command[3:] == ["epochs=5", "schedule.name=cosine", "schedule.warmup=0.0", "seed=11"]
    (tmp_path / "base.yaml").write_text(dump_yaml(found.base_config))
    (tmp_path / "sweep.yaml").write_text(found.yaml())
    again = read_sweep(tmp_path / "sweep.yaml")
    assert again.seeds_only and again.digest == found.digest
    shorter = read_sweep(tmp_path / "sweep.yaml", ["epochs=1"])
    assert shorter.seeds_only and shorter.base_config.epochs == 1


def test_seeds_share_their_batches_if_the_sweep_has_a_space(tmp_path: Path) -> None:
    found = spec(tmp_path, "repeat: 2\n" + EPOCHS)
    assert not found.seeds_only
    assert [(trial.config.seed, trial.config.batch_seed) for trial in all_trials(found)] == [(0, 0), (1, 0)]
    (tmp_path / "plain.yaml").write_text("batch_seed: 5\nsplit: official-60k\n")
    found = read_sweep(tmp_path / "plain.yaml", ["repeat=2"])
    assert [trial.config.batch_seed for trial in all_trials(found)] == [5, 6] and found.metric.name == "loss"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("metric: {name: val_accuracy}\nparameters: {epochs: {value: 1}}", 3, "metric.goal"),
        ("method: halving\nparameters: {seed: {min: 0, max: 1000000}}", 4, "run_cap"),
        ("metric: {name: test_accuracy, goal: maximize}\nparameters: {epochs: {value: 1}}", 3, "val_accuracy"),
        ("metric: {name: val_acc, goal: maximize}\nparameters: {epochs: {value: 1}}", 3, "mean 'val_accuracy'"),
        ("metric: {name: val_loss, goal: minimise}\nparameters: {epochs: {value: 1}}", 3, "mean 'minimize'"),
        ("metric: 3\nparameters: {epochs: {value: 1}}", 3, "{name: val_accuracy"),
        ("parameters: {}", 4, "is empty"),
        ("parameters: 3", 4, "must be a mapping"),
        ("parametrs: {epochs: {value: 1}}", 4, "mean 'parameters'"),
        ("run_cap: 3\nparameters: {epochs: {value: 1}}", 4, "run_cap"),
        ("early_terminate: {eta: 3}\nparameters: {epochs: {value: 1}}", 4, "method: halving"),
        ("method: halving\nearly_terminate: {eta: 1}\nparameters: {epochs: {value: 1}}", 4, "at least 2"),
        ("method: bayes\nparameters: {epochs: {value: 1}}", 3, "grid, random, halving, tpe"),
        ("base: nowhere.yaml\nparameters: {epochs: {value: 1}}", 3, "nowhere.yaml"),
        ('base: "no\\twhere"\nparameters: {epochs: {value: 1}}', 3, "base: "),
        ("parameters:\n  l2: {min: 0.0, max: 1.0}", 5, "continuous"),
        ("parameters: {split: {values: [official, official-60k]}}", 3, "official-60k"),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(tmp_path, text)
    message = str(error.value)
    assert f"sweep.yaml:{line}:" in message and key in message and message.count("\n") < 3


@pytest.mark.parametrize(
    ("text", "key"), [("method: grid\n" + EPOCHS, "base"), ("method: random\n" + EPOCHS, "run_cap")]
)
def test_missing_keys_are_named(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text if key == "base" else METRIC_AND_BASE + text)
    (tmp_path / "base.yaml").write_text("epochs: 2\n")
    with pytest.raises(ConfigError, match=f"{key}: is missing"):
        read_sweep(tmp_path / "sweep.yaml")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nothing varies"),
        (["epochs=3"], "nothing varies"),
        (["epochs=3", "repeat=1"], "nothing varies"),
        (["epochs=x", "repeat=2"], "command line: epochs: must be"),
        (["repeat=0"], "command line: repeat: must be"),
        (["learning_rate=0.1,x"], "command line: learning_rate: must be a number (got 'x')"),
        (["learning_rate=0.1,", "epochs=2"], "has no value"),
        (["epochs=1,2", "epochs=3"], "duplicate key"),
        (["epochs=1,2", "run_cap=1,2"], "run_cap"),
        (["learning_rat=1,2"], "mean 'learning_rate'"),
    ],
)
def test_errors_of_the_command_line(tmp_path: Path, arguments: list[str], problem: str) -> None:
    (tmp_path / "plain.yaml").write_text("epochs: 3\n")
    with pytest.raises(ConfigError) as error:
        read_sweep(tmp_path / "plain.yaml", arguments)
    assert problem in str(error.value)
