from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import Command

COLUMNS = "name path kind state started dataset layers epochs val_accuracy test_accuracy seconds problem"


def test_runs_are_listed_as_table_json_and_csv(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    for rate in (0.1, 0.5):
        assert mlptrain("train", tiny, "--run", f"r{rate}", f"learning_rate={rate}", "-q").code == 0
    (tmp_path / "runs/notes").mkdir()
    table = mlptrain("runs")
    assert table.code == 0 and table.err == ""
    heading, *lines = table.out.splitlines()
    assert heading.split()[:4] == ["name", "state", "when", "dataset"] and "784-8-10" in lines[0]
    assert {
        line.split()[0]: line.rstrip().endswith(end)
        for line, end in zip(lines, ("=0.5", "=0.1", "config.yaml"), strict=True)
    } == {
        "r0.5": True,
        "r0.1": True,
        "notes": True,
    }
    listed = json.loads(mlptrain("runs", "--json").out)
    assert [*listed] == ["runs"] and [[*row] for row in listed["runs"]] == [COLUMNS.split()] * 3
    rows = [*csv.DictReader(mlptrain("runs", "--csv", "--where", "kind=run").out.splitlines())]
    assert [row["learning_rate"] for row in rows] == ["0.5", "0.1"] and [*rows[0]] == [
        *COLUMNS.split(),
        "learning_rate",
    ]
    best = json.loads(
        mlptrain("runs", "--json", "--sort", "val_accuracy", "--limit", 1, "--where", "learning_rate=0.2..").out
    )
    assert [row["name"] for row in best["runs"]] == ["r0.5"]
    assert json.loads(mlptrain("runs", tmp_path / "runs", "--json").out)["runs"][0]["path"] == str(
        tmp_path / "runs/r0.5"
    )


def test_nothing_to_list(mlptrain: Command, tmp_path: Path) -> None:
    assert mlptrain("runs").code == 3
    (tmp_path / "runs").mkdir()
    assert mlptrain("runs").code == 0 and json.loads(mlptrain("runs", "--json", "--where", "seed=1").out) == {
        "runs": []
    }
    assert mlptrain("runs", "--json", "--csv").code == mlptrain("runs", "--where", "x").code == 2
