"""Stacks in the training loop: members train as they do alone, end one by one, and continue from their states."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Augment, Config, EarlyStopping, Schedule
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress
from mlptrain.training.trainer import Trainer
from tests.made import config
from tests.training.made import SQUARES, SQUARES_SPLIT

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam")

PLATEAU = Schedule(name="plateau", factor=0.5, patience=1)

Reported = EpochReport | LayersReport | Progress | Outcome


def small(**values: Any) -> Config:
    base = {"hidden": [6, 5], "activation": "tanh", "batch_size": 8, "epochs": 3, "learning_rate": 0.1}
    return config(**{**base, "dtype": "float64", "batch_seed": 0, **values})


def overfitting(**values: Any) -> Config:
    """A run whose validation loss rises early while the training loss falls, because the labels are arbitrary."""
    return small(**{"hidden": [20], "activation": "relu", "epochs": 30, **values})


def of(member: int, reports: Sequence[Reported]) -> list[Reported]:
    return [report for report in reports if report.member == member]


def ends(reports: Sequence[Reported]) -> list[Outcome]:
    return [report for report in reports if isinstance(report, Outcome)]


def assert_like_alone(
    reports: Sequence[Reported], settings: Sequence[Config], tolerance: float = 1e-9, differ: bool = True
) -> None:
    """Every report and the weights of each member are those of its config trained alone."""
    for member, each in enumerate(settings):
        together, alone = of(member, reports), list(Trainer([each], SQUARES, SQUARES_SPLIT).run())
        assert [type(report) for report in together] == [type(report) for report in alone]
        for ours, theirs in zip(together, alone, strict=True):
            for key, value in vars(theirs).items():
                found = getattr(ours, key)
                if key == "weights" and value is not None:
                    for w, expected in zip([*found[0], *found[1]], [*value[0], *value[1]], strict=True):
                        np.testing.assert_allclose(w, expected, rtol=tolerance, atol=tolerance)
                elif key == "layers":
                    found, expected = (np.array(layers, np.float64) for layers in (found, value))  # None becomes NaN
                    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
                elif isinstance(value, float) and key != "seconds":
                    assert found == pytest.approx(value, rel=tolerance, abs=tolerance), key
                elif key not in ("seconds", "member"):
                    assert found == value, key
    if differ:  # otherwise an option that does nothing would pass
        assert len({(outcome.loss, outcome.val_loss) for outcome in ends(reports)}) == len(settings)


VALUES: dict[str, Sequence[Any]] = {
    "seed": (0, 1, 7),
    "learning_rate": (0.02, 0.1, 0.3),
    "momentum": (0.0, 0.5, 0.9),
    "l1": (0.0, 0.001, 0.01),
    "l2": (0.0, 0.01, 0.1),
    "max_norm": (None, 0.5, 0.8),
    "clip_norm": (None, 0.05, 0.2),
    "dropout": (0.0, 0.2, (0.5, 0.1)),
    "input_dropout": (0.1, 0.2, 0.5),
    "label_smoothing": (0.0, 0.1, 0.4),
    "ema": (0.1, 0.3, 0.6),
    "epochs": (4, 1, 2),
    "schedule": (Schedule(name="cosine"), Schedule(name="exponential", gamma=0.9), PLATEAU),
}


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "ema": 0.9}], ids=str)
@pytest.mark.parametrize("key", VALUES)
def test_members_that_differ_train_as_alone(key: str, options: dict[str, Any]) -> None:
    optimizer = "momentum" if key == "momentum" else "adam"
    shared = {"optimizer": optimizer, "learning_rate": 0.02, **options}
    settings = [small(**{**shared, key: value}) for value in VALUES[key]]
    assert_like_alone(list(Trainer(settings, SQUARES, SQUARES_SPLIT).run()), settings)


def test_members_in_float32() -> None:
    settings = [small(dtype="float32", seed=seed, learning_rate=rate) for seed, rate in ((0, 0.1), (1, 0.3), (2, 0.02))]
    assert_like_alone(list(Trainer(settings, SQUARES, SQUARES_SPLIT).run()), settings, tolerance=1e-5)


def test_schedules_span_the_steps_of_each_members_run() -> None:
    settings = [small(epochs=epochs, schedule=Schedule(name="one_cycle", warmup=0.1)) for epochs in (2, 3, 5)]
    assert_like_alone(list(Trainer(settings, SQUARES, SQUARES_SPLIT).run()), settings)


# ---- leaving the stack --------------------------------------------------------------------------------


def test_members_stop_early_one_by_one() -> None:
    """Patience, plateau and the best weights are each member's own, and the others continue."""
    rules = (EarlyStopping(patience=1), None, EarlyStopping(patience=4, restore_best=False), EarlyStopping(patience=2))
    settings = [
        overfitting(seed=seed, early_stopping=rule, epochs=20, schedule=PLATEAU) for seed, rule in enumerate(rules)
    ]
    trainer, active = Trainer(settings, SQUARES, SQUARES_SPLIT), []
    reports = []
    for report in trainer.run():
        reports.append(report)
        active.append(len(trainer.active))
    assert_like_alone(reports, settings)
    outcomes = {outcome.member: outcome for outcome in ends(reports)}
    assert [outcomes[k].stopped for k in range(4)] == ["early_stopping", None, "early_stopping", "early_stopping"]
    assert len({outcomes[k].epochs for k in range(4)}) > 2
    assert sorted(active, reverse=True) == active and active[0] == 4 and active[-1] == 0


