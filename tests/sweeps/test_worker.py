from __future__ import annotations

from typing import Any

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps import worker
from mlptrain.sweeps.executors import Broken, Done
from mlptrain.sweeps.worker import run_task
from tests.sweeps.made import task


def test_members_have_metrics_models_and_histories() -> None:
    done = run_task(task(3, seeds=2))
    assert isinstance(done, Done) and done.stack == 3
    assert [(result.trial, result.status) for result in done.results] == [(0, "finished"), (1, "finished")]
    for result in done.results:
        assert result.model is not None and result.metrics["epochs"] == 2 and result.state is None
        assert [report.epoch for report in result.history] == [1, 2]
        recorded = result.recorded
        assert recorded.metrics == result.metrics and (recorded.model, recorded.history) == (None, ())


def test_paused_members_have_states_that_continue() -> None:
    whole, first = run_task(task(0)), run_task(task(0, until=1))
    assert isinstance(whole, Done) and isinstance(first, Done)
    assert first.results[0].status == "paused" and first.results[0].metrics["stopped"] == "halving"
    assert first.results[0].state is not None
    second = run_task(task(0, states=(first.results[0].state,)))
    assert isinstance(second, Done) and second.results[0].status == "finished"
    assert second.results[0].metrics["val_loss"] == whole.results[0].metrics["val_loss"]
    assert [report.epoch for report in second.results[0].history] == [2]


def test_members_that_diverge_have_a_message_and_no_model() -> None:
    done = run_task(task(0, hidden=(), output="linear", loss="mse", learning_rate=1e30))
    assert isinstance(done, Done)
    (result,) = done.results
    assert result.status == "diverged" and "diverged" in (result.message or "") and list(result.metrics) == ["seconds"]
    assert result.model is None and result.state is None


@pytest.mark.parametrize(
    ("error", "message"),
    [(MemoryError(), "--no-stack"), (KeyError("x"), "KeyError: 'x'"), (DataError("no data"), "no data")],
)
def test_errors_come_back_as_messages(monkeypatch: pytest.MonkeyPatch, error: Any, message: str) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(worker, "Trainer", fail)
    event = run_task(task(7))
    assert isinstance(event, Broken) and event.stack == 7 and message in event.message
