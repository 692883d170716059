from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.reporting.listing import csv_rows, listing_lines
from mlptrain.runs.listing import Row

CONFIG = {"dataset": "sample", "hidden": [30], "learning_rate": 0.1, "seed": 0}

METRICS = {"epochs": 20, "val_accuracy": 0.9, "test_accuracy": 0.875, "seconds": 2.0}


def row(name: str, **config: object) -> Row:
    return Row(name, Path("runs", name), "run", "complete", 1.7e9, {**CONFIG, **config}, METRICS, (20, 20))


ROWS = [
    *(row(f"quickstart-{number:03d}", seed=number % 2, learning_rate=0.1 if number else 0.25) for number in range(4)),
    Row("search", Path("runs/search"), "sweep", "running", None, CONFIG, METRICS, (3, 9), ("hidden", "seed")),
    Row("old", Path("runs/old"), "other", problem="not a run: no config.yaml"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 300])
def test_lines_fit_and_tell_what_differs(width: int) -> None:
    lines = listing_lines(ROWS, width)
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert "learning_rate=0.25" in lines[1] and "varies hidden, seed" in lines[5] and "3/9 trials" in lines[5]
        assert lines[6].endswith("not a run: no config.yaml") and "0.8750" in lines[1]
    assert ("784-30-10" in lines[1]) != any(
        line == "all: dataset sample, network 784-30-10" for line in lines
    ) or width < 80


def test_many_differences_are_those_from_the_most_frequent_value() -> None:
    rows = [row(str(number), **{f"key_{n}": int(n == number) for n in range(12)}) for number in range(12)]
    lines = listing_lines(rows, 100)
    assert lines[0].endswith("what differs from most") and lines[3].endswith("key_2=1")


def test_hostile_names_are_harmless() -> None:
    rows = [Row("=cmd()", Path("runs/=cmd()"), "run", "complete", None, {"dataset": "a\x1b[31m"}, {}, None)]
    assert csv_rows(rows)[1][:1] == ["'=cmd()"]
    assert "\x1b" not in "".join(listing_lines(rows, 200))
