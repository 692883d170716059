from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command

KEYS = ["runs", "config", "metrics", "groups", "differences", "mcnemar", "untested"]


def test_compare(mlptrain: Command, tiny: Path) -> None:
    for seed in (1, 2):
        assert mlptrain("train", tiny, "--run", f"s{seed}", f"seed={seed}", "-q").code == 0
    shown = mlptrain("compare", "s1", "s2")
    assert shown.code == 0 and shown.err == ""
    assert "runs/s1" in shown.out.splitlines()[0] and "over 2 seeds (s1, s2)" in shown.out and "chi-square" in shown.out
    found = json.loads(mlptrain("compare", "s1", "s2", "--json").out)
    assert [*found] == KEYS and found["runs"] == ["runs/s1", "runs/s2"] and found["config"] == {"seed": [1, 2]}
    assert [*found["groups"][0]] == ["runs", "mean", "sd"] and [*found["mcnemar"][0]] == ["runs", "n01", "n10", "p"]
    assert found["groups"][0]["runs"] == found["mcnemar"][0]["runs"] == found["runs"]
    assert mlptrain("compare", "s1", "missing", "--json").code == 3
    assert mlptrain("compare", "s1").code == mlptrain("compare", "s2", "latest").code == 2