@pytest.mark.parametrize("rate", [1e6, 1e200])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_member_that_diverges_does_not_affect_the_others(position: int, rate: float) -> None:
    """NaN never spreads: the others are the same with the diverging member or without it."""
    rates = [0.02, 0.05]
    rates.insert(position, rate)
    shared = {"loss": "mse", "output": "linear", "activation": "relu", "dropout": 0.1, "epochs": 9}
    settings = [small(learning_rate=each, seed=seed, **shared) for seed, each in enumerate(rates)]
    reports = list(Trainer(settings, SQUARES, SQUARES_SPLIT).run())
    assert_like_alone(reports, settings, differ=False)
    (lost,) = [outcome for outcome in ends(reports) if outcome.diverged]
    assert lost.member == position and lost.weights is None and lost.loss is None
    assert "loss at step" in lost.diverged and f"learning_rate={rate / 10:g}" in lost.diverged
    assert all(math.isfinite(outcome.loss) for outcome in ends(reports) if outcome is not lost)


def test_a_member_that_diverges_in_the_middle_of_an_epoch_leaves_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK_IMAGES", 16)
    shared = {"loss": "mse", "output": "linear", "activation": "relu"}
    settings = [small(learning_rate=rate, **shared) for rate in (1e120, 0.02)]
    reports = list(Trainer(settings, SQUARES, SQUARES_SPLIT).run())
    assert_like_alone(reports, settings, differ=False)
    position = next(index for index, report in enumerate(reports) if isinstance(report, Outcome))
    assert reports[position].diverged and not any(isinstance(report, EpochReport) for report in reports[:position])
    assert of(0, reports[position + 1 :]) == []


def test_a_validation_loss_that_is_not_finite_removes_one_member() -> None:
    shared = {"loss": "mse", "output": "linear", "batch_size": "full", "epochs": 2}
    settings = [small(learning_rate=rate, **shared) for rate in (0.02, 1e200)]
    reports = list(Trainer(settings, SQUARES, SQUARES_SPLIT).run())
    assert_like_alone(reports, settings, differ=False)
    assert "validation loss after epoch 1" in ends(reports)[0].diverged


