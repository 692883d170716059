from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlptrain.engine.layers import LayerStatistics
from mlptrain.errors import DataError
from mlptrain.runs.history import (
    COLUMNS,
    HEADING,
    LAYER_HEADING,
    layer_rows_of,
    layers_until,
    read_history,
    read_layers,
    row_of,
)
from mlptrain.training.reports import EpochReport, LayersReport


def report(epoch: Any, val: Any = 0.25, rate: Any = 0.1) -> EpochReport:
    return EpochReport(epoch, 9, 7, 1 / 3, 0.1 + 0.2, val, val, rate, 1.25)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    reports = (report(1), report(2, val=None), report(3, rate=1e-300))
    (tmp_path / "h.csv").write_text(HEADING + "".join(map(row_of, reports)))
    assert read_history(tmp_path / "h.csv", epochs=9, steps=7) == reports
    assert read_history(tmp_path / "h.csv")[0].epochs == 0


def test_a_value_that_is_not_finite_is_an_empty_cell(tmp_path: Path) -> None:
    assert row_of(report(1, val=math.inf)).startswith("1,0.3333333333333333,0.30000000000000004,,,0.1,1.2500")
    (tmp_path / "h.csv").write_text(HEADING + "1,,0.5" + "," * (len(COLUMNS) - 3) + "\n")
    (read,) = read_history(tmp_path / "h.csv")
    assert math.isnan(read.loss) and math.isnan(read.learning_rate) and read.val_loss is None


def test_a_history_of_an_older_version_may_lack_an_optional_column(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("epoch,loss,accuracy,val_accuracy,learning_rate,seconds\n1,0.5,0.25,0.75,0.1,1.0\n")
    (read,) = read_history(tmp_path / "h.csv")
    assert (read.loss, read.val_loss, read.val_accuracy, read.seconds) == (0.5, None, 0.75, 1.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "h.csv:1: expected the columns epoch,loss"),
        ("epoch,loss\n", "h.csv:1: expected the columns"),
        (HEADING.replace("loss", "cost"), "h.csv:1: expected the columns"),
        (HEADING.replace("epoch,loss", "loss,epoch"), "h.csv:1: expected the columns"),
        (HEADING.strip(), "h.csv:1: the last row is cut short"),
        (HEADING + "1,0.5,0.5,,,0.1,1.0", "h.csv:2: the last row is cut short"),
        (HEADING + "1,0.5,0.5,,,0.1\n", f"h.csv:2: expected epoch 1 in {len(COLUMNS)} columns"),
        (HEADING + "2,0.5,0.5,,,0.1,1.0\n", "expected epoch 1"),
        (HEADING + "1,0.5,0.5,,,x" + "," * (len(COLUMNS) - 6) + "\n", "expected epoch 1 in .* columns of numbers"),
        (HEADING + "\n", "expected epoch 1"),
        (HEADING + "9" * 5000 + ",1,1,1,1,1,1\n", "expected epoch 1"),
        ("\x00\xff", "h.csv:1: expected the columns"),
    ],
    ids=range(12),
)
def test_damage_is_reported_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "h.csv").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=words):
        read_history(tmp_path / "h.csv")


def test_a_missing_file_and_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_history(tmp_path / "h.csv")
    monkeypatch.setattr("mlptrain.runs.history.MAX_BYTES", 10)
    (tmp_path / "h.csv").write_text(HEADING)
    with pytest.raises(DataError, match="larger than"):
        read_history(tmp_path / "h.csv")


# ---- layers.csv ----------------------------------------------------------------------------------------


def layers_report(epoch: Any) -> LayersReport:
    hidden = LayerStatistics(1 / 3, 0.1 + 0.2, 1e-300, 0.5, 0.25, None, 0.1, 2.0, 1e-3)
    return LayersReport(epoch, (hidden, hidden._replace(saturated=None, dead=0.5), hidden._replace(saturated=None)))


def test_layers_are_read_as_they_were_written(tmp_path: Path) -> None:
    reports = tuple(layers_report(epoch) for epoch in range(3))
    (tmp_path / "l.csv").write_text(LAYER_HEADING + "".join(map(layer_rows_of, reports)))
    assert LAYER_HEADING.startswith("epoch,layer,z_mean,z_sd,a_mean,a_sd,saturated,dead,gradient_norm,weight_norm,up")
    assert read_layers(tmp_path / "l.csv") == reports
    assert layers_until(tmp_path / "l.csv", 1) == reports[:2]
    assert read_layers(tmp_path / "none.csv") == layers_until(tmp_path / "none.csv", 1) == ()


def test_a_statistic_that_is_not_finite_is_an_empty_cell(tmp_path: Path) -> None:
    overflown = LayersReport(0, (layers_report(0).layers[0]._replace(z_sd=math.inf, update_ratio=math.nan),))
    (tmp_path / "l.csv").write_text(LAYER_HEADING + layer_rows_of(overflown))
    ((read,),) = (report.layers for report in read_layers(tmp_path / "l.csv"))
    assert math.isnan(read.z_sd) and math.isnan(read.update_ratio) and read.dead is None and read.saturated == 0.25


@pytest.mark.parametrize(
    ("damage", "line", "kept"),
    [
        (lambda rows: ["epoch,loss", *rows[1:]], 1, 0),
        (lambda rows: [*rows[:5], "1,2,3", *rows[6:]], 6, 1),
        (lambda rows: [*rows[:5], rows[5].replace("0.5", "half"), *rows[6:]], 6, 1),
        (lambda rows: [*rows[:5], *rows[6:]], 5, 1),  # a layer is missing
        (lambda rows: [*rows[:7], *rows[4:]], 5, 1),  # an epoch twice
        (lambda rows: [*rows[:9], rows[9][:20]], 10, 2),  # cut short
    ],
)
def test_damaged_layers_are_refused_with_their_line_and_kept_up_to_it(
    tmp_path: Path, damage: Callable[..., Any], line: int, kept: int
) -> None:
    reports = tuple(layers_report(epoch) for epoch in range(3))
    rows = (LAYER_HEADING + "".join(map(layer_rows_of, reports))).splitlines()
    text = "\n".join(damage(rows))
    (tmp_path / "l.csv").write_text(text if text.endswith(rows[9][:20]) else text + "\n")
    with pytest.raises(DataError, match=rf"l\.csv:{line}: .*\nhint: delete"):
        read_layers(tmp_path / "l.csv")
    assert layers_until(tmp_path / "l.csv", 9) == reports[:kept]
