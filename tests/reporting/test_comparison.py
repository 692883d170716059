from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.reporting.comparison import comparison_lines
from mlptrain.runs.comparison import Comparison, Difference, Group, McNemar

FOUND = Comparison(
    tuple(Path("runs", f"run-{number}") for number in range(6)),
    {"learning_rate": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2], "seed": [0, 0, 1, 1, 2, 2]},
    {"epochs": [5] * 6, "test_accuracy": [0.9, 0.91, None, 0.93, 0.94, 0.95], "seconds": [1.0, 2.0, None, 0, 1, 1]},
    (Group((0, 2, 4), 0.9, 0.01), Group((1, 3, 5), 0.93, 0.02)),
    (Difference((0, 1), 0.03, 0.0129),),
    (McNemar((0, 1), 3, 9, 0.146), McNemar((1, 3), 30, 9, 0.0014)),
    ("runs/run-2: interrupted, so it has no test accuracy",),
)


@pytest.mark.parametrize("width", [40, 80, 120, 1000])
def test_runs_that_do_not_fit_side_by_side_follow_below(width: int) -> None:
    lines = comparison_lines(FOUND, width)
    assert max(map(len, lines)) <= width
    tables = [line for line in lines if line.split()[:1] == ["test_accuracy"]]
    assert sum(line.count("0.9") for line in tables) == 5 and len(tables) == {40: 6, 80: 2, 120: 1, 1000: 1}[width]
    if width > 100:
        assert "0.9300 (+0.0300)" in "".join(tables) and "2.0s (2.00x)" in "\n".join(lines)
        assert any("+0.0300, standard error 0.0129" in line for line in lines)
        assert [line.split()[-1] for line in lines if line.startswith("run-")] == ["binomial", "chi-square"]
    assert "not tested: runs/run-2: interrupted" in " ".join(lines)
