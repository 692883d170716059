"""Options that act between steps and epochs, in the training loop of one network."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Augment, Config, EarlyStopping, Elastic, Schedule
from mlptrain.datasets.split import Split
from mlptrain.errors import DivergedError
from mlptrain.training import trainer
from mlptrain.training.stack import Stack
from mlptrain.training.trainer import Trainer
from tests.made import config, split
from tests.training.made import SQUARES, SQUARES_SPLIT, Run, pretend_validation, validated


def small(**values: Any) -> Config:
    return config(**{"hidden": [6], "batch_size": 8, "epochs": 3, "learning_rate": 0.3, "dtype": "float64", **values})


def overfitting(**values: Any) -> Config:
    """A run whose validation loss rises early while the training loss falls, because the labels are arbitrary."""
    return small(**{"hidden": [20], "activation": "relu", "learning_rate": 0.1, "epochs": 40, **values})


# ---- early stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 3, 6])
@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"ema": 0.9}, {"batch_norm": True, "ema": 0.9}], ids=str)
def test_early_stopping_restores_the_best_epoch(patience: int, options: dict[str, Any]) -> None:
    run = Run(overfitting(early_stopping=EarlyStopping(patience=patience), **options))
    outcome, losses = run.outcome, run.series("val_loss")
    best = int(np.argmin(losses))
    assert outcome.stopped == "early_stopping"
    assert outcome.best_epoch == best + 1
    assert outcome.epochs == len(run.epochs) == best + 1 + patience < 40
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[best])
    assert (run.weights != run.weights_of_epochs[-1]).any()
    # The metrics are those of the weights that are kept.
    kept = run.epochs[best]
    assert (outcome.loss, outcome.accuracy) == (kept.loss, kept.accuracy)
    assert (outcome.val_loss, outcome.val_accuracy) == (kept.val_loss, kept.val_accuracy)
    assert validated(run) == pytest.approx((kept.val_loss, kept.val_accuracy))
    assert outcome.samples == 49 * outcome.epochs


def test_until_it_stops_the_run_is_as_without_early_stopping() -> None:
    stopped, through = (
        Run(overfitting(early_stopping=EarlyStopping(patience=2))),
        Run(overfitting(epochs=30)),
    )
    count = len(stopped.epochs)
    assert stopped.series("val_loss") == through.series("val_loss")[:count]
    assert through.outcome.stopped is None and through.outcome.epochs == 30
    np.testing.assert_array_equal(through.weights, through.weights_of_epochs[-1])


def test_without_restore_best_the_last_weights_are_kept() -> None:
    run = Run(overfitting(early_stopping=EarlyStopping(patience=2, restore_best=False)))
    assert run.outcome.stopped == "early_stopping"
    assert run.outcome.best_epoch == run.outcome.epochs - 2
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[-1])
    assert run.outcome.val_loss == run.epochs[-1].val_loss
    assert validated(run)[0] == pytest.approx(run.outcome.val_loss)


def test_the_best_epoch_is_restored_after_the_last_epoch_too() -> None:
    run = Run(overfitting(epochs=25, early_stopping=EarlyStopping(patience=99)))
    best = int(np.argmin(run.series("val_loss")))
    assert best < 24
    assert (run.outcome.stopped, run.outcome.epochs, run.outcome.best_epoch) == (None, 25, best + 1)
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[best])
    assert run.outcome.val_loss == min(run.series("val_loss"))


def test_patience_that_is_exhausted_by_the_last_epoch_is_no_early_stop() -> None:
    ended = Run(overfitting(early_stopping=EarlyStopping(patience=3))).outcome.epochs
    outcome = Run(overfitting(epochs=ended, early_stopping=EarlyStopping(patience=3))).outcome
    assert (outcome.epochs, outcome.stopped) == (ended, None)


def test_min_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_validation(monkeypatch, [1.0, 0.95, 0.9, 0.3])
    run = Run(small(epochs=9, early_stopping=EarlyStopping(patience=2, min_delta=0.2)))
    assert (run.outcome.epochs, run.outcome.best_epoch, run.outcome.val_loss) == (3, 1, 1.0)
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[0])


def test_the_validation_accuracy_as_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_validation(monkeypatch, [1.0, 2.0, 3.0, 0.1, 0.1], [0.1, 0.2, 0.3, 0.3, 0.2])
    run = Run(small(epochs=9, early_stopping=EarlyStopping(monitor="val_accuracy", patience=2)))
    assert (run.outcome.epochs, run.outcome.best_epoch, run.outcome.val_accuracy) == (5, 3, 0.3)
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[2])


@pytest.mark.parametrize(("monitor", "choose"), [("loss", np.argmin), ("accuracy", np.argmax)])
@pytest.mark.parametrize("parts", [SQUARES_SPLIT, split(49)], ids=["validation", "none"])
def test_training_metrics_as_monitor(monitor: Any, choose: Any, parts: Any) -> None:
    run = Run(
        small(epochs=30, learning_rate=2.0, early_stopping=EarlyStopping(monitor=monitor, patience=2)),
        parts=parts,
    )
    best = int(choose(run.series(monitor)))
    assert run.outcome.best_epoch == best + 1
    assert run.outcome.stopped == "early_stopping" and run.outcome.epochs == best + 3
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[best])
    assert run.outcome.loss == run.epochs[best].loss


def test_without_validation_a_validation_monitor_never_stops() -> None:
    run = Run(small(early_stopping=EarlyStopping(patience=1)), parts=split(49))
    assert (run.outcome.epochs, run.outcome.stopped, run.outcome.best_epoch) == (3, None, None)
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[-1])


# ---- early stopping and a time limit -------------------------------------------------------------------


def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a clock that advances by a second whenever it is read."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def test_a_time_limit_within_an_epoch_keeps_the_best_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    ticking(monkeypatch)
    run = Run(overfitting(early_stopping=EarlyStopping(patience=99)), time_limit=245.0)
    best = int(np.argmin(run.series("val_loss")))
    assert run.outcome.stopped == "time_limit"
    assert 0 < len(run.epochs) == run.outcome.epochs < run.outcome.samples / 49
    assert run.outcome.best_epoch == best + 1
    np.testing.assert_array_equal(run.weights, run.weights_of_epochs[best])
    assert (run.outcome.loss, run.outcome.val_loss) == (run.epochs[best].loss, run.epochs[best].val_loss)


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "ema": 0.9}], ids=str)
def test_a_time_limit_within_the_first_epoch_has_no_best(options: dict[str, Any]) -> None:
    run = Run(overfitting(early_stopping=EarlyStopping(), **options), time_limit=0.0)
    assert (run.outcome.stopped, run.outcome.epochs, run.outcome.best_epoch) == ("time_limit", 0, None)
    assert run.outcome.samples == 8
    assert (run.outcome.val_loss, run.outcome.val_accuracy) == pytest.approx(validated(run))
    assert (run.weights != Trainer([overfitting(**options)], SQUARES, SQUARES_SPLIT).network.parameters.flat).any()


def test_without_early_stopping_the_metrics_are_of_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    ticking(monkeypatch)
    run = Run(overfitting(), time_limit=245.0)
    assert (run.outcome.stopped, run.outcome.epochs) == ("time_limit", len(run.epochs)) and run.epochs
    assert (run.weights != run.weights_of_epochs[-1]).any()
    assert run.outcome.val_loss == pytest.approx(validated(run)[0])
    assert run.outcome.val_loss != run.epochs[-1].val_loss and run.outcome.loss != run.epochs[-1].loss


def test_early_stopping_before_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_validation(monkeypatch, [1.0, 2.0, 2.0])
    run = Run(small(epochs=9, early_stopping=EarlyStopping(patience=1)), time_limit=600.0)
    assert (run.outcome.stopped, run.outcome.epochs) == ("early_stopping", 2)


# ---- weight averaging ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_average_is_evaluated_and_kept(batch_norm: bool) -> None:
    live, averaged = (
        Run(small(batch_norm=batch_norm)),
        Run(small(batch_norm=batch_norm, ema=0.9)),
    )
    # Training is not changed, and its metrics are of the weights in training.
    assert averaged.series("loss") == live.series("loss")
    assert averaged.series("accuracy") == live.series("accuracy")
    network = averaged.trainer.stack.network
    np.testing.assert_array_equal(network.parameters.flat, live.trainer.stack.network.parameters.flat)
    assert all(a != b for a, b in zip(averaged.series("val_loss"), live.series("val_loss"), strict=True))
    assert validated(averaged)[0] == pytest.approx(averaged.epochs[-1].val_loss)
    assert averaged.outcome.val_loss == averaged.epochs[-1].val_loss
    assert not averaged.network.architecture.batch_norm


def test_the_average_by_hand() -> None:
    """With full-batch steps: after step t it keeps min(0.3, (1 + t) / (10 + t)) of itself."""
    settings = small(batch_size="full", epochs=5)
    steps, mean = (
        Run(settings).weights_of_epochs,
        Trainer([settings], SQUARES, SQUARES_SPLIT).network.parameters.flat.copy(),
    )
    averaged = Run(settings.model_copy(update={"ema": 0.3}))
    for decay, weights, found in zip((2 / 11, 3 / 12, 0.3, 0.3, 0.3), steps, averaged.weights_of_epochs, strict=True):
        mean = decay * mean + (1 - decay) * weights
        np.testing.assert_allclose(found, mean, rtol=0, atol=1e-14)


# ---- schedules ----------------------------------------------------------------------------------------


def test_plateau_lowers_the_rate_of_the_epochs_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_validation(monkeypatch, [1.0, 0.9, 0.95, 0.92, 0.91, 0.5, 0.6])
    plateau = Schedule(name="plateau", factor=0.5, patience=2)
    run = Run(small(epochs=7, learning_rate=0.4, schedule=plateau))
    # Epochs 3 and 4 are no better than epoch 2, so epoch 5 has half the rate.
    assert run.series("learning_rate") == [0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]


def test_plateau_depends_on_the_measured_validation_loss() -> None:
    plateau = Schedule(name="plateau", factor=0.1, patience=1)
    run = Run(overfitting(epochs=20, schedule=plateau))
    rates, losses = run.series("learning_rate"), run.series("val_loss")
    expected, best = 0.1, math.inf
    for rate, loss in zip(rates, losses, strict=True):
        assert rate == pytest.approx(expected)
        expected, best = (expected if loss < best else expected * 0.1), min(best, loss)
    assert rates[-1] < 0.02


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"name": "step", "every": 7, "gamma": 0.5}, [0.4, 0.2, 0.1]),
        ({"name": "step", "every": 6, "gamma": 0.5}, [0.2, 0.1, 0.05]),  # the rate of the epoch's last step, its 7th
        ({"name": "exponential", "gamma": 0.9}, [0.4 * 0.9**6, 0.4 * 0.9**13, 0.4 * 0.9**20]),
        ({"name": "cosine"}, [0.4 * 0.5 * (1 + math.cos(math.pi * step / 21)) for step in (6, 13, 20)]),
        ({"name": "constant", "warmup": 0.5}, [0.4 * 0.7, 0.4, 0.4]),  # ten of the 21 steps rise
        ({"name": "one_cycle"}, None),
    ],
    ids=str,
)
def test_schedules_count_steps_over_the_whole_run(schedule: dict[str, Any], rates: list[float] | None) -> None:
    run = Run(small(learning_rate=0.4, schedule=Schedule(**schedule)))
    if rates is None:
        assert run.series("learning_rate")[-1] == pytest.approx(0.4 / 250_000)
    else:
        assert run.series("learning_rate") == pytest.approx(rates, rel=1e-12)


def test_a_rate_of_zero_leaves_the_weights_unchanged() -> None:
    """γ^t underflows to 0 in float64; clipping and momentum handle it without a warning."""
    schedule = Schedule(name="exponential", gamma=1e-30)
    run = Run(small(epochs=4, schedule=schedule, optimizer="momentum", momentum=0.0, clip_norm=0.01, l2=0.1))
    assert run.series("learning_rate")[1:] == [0.3 * 1e-30**13, 0.0, 0.0]
    np.testing.assert_array_equal(run.weights_of_epochs[-1], run.weights_of_epochs[0])


def test_a_rate_that_grows_without_bound_diverges() -> None:
    schedule = Schedule(name="exponential", gamma=1e10)
    with pytest.raises(DivergedError):
        Run(small(epochs=20, schedule=schedule, loss="mse", output="sigmoid"))


# ---- augmentation -------------------------------------------------------------------------------------

MOVES = {
    "shift": Augment(shift=2),
    "rotate": Augment(rotate=90),
    "scale": Augment(scale=0.5),
    "shear": Augment(shear=0.5),
    "elastic": Augment(elastic=Elastic(alpha=30, sigma=1.5)),
    "all": Augment(shift=1, rotate=15, scale=0.1, shear=0.1, elastic=Elastic(alpha=10, sigma=2)),
}


@pytest.mark.parametrize("moves", MOVES)
def test_augmentation_changes_training_alone(moves: str) -> None:
    # At so small a rate the weights do not change: only the images can make a difference.
    still, moved = (Run(small(learning_rate=1e-12, augment=augment)) for augment in (None, MOVES[moves]))
    assert moved.epochs[0].val_loss == pytest.approx(still.epochs[0].val_loss, abs=1e-9)
    assert moved.epochs[0].val_accuracy == still.epochs[0].val_accuracy
    losses = moved.series("loss")
    assert abs(losses[0] - still.epochs[0].loss) > 1e-4
    assert len({round(loss, 6) for loss in losses}) == 3, "every epoch moves the images differently"
    assert still.series("loss") == pytest.approx([still.epochs[0].loss] * 3, abs=1e-9)


@pytest.mark.parametrize("batch_size", [8, "full"])
def test_augmentation_is_reproducible(batch_size: int | str) -> None:
    def trained(**values: int) -> bytes:
        return Run(small(augment=MOVES["all"], batch_size=batch_size, **values)).weights.tobytes()

    assert trained() == trained()
    assert trained() == trained(batch_seed=0) != trained(batch_seed=1)


def test_augmentation_without_movement_changes_nothing() -> None:
    np.testing.assert_allclose(
        Run(small(augment=Augment())).weights,
        Run(small()).weights,
        rtol=0,
        atol=1e-12,
    )


def test_chunks_of_an_epoch_are_moved_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    """All images are the same, so that two chunks moved alike would give equal batches."""
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK_IMAGES", 8)
    same = Split(np.zeros(32, np.int64), SQUARES_SPLIT.validation, SQUARES_SPLIT.test, "")
    trained = Trainer([small(augment=MOVES["all"])], SQUARES, same)
    seen: list[bytes] = []
    step = trained.stack.step

    def look(x: np.ndarray, *rest: Any) -> None:
        seen.append(x.tobytes())
        step(x, *rest)

    monkeypatch.setattr(trained.stack, "step", look)
    for _ in trained.run():
        pass
    assert len(seen) == 12 == len(set(seen))


# ---- label smoothing ----------------------------------------------------------------------------------


def test_smoothing_trains_differently_and_reports_the_plain_loss() -> None:
    # A rate too small to move anything: the same weights, the same reported losses.
    still, smooth = (Run(small(learning_rate=1e-12, label_smoothing=share)) for share in (0.0, 0.4))
    assert smooth.epochs[0].loss == pytest.approx(still.epochs[0].loss, abs=1e-9)
    assert smooth.epochs[0].val_loss == pytest.approx(still.epochs[0].val_loss, abs=1e-9)
    assert (Run(small(label_smoothing=0.4)).weights != Run(small()).weights).any()


def test_a_step_with_smoothing_by_hand() -> None:
    settings = small(hidden=[], batch_size="full", epochs=1, init="zeros", label_smoothing=0.3)
    run = Run(settings)
    x, y = (
        SQUARES.images[SQUARES_SPLIT.train] / 255,
        np.eye(3)[SQUARES.labels[SQUARES_SPLIT.train]],
    )
    # From zeros every class has probability 1/3; the targets are 0.7 y + 0.1.
    expected = 0.3 * (0.7 * y + 0.1 - 1 / 3).T @ x / 49
    np.testing.assert_allclose(run.network.parameters.weights[0][0], expected, rtol=0, atol=1e-14)
    assert run.epochs[0].loss == pytest.approx(math.log(3))


# ---- batch normalisation ------------------------------------------------------------------------------


def test_no_epochs_with_batch_normalisation() -> None:
    run = Run(small(epochs=0, batch_norm=True, ema=0.9))
    plain = Stack([small()], 25, 3, 1).network
    assert not run.network.architecture.batch_norm
    for ours, theirs in zip(run.network.parameters.arrays, plain.parameters.arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # the running variance 1 has an ε beside it
    assert (run.outcome.epochs, run.outcome.loss) == (0, None)
    assert run.outcome.val_loss == pytest.approx(validated(run)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [9, 17, 33, 49])
def test_a_last_batch_of_one_image(count: int, dtype: str) -> None:
    """n % 8 == 1: the single example is normalised by the running statistics and does not change them."""
    settings = small(batch_norm=True, hidden=[6, 5], activation="relu", dtype=dtype, optimizer="adam", epochs=4)
    lone, whole = (
        Run(settings.model_copy(update={"learning_rate": 0.01}), parts=split(n, 30)) for n in (count, count // 8 * 8)
    )
    assert lone.epochs[0].steps == whole.epochs[0].steps + 1
    assert all(math.isfinite(value) for value in lone.series("loss") + lone.series("val_loss"))
    assert abs(lone.epochs[0].loss - whole.epochs[0].loss) < 0.5
    assert lone.epochs[-1].loss < lone.epochs[0].loss


def test_batches_of_one_image_only() -> None:
    run = Run(small(batch_norm=True, batch_size=1, learning_rate=0.05))
    assert all(math.isfinite(value) for value in run.series("loss") + run.series("val_loss"))
    statistics = run.trainer.stack.network.statistics
    assert not statistics.means[0].any() and (statistics.variances[0] == 1).all()


def test_validation_uses_the_running_statistics() -> None:
    run = Run(small(batch_norm=True, epochs=2))
    stack = run.trainer.stack
    p, s = stack.network.parameters, stack.network.statistics
    x = SQUARES.images[SQUARES_SPLIT.validation].T / 255
    z = p.gains[0][0] * (p.weights[0][0] @ x - s.means[0][0]) / np.sqrt(s.variances[0][0] + 1e-5) + p.biases[0][0]
    logits = p.weights[1][0] @ (1 / (1 + np.exp(-z))) + p.biases[1][0]
    labels = SQUARES.labels[SQUARES_SPLIT.validation]
    expected = np.log(np.exp(logits).sum(axis=0)) - logits[labels, np.arange(30)]
    assert run.epochs[-1].val_loss == pytest.approx(expected.mean(), rel=1e-12)
    assert run.epochs[-1].val_accuracy == pytest.approx((logits.argmax(axis=0) == labels).mean())


# ---- everything ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_config_gives_the_same_bits_with_every_option(dtype: str) -> None:
    settings = overfitting(
        hidden=[9, 7],
        activation="gelu",
        batch_norm=True,
        dropout=0.2,
        input_dropout=0.1,
        augment=MOVES["all"],
        optimizer="adamw",
        learning_rate=0.01,
        schedule=Schedule(name="cosine", warmup=0.1),
        l1=1e-5,
        max_norm=2.0,
        clip_norm=1.0,
        label_smoothing=0.1,
        ema=0.9,
        early_stopping=EarlyStopping(patience=3),
        dtype=dtype,
    )
    runs = [
        Run(settings),
        Run(settings),
        Run(settings.model_copy(update={"seed": 1})),
    ]
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)
    assert runs[0].series("val_loss") == runs[1].series("val_loss")
    assert runs[0].network.dtype == runs[0].weights.dtype == dtype
    assert (runs[0].weights != runs[2].weights).any()
    assert runs[0].outcome.stopped == "early_stopping"