def test_a_pause_has_no_outcomes_and_can_be_continued() -> None:
    settings = [small(seed=seed, epochs=epochs) for seed, epochs in enumerate((4, 2, 4))]
    trainer = Trainer(settings, SQUARES, SQUARES_SPLIT)
    reports = list(trainer.run(until=3))
    assert [outcome.member for outcome in ends(reports)] == [1]
    assert (trainer.epoch, trainer.step, trainer.active) == (3, 0, (0, 2))
    now = trainer.outcome(2, "halved")
    assert (now.member, now.epochs, now.stopped) == (2, 3, "halved")
    assert now.val_loss == of(2, reports)[-1].val_loss
    reports += trainer.run()
    assert trainer.active == ()
    assert_like_alone(reports, settings)


def test_seconds_are_shared_out() -> None:
    settings = [small(seed=seed) for seed in range(4)]
    reports = list(Trainer(settings, SQUARES, SQUARES_SPLIT).run())
    assert len({report.seconds for report in reports if isinstance(report, EpochReport) and report.epoch == 2}) == 1
    assert len({outcome.seconds for outcome in ends(reports)}) == 1


def test_configs_that_cannot_share_a_stack() -> None:
    with pytest.raises(ValueError, match="stack keys differ"):
        Trainer([small(), small(batch_size=16)], SQUARES, SQUARES_SPLIT)


# ---- states --------------------------------------------------------------------------------------------


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a file would return it: arrays as they are, all other values through JSON."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    return {**json.loads(json.dumps({key: state[key] for key in state if key not in arrays})), **arrays}


def comparable(report: Reported) -> list[Any]:
    values = {key: value for key, value in vars(report).items() if key not in ("seconds", "weights")}
    weights = report.weights if isinstance(report, Outcome) and report.weights is not None else ((), ())
    return [type(report), values, [array.tobytes() for layer in weights for array in layer]]


def assert_continues(settings: Sequence[Config], stride: int = 1) -> None:
    """A trainer that continues from the state after any report gives the same bytes."""
    whole = list(Trainer(settings, SQUARES, SQUARES_SPLIT).run())
    expected = [comparable(report) for report in whole]
    for count in range(1, len(whole), stride):
        first = Trainer(settings, SQUARES, SQUARES_SPLIT)
        reports = first.run()
        for _ in range(count):
            next(reports)
        if first.active != tuple(range(len(settings))):
            break
        states = [through_json(first.state(member)) for member in first.active]
        second = Trainer(settings, SQUARES, SQUARES_SPLIT)
        second.restore(states)
        found = [comparable(report) for report in second.run()]
        if isinstance(whole[count - 1], EpochReport) or len(settings) == 1:
            # The reports of the members at one step come together, and the state is that after all of them.
            assert found == expected[len(expected) - len(found) :], count
        assert found[-len(settings) :] == expected[-len(settings) :], count


EVERYTHING: dict[str, Any] = {
    "batch_norm": True,
    "ema": 0.9,
    "dropout": 0.3,
    "input_dropout": 0.1,
    "l2": 0.01,
    "schedule": Schedule(name="plateau", factor=0.5, patience=1, warmup=0.1),
    "augment": Augment(shift=1, rotate=10),
    "early_stopping": EarlyStopping(patience=9),
}


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_network_continues_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK_IMAGES", 16)
    # Epochs have an odd number of reports, so that a stride of 2 reaches each of them.
    assert_continues([small(optimizer=optimizer, dtype="float32", **options)], stride=2)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("optimizer", ["sgd", "nadam"])
def test_a_stack_continues_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK_IMAGES", 16)
    each = [{"seed": 0, "beta1": 0.8}, {"seed": 1, "learning_rate": 0.05}, {"seed": 2, "label_smoothing": 0.1}]
    assert_continues([small(**{"optimizer": optimizer, "dtype": "float32", **options, **own}) for own in each], 3)


@pytest.mark.parametrize("batch_size", [1, "full"])
def test_batches_of_one_and_of_all_continue(batch_size: int | str) -> None:
    assert_continues([small(batch_size=batch_size, epochs=2)])


