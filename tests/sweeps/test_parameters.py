from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.errors import ConfigError
from tests.sweeps.made import spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("learning_rat: {values: [1]}", "mean 'learning_rate'"),
        ("schedule.warmpu: {values: [0.1]}", "mean 'schedule.warmup'"),
        ("learning_rate: {vales: [1]}", "mean 'values'"),
        ("learning_rate: {values: [0.1, -1]}", "learning_rate: must be greater than 0 (got -1)"),
        ("batch_size: {min: 2.5, max: 9}", "batch_size: must be a whole number"),
        ("learning_rate: [0.1]", "{values: ...}"),
        ("learning_rate: 0.1", "{value: ...}"),
        ("learning_rate: {}", "is empty"),
        ("learning_rate: {values: 0.1}", "values must be a list"),
        ("learning_rate: {values: [0.1, 0.1]}", "values contains 0.1 twice"),
        ("momentum: {values: [0, 0]}", "values contains 0 twice"),
        ("learning_rate: {values: [0.1], value: 2}", "one of values, value, or min and max"),
        ("learning_rate: {q: 2}", "one of values, value, or min and max"),
        ("learning_rate: {value: 0.1, q: 2}", "q cannot be combined"),
        ("learning_rate: {values: [1], probabilities: [1, 2]}", "probabilities must be 1 numbers"),
        ("epochs: {values: [1, 2], probabilities: [1, 2]}", "the sum 1 (got 3)"),
        ("schedule: {name.x: {value: cosine}}", "schedule.name.x: "),
        ("early_stopping.patience.x: {value: 3}", "(got {x: 3})"),
        ("epochs: {min: 1}", "max is missing"),
        ("epochs: {min: 1, max: x}", "max must be a number"),
        ("epochs: {min: 3, max: 3}", "min must be less than max"),
        ("epochs: {min: 1, max: 9, q: 0.5}", "q must be a whole number"),
        ("epochs: {min: 1, max: 9, q: 90}", "q must be greater than 0 and at most"),
        ("l2: {min: 0, max: 1.0, distribution: log_uniform_values}", "min must be greater than 0"),
        ("l2: {min: -3, max: 0, distribution: log_uniform}", "use log_uniform_values"),
        ("l2: {min: 0, max: 1, distribution: normal}", "distribution must be one of uniform"),
        ("l2: {min: 0, max: 1, distribution.normal}", "distribution must be one of uniform"),
        ("l2: {min: 0, max: 1, distribution: [uniform]}", "(got ['uniform'])"),
        ("l2: {min: 0.5, max: 1, distribution: int_uniform}", "int_uniform needs whole numbers"),
        ("l2: {min: 0.5, max: 1, distribution: q_uniform}", "q_uniform needs q"),
        ("l2: {values: [1], distribution: uniform}", "uniform cannot be combined with values"),
    ],
)
def test_errors_name_line_and_problem(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(tmp_path, f"parameters:\n  {text}")
    message = str(error.value)
    assert "sweep.yaml:5:" in message and problem in message and message.count("\n") < 3
