from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command
from tests.handwriting.made import scene
from tests.made import sample

DIGITS = sample().images[::600].reshape(-1, 28, 28)


@pytest.fixture
def trained(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    assert mlptrain("train", tiny, "--run", "a", "-q").code == 0
    np.save(tmp_path / "digits.npy", DIGITS)
    np.save(tmp_path / "one.npy", DIGITS[0])


def test_a_digit_is_drawn_with_its_probabilities(mlptrain: Command, trained: None) -> None:
    result = mlptrain("predict", "a", "one.npy")
    lines = result.out.splitlines()
    assert result.code == 0 and result.err == "" and len(lines) == 15
    assert lines[0].startswith("one.npy: ") and "%" in lines[0]
    assert any("▀" in line or "█" in line for line in lines) and "\x1b" not in result.out


def test_json_and_csv_hold_all_probabilities(mlptrain: Command, trained: None) -> None:
    found = json.loads(mlptrain("predict", "a", "digits.npy", "one.npy", "--json", "-q").out)["predictions"]
    assert [row["image"] for row in found] == [*(f"digits.npy[{i}]" for i in range(len(DIGITS))), "one.npy"]
    for row in found:
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["label"] == str(np.argmax(row["probabilities"]))
    result = mlptrain("predict", "a", "digits.npy", "one.npy", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["label"] for row in rows] == [row["label"] for row in found]
    assert [float(rows[0][str(i)]) for i in range(10)] == found[0]["probabilities"]
    assert "digits.npy[0]" in result.err


@pytest.mark.parametrize("order", [["one.npy", "a"], ["one.npy", "digits.npy", "runs/a"], ["nowhere.png", "latest"]])
def test_a_run_after_the_images_gets_a_hint(mlptrain: Command, trained: None, order: list[str]) -> None:
    refused = mlptrain("predict", *order)
    images, run = order[:-1], order[-1]
    assert refused.code == 2 and refused.err.endswith(f"mlptrain predict {' '.join([run, *images])}\n")


def test_images_that_cannot_be_classified_have_a_row_each(mlptrain: Command, trained: None) -> None:
    images = ("one.npy", "nowhere.png", "one.npy")
    result = mlptrain("predict", "a", *images)
    assert result.code == 3 and "nowhere.png" in result.err
    assert [line.partition(":")[0] for line in result.out.splitlines() if ".npy: " in line or ".png: " in line] == [
        *images
    ]
    result = mlptrain("predict", "a", *images, "tiny.yaml", "--json", "-q")
    first, missing, third, other = json.loads(result.out)["predictions"]
    assert result.code == 3 and first == third and first["error"] is None and first["warning"] is None
    assert missing["image"] == "nowhere.png" and missing["label"] is missing["probabilities"] is None
    assert "no such file" in missing["error"] and "tiny.yaml" in other["error"]
    assert "2 of 4 images" in result.err and all(name in result.err for name in ("nowhere.png", "tiny.yaml"))
    result = mlptrain("predict", "a", *images, "--csv")
    rows = list(csv.reader(io.StringIO(result.out)))
    assert result.code == 3 and [len(row) for row in rows] == [12] * 4
    assert rows[2] == ["nowhere.png", *[""] * 11] and rows[1] == rows[3]


def test_a_warning_is_shown_for_two_digits(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.minimum(scene(200, 300, 50, 30), scene(200, 300, 50, 160)))
    assert "warning: " in mlptrain("predict", "a", "two.npy").out
    (row,) = json.loads(mlptrain("predict", "a", "two.npy", "--json", "-q").out)["predictions"]
    assert "more than one digit" in row["warning"] and row["label"] is not None


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["nowhere", "one.npy"], 3, "nowhere"),
        (["a", "one.npy", "--json", "--csv"], 2, "--csv"),
    ],
)
def test_a_refusal_leaves_stdout_empty(
    arguments: list[str], code: int, part: str, mlptrain: Command, trained: None
) -> None:
    result = mlptrain("predict", *arguments)
    assert (result.code, result.out) == (code, "") and part in result.err and result.err.count("\n") <= 3


def test_quiet_prints_the_labels(mlptrain: Command, trained: None) -> None:
    found = json.loads(mlptrain("predict", "a", "digits.npy", "--json", "-q").out)["predictions"]
    result = mlptrain("predict", "a", "digits.npy", "-q")
    assert result.out.splitlines() == [row["label"] for row in found] and result.err == ""


def test_names_in_csv_are_no_formulas(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    (tmp_path / "one.npy").rename(tmp_path / "=one.npy")
    rows = [*csv.reader(io.StringIO(mlptrain("predict", "a", "=one.npy", "--csv", "-q").out))]
    assert rows[1][0] == "'=one.npy" and rows[1][1] in "0123456789"


def test_augment_averages_over_deformed_copies(mlptrain: Command, tiny: Path, trained: None) -> None:
    mlptrain("train", tiny, "--run", "b", "-q", "augment.shift=2")
    plain, first, second = (
        json.loads(mlptrain("predict", "b", "digits.npy", "one.npy", "--json", "-q", *option).out)["predictions"]
        for option in ([], ["--augment", 4], ["--augment", 4])
    )
    assert first == second and first[0]["probabilities"] == pytest.approx(first[-1]["probabilities"], rel=1e-5)
    for row, other in zip(first, plain, strict=True):
        assert row["probabilities"] != pytest.approx(other["probabilities"], rel=1e-3)
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["label"] == str(np.argmax(row["probabilities"]))


@pytest.mark.parametrize(("copies", "part"), [(4, "runs/a: "), (0, "--augment: ")])
def test_augment_needs_a_run_with_augmentation(copies: int, part: str, mlptrain: Command, trained: None) -> None:
    refused = mlptrain("predict", "a", "nowhere.png", "--augment", copies)
    assert (refused.code, refused.out) == (2, "") and part in refused.err and "\nhint: " in refused.err