def test_a_run_stopped_by_a_time_limit_continues_within_the_chunk() -> None:
    settings = small(optimizer="adam", schedule=Schedule(name="cosine"), augment=Augment(shift=1))
    *_, expected = Trainer([settings], SQUARES, SQUARES_SPLIT).run()
    state, reports = None, []
    for _ in range(22):  # one step each: three epochs of seven, and one that has nothing left to do
        trainer = Trainer([settings], SQUARES, SQUARES_SPLIT)
        if state is not None:
            trainer.restore([state])
        reports = list(trainer.run(time_limit=0.0))
        if trainer.active:
            assert reports[-1].stopped == "time_limit"
            state = through_json(trainer.state())
    assert comparable(reports[-1]) == comparable(expected)


def test_survivors_of_several_stacks_continue_together() -> None:
    settings = [small(seed=seed, optimizer="adam", learning_rate=0.02, epochs=5) for seed in range(4)]
    states = []
    for pair in (settings[:2], settings[2:]):
        trainer = Trainer(pair, SQUARES, SQUARES_SPLIT)
        assert not ends(list(trainer.run(until=2)))
        states.append(trainer.state(1))
    survivors = Trainer([settings[1], settings[3]], SQUARES, SQUARES_SPLIT)
    survivors.restore(states)
    for outcome, each in zip(ends(list(survivors.run())), (settings[1], settings[3]), strict=True):
        (alone,) = ends(list(Trainer([each], SQUARES, SQUARES_SPLIT).run()))
        assert (outcome.epochs, outcome.samples, outcome.best_epoch) == (5, 5 * 49, alone.best_epoch)
        assert outcome.val_loss == pytest.approx(alone.val_loss, rel=1e-9)
        np.testing.assert_allclose(outcome.weights[0][0], alone.weights[0][0], rtol=0, atol=1e-9)


def test_the_state_of_a_finished_member_gives_its_outcome() -> None:
    trainer = Trainer([small(epochs=2, early_stopping=EarlyStopping())], SQUARES, SQUARES_SPLIT)
    reports = trainer.run()
    for report in reports:
        if isinstance(report, EpochReport) and report.epoch == 2:
            break
    state, expected = trainer.state(), next(reports)
    again = Trainer([small(epochs=2, early_stopping=EarlyStopping())], SQUARES, SQUARES_SPLIT)
    again.restore([state])
    assert [comparable(report) for report in again.run()] == [comparable(expected)]


@pytest.mark.parametrize(
    ("others", "change", "words"),
    [
        ({"hidden": [7]}, {}, "network.parameters is not 206 numbers of float64"),
        ({"dtype": "float32"}, {}, "parameters is not 209 numbers of float32"),
        ({"optimizer": "adam"}, {}, "optimizer.arrays0.* is only in one of the two"),
        ({}, {"stack.network.parameters": 3.0}, "another network"),
        ({}, {"order": "{}"}, "not the state of a random stream"),
    ],
    ids=["hidden", "dtype", "optimizer", "no array", "order"],
)
def test_states_that_do_not_fit_are_refused(others: dict[str, Any], change: dict[str, Any], words: str) -> None:
    state = Trainer([small()], SQUARES, SQUARES_SPLIT).state() | change
    with pytest.raises(ValueError, match=words):
        Trainer([small(**others)], SQUARES, SQUARES_SPLIT).restore([state])


def test_states_of_different_steps_are_refused() -> None:
    trainer = Trainer([small()], SQUARES, SQUARES_SPLIT)
    states = [trainer.state()]
    reports = trainer.run()
    while not isinstance(next(reports), Progress):
        pass
    with pytest.raises(ValueError, match="different steps"):
        Trainer([small(), small()], SQUARES, SQUARES_SPLIT).restore([*states, trainer.state()])
