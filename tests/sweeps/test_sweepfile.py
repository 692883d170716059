from __future__ import annotations

import pytest

from mlptrain.config.values import difference
from mlptrain.errors import ConfigError
from mlptrain.sweeps.space import Choice, Interval
from mlptrain.sweeps.spec import Halving
from mlptrain.sweeps.sweepfile import read_sweep
from tests.sweeps.made import spec

RANDOM = "method: random\nrun_cap: 3\n"


def test_what_w_and_b_writes(tmp_path):
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


def test_it_is_written_down_so_that_it_reads_back_equal(tmp_path):
    text = "method: halving\nrun_cap: 9\nearly_terminate: {min_iter: 2, eta: 4}\nparameters:\n"
    text += "  learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1.0}\n  hidden: {values: [[3], 4]}\n"
    text += "  loss: {values: [mse, cross_entropy], probabilities: [0.5, 0.5]}\n  batch_size: {min: 4, max: 8, q: 2}\n"
    first = spec(tmp_path, text)
    assert first.halving == Halving(2, 4)
    (tmp_path / "again").mkdir()
    (tmp_path / "again/base.yaml").write_text(first.base_yaml())
    (tmp_path / "again/sweep.yaml").write_text(first.yaml())
    second = read_sweep(tmp_path / "again/sweep.yaml")
    assert second.space == first.space and second.digest == first.digest
    assert second.facts() == first.facts()


def test_what_has_changed_is_said(tmp_path):
    text = RANDOM + "parameters:\n  learning_rate: {values: [0.1, 0.3]}\n"
    first, second = spec(tmp_path, text), spec(tmp_path, text.replace("0.3", "0.5"), base="epochs: 9\n")
    assert first.digest != second.digest
    changed = difference(first.facts(), second.facts())
    assert changed["parameters.learning_rate"] == [{"values": [0.1, 0.3]}, {"values": [0.1, 0.5]}]
    assert changed["base: epochs"] == [2, 9]


def test_a_space_on_the_command_line(tmp_path):
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


