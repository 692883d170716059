from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path

import pytest

from mlptrain.errors import UsageError
from mlptrain.sweeps.shell import all_trials, commands, find_trial, train_command
from tests.shells import INSTALLED, READERS, check_line, named, shell
from tests.sweeps.made import spec

SPACE = """parameters:
  hidden: {values: [[], [4], [4, 3]]}
  split: {values: [official, [0.6, 0.2, 0.2]]}
  subset: {values: [null, 100]}
  batch_norm: {value: true}
  learning_rate: {value: 0.00001}
  early_stopping.patience: {value: 3}
  schedule: {values: [cosine, {name: step, every: 5, gamma: 0.5}]}
"""

VAST = """parameters:
  seed: {min: 0, max: 999999999}
  split_seed: {min: 0, max: 9223372036854775807}
  learning_rate: {values: [0.1, 0.2, 0.3, 0.5]}
"""


def test_listed_lines_are_the_configs_of_the_trials(tmp_path: Path) -> None:
    sweep = named(spec(tmp_path, SPACE), "-rf.yaml")
    lines = commands(sweep, "job", runs_dir=Path("out/runs"))
    for line, trial in zip(lines, all_trials(sweep), strict=True):
        check_line(line, sweep, trial, run="job", runs_dir="out/runs")


@pytest.mark.parametrize("name", READERS)
def test_every_shell_passes_listed_lines_on_unchanged(tmp_path: Path, name: str) -> None:
    if name not in INSTALLED:
        pytest.skip(f"{name} is not installed")
    lines = list(commands(named(spec(tmp_path, SPACE), "-rf.yaml"), "job", runs_dir=Path("out/runs")))
    assert len(lines) == 24
    with shell(name, tmp_path) as one:
        for line in lines:
            assert one.words(line) == line.split(" ")[1:]


@pytest.mark.parametrize(("path", "word"), [("=x.yaml", "./=x.yaml"), ("a=b", "./a=b"), ("/d/-x", "/d/-x")])
def test_the_config_stays_a_path(tmp_path: Path, path: str, word: str) -> None:
    sweep = named(spec(tmp_path, SPACE), path)
    assert next(commands(sweep, "job", runs_dir=Path("runs"))).split(" ")[2] == word


@pytest.mark.parametrize(
    ("path", "run"), [("a b.yaml", "x"), ("~/x.yaml", "x"), ("x.yaml", "../x"), ("x.yaml", "a[1]")]
)
def test_paths_that_need_quotes_or_lead_elsewhere_are_refused(tmp_path: Path, path: str, run: str) -> None:
    sweep = named(spec(tmp_path, SPACE), path)
    with pytest.raises(UsageError):
        next(commands(sweep, run, runs_dir=Path("runs")))


def test_a_trial_of_a_vast_grid_is_computed_from_its_number(tmp_path: Path) -> None:
    sweep = spec(tmp_path, VAST + "repeat: 3\n")
    size = 10**9 * 2**63 * 4
    trial = find_trial(sweep, 3 * 999_999_999_999 + 2)
    assert (trial.config.split_seed, trial.config.learning_rate, trial.config.seed) == (249_999_999_999, 0.5, 2)
    assert find_trial(sweep, 3 * size - 1).config.split_seed == 2**63 - 1
    with pytest.raises(UsageError, match=str(3 * size)):
        find_trial(sweep, 3 * size)


def test_the_trials_of_a_sample_end_with_the_space(tmp_path: Path) -> None:
    sweep = spec(
        tmp_path, "method: random\nrun_cap: 1000\nrepeat: 2\nparameters: {learning_rate: {values: [0.1, 1]}}\n"
    )
    assert find_trial(sweep, 3) == list(all_trials(sweep))[3]
    with pytest.raises(UsageError, match="trials, 4"):
        find_trial(sweep, 4)


def test_the_command_of_a_trial_names_every_varied_key(tmp_path: Path) -> None:
    sweep = spec(tmp_path, "parameters: {learning_rate: {values: [0.5, 1]}, hidden: {values: [[4], [4, 3]]}}\n")
    sweep = named(sweep, "a b.yaml")
    first, second = islice(all_trials(sweep), 2)
    words = shlex.split(train_command(sweep, first.config))
    assert words == ["mlptrain", "train", "a b.yaml", "hidden=4", "learning_rate=0.5", "batch_seed=0"]
    assert "hidden=4,3" in train_command(sweep, second.config).split()
