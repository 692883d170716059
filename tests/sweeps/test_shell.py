from __future__ import annotations

import pytest

from mlptrain.errors import UsageError
from mlptrain.sweeps.shell import all_trials, find_trial
from tests.sweeps.made import spec

VAST = """parameters:
  seed: {min: 0, max: 999999999}
  split_seed: {min: 0, max: 9223372036854775807}
  learning_rate: {values: [0.1, 0.2, 0.3, 0.5]}
"""


def test_a_trial_of_a_vast_grid_is_computed_from_its_number(tmp_path):
    sweep = spec(tmp_path, VAST + "repeat: 3\n")
    size = 10**9 * 2**63 * 4
    trial = find_trial(sweep, 3 * 999_999_999_999 + 2)
    assert (trial.config.split_seed, trial.config.learning_rate, trial.config.seed) == (249_999_999_999, 0.5, 2)
    assert find_trial(sweep, 3 * size - 1).config.split_seed == 2**63 - 1
    with pytest.raises(UsageError, match=str(3 * size)):
        find_trial(sweep, 3 * size)


def test_the_trials_of_a_sample_end_with_the_space(tmp_path):
    sweep = spec(
        tmp_path, "method: random\nrun_cap: 1000\nrepeat: 2\nparameters: {learning_rate: {values: [0.1, 1]}}\n"
    )
    assert find_trial(sweep, 3) == list(all_trials(sweep))[3]
    with pytest.raises(UsageError, match="trials, 4"):
        find_trial(sweep, 4)