def test_the_command_line_replaces_spaces_and_keys_of_the_sweep(tmp_path):
    text = RANDOM + "parameters:\n  learning_rate: {min: 0.1, max: 1.0}\n  hidden: {values: [[3], [4]]}\n"
    found = spec(
        tmp_path, text, "learning_rate=0.2,0.4", "seed=1,2", "method=grid", "run_cap=null", "metric.goal=minimize"
    )
    assert found.method == "grid" and found.metric.goal == "minimize" and found.seed == 0
    assert found.space.parameters["learning_rate"] == Choice((0.2, 0.4))
    assert found.space.parameters["seed"] == Choice((1, 2)) and found.points == 8


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("metric: {name: val_accuracy}\nparameters: {epochs: {value: 1}}", 3, "metric.goal: is missing"),
        ("metric: {name: test_accuracy, goal: maximize}\nparameters: {epochs: {value: 1}}", 3, "test part"),
        ("metric: {name: val_acc, goal: maximize}\nparameters: {epochs: {value: 1}}", 3, "did you mean 'val_accuracy'"),
        ("metric: {name: val_loss, goal: minimise}\nparameters: {epochs: {value: 1}}", 3, "did you mean 'minimize'"),
        ("metric: 3\nparameters: {epochs: {value: 1}}", 3, "must be a mapping such as {name: val_accuracy"),
        ("parameters:\n  learning_rat: {values: [1]}", 5, "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ("parameters:\n  schedule.warmpu: {values: [0.1]}", 5, "did you mean 'schedule.warmup'"),
        ("parameters:\n  learning_rate: {vales: [1]}", 5, "unknown key 'vales'; did you mean 'values'"),
        ("parameters:\n  learning_rate: {values: [0.1, -1]}", 5, "learning_rate: must be greater than 0 (got -1)"),
        ("parameters:\n  batch_size: {min: 2.5, max: 9}", 5, "batch_size: must be a whole number"),
        ("parameters:\n  learning_rate: [0.1]", 5, "write {values: ...}"),
        ("parameters:\n  learning_rate: 0.1", 5, "write {value: ...}"),
        ("parameters:\n  learning_rate: {}", 5, "is empty"),
        ("parameters:\n  learning_rate: {values: 0.1}", 5, "values must be a list"),
        ("parameters:\n  learning_rate: {values: [0.1, 0.1]}", 5, "values holds 0.1 twice"),
        ("parameters:\n  learning_rate: {values: [0.1], value: 2}", 5, "needs one of values, value, or min and max"),
        ("parameters:\n  learning_rate: {q: 2}", 5, "needs one of values, value, or min and max"),
        ("parameters:\n  learning_rate: {value: 0.1, q: 2}", 5, "q does not go with value"),
        (
            "parameters:\n  learning_rate: {values: [1], probabilities: [1, 2]}",
            5,
            "one number for each of the 1 values",
        ),
        ("parameters:\n  epochs: {values: [1, 2], probabilities: [1, 2]}", 5, "have the sum 1 (got 3)"),
        ("parameters:\n  schedule: {name.x: {value: cosine}}", 5, "schedule.name.x: must be one of constant"),
        ("parameters:\n  early_stopping.patience.x: {value: 3}", 5, "must be a whole number (got {x: 3})"),
        ("parameters:\n  epochs: {min: 1}", 5, "max is missing"),
        ("parameters:\n  epochs: {min: 1, max: x}", 5, "max must be a number"),
        ("parameters:\n  epochs: {min: 3, max: 3}", 5, "min must be below max"),
        ("parameters:\n  epochs: {min: 1, max: 9, q: 0.5}", 5, "q must be a whole number"),
        ("parameters:\n  epochs: {min: 1, max: 9, q: 90}", 5, "q must be a step"),
        ("parameters:\n  l2: {min: 0, max: 1.0, distribution: log_uniform_values}", 5, "min must be above 0"),
        ("parameters:\n  l2: {min: -3, max: 0, distribution: log_uniform}", 5, "use log_uniform_values"),
        ("parameters:\n  l2: {min: 0, max: 1, distribution: normal}", 5, "distribution must be one of uniform"),
        ("parameters:\n  l2: {min: 0, max: 1, distribution.normal}", 5, "distribution must be one of uniform"),
        ("parameters:\n  l2: {min: 0, max: 1, distribution: [uniform]}", 5, "(got ['uniform'])"),
        ("parameters:\n  l2: {min: 0.5, max: 1, distribution: int_uniform}", 5, "needs whole numbers"),
        ("parameters:\n  l2: {min: 0.5, max: 1, distribution: q_uniform}", 5, "needs q"),
        ("parameters:\n  l2: {values: [1], distribution: uniform}", 5, "does not go with values"),
        ("parameters:\n  l2: {min: 0.0, max: 1.0}", 5, "is continuous, and a grid over it has no end"),
        ("parameters: {}", 4, "is empty"),
        ("parameters: 3", 4, "must hold a key for each config key"),
        ("parametrs: {epochs: {value: 1}}", 4, "did you mean 'parameters'"),
        ("method: random\nparameters: {epochs: {value: 1}}", 3, "run_cap: is missing; random needs it"),
        ("run_cap: 3\nparameters: {epochs: {value: 1}}", 4, "a grid has all its points"),
        ("early_terminate: {eta: 3}\nparameters: {epochs: {value: 1}}", 4, "belongs to method: halving"),
        ("method: halving\nearly_terminate: {eta: 1}\nparameters: {epochs: {value: 1}}", 4, "must be at least 2"),
        ("method: bayes\nparameters: {epochs: {value: 1}}", 3, "must be one of grid, random, halving, tpe"),
        ("base: nowhere.yaml\nparameters: {epochs: {value: 1}}", 3, "there is no file"),
        ('base: "no\\twhere"\nparameters: {epochs: {value: 1}}', 3, "no\\twhere'; paths"),
        ("parameters: {split: {values: [official, official-60k]}}", 3, "needs validation images"),
    ],
)
def test_mistakes_are_said_with_their_line(tmp_path, text, line, words):
    with pytest.raises(ConfigError) as error:
        spec(tmp_path, text)
    message = str(error.value)
    assert words in message, message
    assert message.count("\n") < 3
    if "is missing" not in words:
        assert f"sweep.yaml:{line}:" in message, message


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "sweep.yaml").write_text("parameters: {epochs: {value: 1}}\n")
    with pytest.raises(ConfigError, match="base: is missing; name the config"):
        read_sweep(tmp_path / "sweep.yaml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing varies"),
        (["epochs=3"], "nothing varies"),
        (["learning_rate=0.1,x"], "command line: learning_rate: must be a number (got 'x')"),
        (["learning_rate=0.1,", "epochs=2"], "has no value"),
        (["epochs=1,2", "epochs=3"], "duplicate key"),
        (["epochs=1,2", "run_cap=1,2"], "must be one value"),
        (["learning_rat=1,2"], "did you mean 'learning_rate'"),
    ],
)
def test_mistakes_of_the_command_line(tmp_path, arguments, words):
    (tmp_path / "plain.yaml").write_text("epochs: 3\n")
    with pytest.raises(ConfigError) as error:
        read_sweep(tmp_path / "plain.yaml", arguments)
    assert words in str(error.value)
