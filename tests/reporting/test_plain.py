from __future__ import annotations

import io
from dataclasses import replace

import pytest

from mlptrain.reporting.plain import PlainRun, layer_lines
from mlptrain.training.reports import Report
from tests.reporting import made


def reports(epochs: int = 20, done: int = 20) -> list[Report]:
    found: list[Report] = [made.start(epochs)]
    for number in range(1, done + 1):
        found += [made.progress(number, epochs), made.epoch(number, epochs)]
    return [*found, made.end(done, stopped="time_limit" if done < epochs else None)]


def written(*given: Report, log_every: int = 1) -> list[str]:
    stream = io.StringIO()
    reporter = PlainRun(stream, log_every=log_every)
    for report in given:
        reporter.show(report)
    reporter.close()
    reporter.close()
    return stream.getvalue().splitlines()


def test_golden_lines() -> None:
    assert written(*reports(2, 2)) == [
        "mnist-001: 2 epochs on mnist (49,000 training, 14,000 validation, 7,000 test)",
        "784-30-10 sigmoid, cross_entropy, sgd, 23,860 parameters, batch 64, 766 steps",
        "Epoch 1/2",
        "766/766 - 1s - 1ms/step - loss: 0.2567 - accuracy: 0.9234 - val_loss: 0.1843 - val_accuracy: 0.9456",
        "Epoch 2/2",
        "766/766 - 1s - 1ms/step - loss: 0.2567 - accuracy: 0.9234 - val_loss: 0.1843 - val_accuracy: 0.9456",
        "test - loss: 0.2281 - accuracy: 0.9350",
    ]


@pytest.mark.parametrize(("step", "words"), [(120, ["epoch 2", "step 120"]), (0, ["epoch 2"])])
def test_a_resumed_run_says_at_which_point(step: int, words: list[str]) -> None:
    [note] = written(replace(made.start(), history=(made.epoch(1),), step=step))[2:]
    assert all(word in note for word in words)
    assert ("step" in note) == (step > 0)


def test_the_start_of_a_run_has_notes_about_its_weights() -> None:
    start = replace(made.start(), start="runs/a (val_accuracy 0.9210)", fresh=True)
    first, second = written(start)[2:]
    assert first == "starting from runs/a (val_accuracy 0.9210)" and "nothing to resume" in second
    assert len(written(made.start())) == 2


def test_val_metrics_are_left_out_without_validation() -> None:
    lines = written(made.epoch(3, val_loss=None, val_accuracy=None, seconds=2.4))
    assert lines == ["Epoch 3/20", "766/766 - 2s - 3ms/step - loss: 0.2567 - accuracy: 0.9234"]


@pytest.mark.parametrize(
    ("epochs", "done", "shown"),
    [(20, 20, [7, 14, 20]), (14, 14, [7, 14]), (20, 10, [7, 10]), (20, 7, [7]), (3, 3, [3])],
)
def test_log_every_seventh_and_the_last(epochs: int, done: int, shown: list[int]) -> None:
    lines = written(*reports(epochs, done), log_every=7)
    assert [line for line in lines if line.startswith("Epoch")] == [f"Epoch {n}/{epochs}" for n in shown]


def test_an_early_stop_is_noted_before_the_result() -> None:
    note, result = written(*reports(20, 1))[-2:]
    assert "1 epoch" in note and "time limit" in note and result.startswith("test - loss:")


def test_layers_follow_their_epoch_if_that_is_shown() -> None:
    given: list[Report] = [made.start(4), made.layers(0)]
    for number in range(1, 5):
        given += [made.epoch(number, 4), made.layers(number)]
    lines = written(*given, log_every=2)
    assert lines[2:5] == [
        "Initial weights",
        "  layer 1  z -0.25 ± 1.50  a  0.40 ± 0.30  saturated  17%  gradient 1.2e-01  update 4.6e-03",
        "  layer 2  z -0.25 ± 1.50  a  0.40 ± 0.30                  gradient 1.2e-01  update 4.6e-03",
    ]
    assert [line.split()[0] for line in lines[5:]] == ["Epoch", "766/766", "layer", "layer"] * 2


def test_layers_leave_out_the_moments_where_there_is_no_room() -> None:
    for width, start in ((90, "layer 1  z"), (75, "layer 1  a"), (40, "layer 1  saturated")):
        assert layer_lines(made.layers(), width, "utf-8")[0].startswith(start)
    assert "+-" in layer_lines(made.layers(), 90, "ascii")[0]
