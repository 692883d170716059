from __future__ import annotations

import math

import pytest

from mlptrain.history import read_history
from mlptrain.learning import curves_of
from mlptrain.runs import RunFolder
from tests.made import config
from tests.reporting.made import epoch


def test_a_column_a_figure():
    curves = curves_of([epoch(1, loss=2.0), epoch(2, loss=1.0, val_loss=0.5)])
    assert curves.epochs == (1, 2) and curves.loss == (2.0, 1.0) and curves.val_loss == (0.1843, 0.5)
    assert curves.validated and curves.diverged is None


def test_without_validation():
    curves = curves_of([epoch(1, val_loss=None, val_accuracy=None)])
    assert not curves.validated and curves.val_loss == curves.val_accuracy == ()


def test_the_epoch_that_diverged_is_no_finished_one():
    curves = curves_of([epoch(1), epoch(2, loss=math.nan, val_loss=None)])
    assert curves.diverged == 2 and curves.epochs == (1,) and curves.validated


def test_a_diverged_run_reads_back(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(config())
    folder.append(epoch(1))
    folder.append_diverged(2)
    assert curves_of(read_history(tmp_path / "history.csv")).diverged == 2


def test_of_nothing():
    assert curves_of([]).epochs == ()
    with pytest.raises(AttributeError):
        curves_of([]).epochs = (1,)  # type: ignore[misc]
