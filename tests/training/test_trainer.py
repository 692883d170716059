"""The training loop with what the course adds: early stopping, averages, schedules, augmentation, normalisation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Augment, Config, EarlyStopping, Elastic, Schedule
from mlptrain.datasets.batches import Batches, batch_size_of
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Network
from mlptrain.engine.streams import stream
from mlptrain.errors import DivergedError
from mlptrain.models.evaluation import Evaluator
from mlptrain.training import trainer
from mlptrain.training.reports import EpochReport, Outcome, Progress
from mlptrain.training.stack import Stack
from mlptrain.training.trainer import Figures, Trainer
from tests.made import config, dataset, kept, sample, split

DATA = dataset(60, pixels=6, classes=3)

PARTS = split(41, 12, 7)  # 41 in batches of 8: five and a last one of a single image


def build_network(settings: Config, inputs: int, classes: int) -> Network:
    """The network that a run of these settings starts from."""
    return Stack([settings], inputs, classes, 1).network


class Run:
    """Trains to the end and keeps everything that was said on the way."""

    def __init__(
        self,
        settings: Config,
        data: Dataset = DATA,
        parts: Split = PARTS,
        network: Network | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.trainer = Trainer([settings], data, parts, None if network is None else network.member(0))
        self.reports: list[EpochReport | Progress] = []
        *reports, self.outcome = self.trainer.run(time_limit)
        self.reports += reports
        self.network = kept(self.outcome, self.trainer.network.architecture, settings.dtype)

    @property
    def epochs(self) -> list[EpochReport]:
        return [report for report in self.reports if isinstance(report, EpochReport)]

    @property
    def weights(self) -> np.ndarray:
        return self.network.parameters.flat


def small(**values: Any) -> Config:
    return config(**{"hidden": [4], "batch_size": 8, "epochs": 2, "learning_rate": 0.3, "dtype": "float64", **values})


def copied(data: Dataset, indices: np.ndarray, size: int, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """The batches of an epoch: x (batch, pixels), y (batch, classes), labels (batch,)."""
    return [
        (x.copy(), y.T.copy(), labels.copy())
        for chunk in Batches(data, indices, size, data.classes, "float64").epoch(rng)
        for x, y, labels in zip(chunk.x, chunk.y, chunk.labels, strict=True)
    ]


# ---- steps and figures -------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "steps"), [(1, 41), (8, 6), (10, 5), (40, 2), (41, 1), (64, 1), ("full", 1)])
def test_steps_an_epoch(size, steps):
    run = Run(small(batch_size=size, epochs=3))
    assert [report.steps for report in run.epochs] == [steps] * 3
    assert [report.epoch for report in run.epochs] == [1, 2, 3]
    assert run.outcome.samples == 3 * 41


def test_batch_size_of():
    assert [batch_size_of(small(batch_size=size), 41) for size in (1, 41, 42, "full")] == [1, 41, 41, 41]


def test_softmax_regression_written_out():
    """Weights and running means of two epochs against the formulas, written for rows and one layer."""
    run = Run(small(hidden=[]))
    start = build_network(small(hidden=[]), 6, 3).member(0)
    w, b = start[0][0], start[1][0]
    rng = stream(0, "batches")
    for report in run.epochs:
        losses, hits = [], []
        for x, y, labels in copied(DATA, PARTS.train, 8, rng):
            e = np.exp(x @ w.T + b)
            p = e / e.sum(axis=1, keepdims=True)
            losses += (-np.log(p[np.arange(len(x)), labels])).tolist()
            hits += (p.argmax(axis=1) == labels).tolist()
            w, b = w - 0.3 * (p - y).T @ x / len(x), b - 0.3 * (p - y).mean(axis=0)
        assert len(losses) == 41
        # As Keras counts: each image with the weights that its batch met, all images weighing the same.
        assert report.loss == pytest.approx(np.mean(losses), rel=1e-12)
        assert report.accuracy == pytest.approx(np.mean(hits), rel=1e-12)
    np.testing.assert_allclose(run.network.parameters.weights[0][0], w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.network.parameters.biases[0][0, :, 0], b, rtol=0, atol=1e-12)
    assert (run.outcome.loss, run.outcome.accuracy) == (run.epochs[-1].loss, run.epochs[-1].accuracy)


def test_full_batch_is_plain_gradient_descent():
    settings = small(hidden=[], batch_size="full", epochs=1, init="zeros", learning_rate=0.7)
    run = Run(settings)
    x = DATA.images[PARTS.train] / 255
    y = np.eye(3)[DATA.labels[PARTS.train]]
    # From zeros every class has probability 1/3.
    np.testing.assert_allclose(run.network.parameters.weights[0][0], 0.7 * (y - 1 / 3).T @ x / 41, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        run.network.parameters.biases[0][0, :, 0], 0.7 * (y - 1 / 3).mean(axis=0), rtol=0, atol=1e-14
    )
    assert run.epochs[0].loss == pytest.approx(math.log(3), rel=1e-12)


def test_the_courses_cost():
    """mse is C = 1/(2n) Σ ‖y − a‖²: sigmoid outputs that are all 1/2 cost 3/8 in three classes."""
    run = Run(small(hidden=[], batch_size="full", epochs=1, init="zeros", loss="mse"))
    assert run.epochs[0].loss == pytest.approx(3 / 8, rel=1e-12)


def test_momentum_carries_on_from_epoch_to_epoch():
    settings = small(hidden=[], batch_size="full", epochs=3, optimizer="momentum", momentum=0.5, init="zeros")
    run = Run(settings)
    x = np.c_[DATA.images[PARTS.train] / 255, np.ones(41)]
    y = np.eye(3)[DATA.labels[PARTS.train]]
    w, velocity = np.zeros((3, 7)), np.zeros((3, 7))
    for _ in range(3):
        e = np.exp(x @ w.T)
        velocity = 0.5 * velocity - 0.3 * (e / e.sum(axis=1, keepdims=True) - y).T @ x / 41
        w = w + velocity
    np.testing.assert_allclose(run.network.parameters.weights[0][0], w[:, :6], rtol=0, atol=1e-13)


def test_validation_is_measured_after_the_epoch():
    run = Run(small(epochs=1))
    loss, accuracy = Evaluator(run.network, DATA, PARTS.validation).figures()
    assert run.epochs[0].val_loss == pytest.approx(loss[0], rel=1e-12)
    assert run.epochs[0].val_accuracy == accuracy[0]
    assert (run.outcome.val_loss, run.outcome.val_accuracy) == (run.epochs[0].val_loss, run.epochs[0].val_accuracy)


def test_without_a_validation_part():
    run = Run(small(), parts=split(41))
    assert {(report.val_loss, report.val_accuracy) for report in run.epochs} == {(None, None)}
    assert (run.outcome.val_loss, run.outcome.val_accuracy, run.outcome.best_epoch) == (None, None, None)
    assert run.outcome.loss == run.epochs[-1].loss


def test_no_epochs_at_all():
    settings = small(epochs=0)
    before = build_network(settings, 6, 3)
    run = Run(settings)
    assert run.reports == []
    np.testing.assert_array_equal(run.weights, before.parameters.flat)
    outcome = run.outcome
    assert (outcome.epochs, outcome.best_epoch, outcome.loss, outcome.accuracy) == (0, None, None, None)
    assert (outcome.samples, outcome.stopped) == (0, None)
    assert outcome.val_loss == pytest.approx(Evaluator(before, DATA, PARTS.validation).figures()[0][0])


def test_progress_within_an_epoch():
    run = Run(small(batch_size=64, epochs=2, hidden=[3]), sample(), split(5000))  # chunks of 2048 images
    for epoch in (1, 2):
        steps = [report for report in run.reports if isinstance(report, Progress) and report.epoch == epoch]
        assert [report.step for report in steps] == [32, 64, 78, 79]
        assert {report.steps for report in steps} == {79} and {report.epochs for report in steps} == {2}
        assert sorted(report.seconds for report in steps) == [report.seconds for report in steps]
        done = run.epochs[epoch - 1]
        assert (steps[-1].loss, steps[-1].accuracy) == (done.loss, done.accuracy)
        assert steps[0].loss != steps[-1].loss


@pytest.mark.parametrize(
    ("losses", "best"), [([0.5, 0.3, 0.4], 2), ([0.5, 0.3, 0.3], 2), ([0.1, 0.2, 0.3], 1), ([3.0, 2.0, 1.0], 3)]
)
def test_the_best_epoch_is_the_first_of_the_lowest_validation_loss(monkeypatch, losses, best):
    figures = iter([*losses, losses[-1]])
    monkeypatch.setattr(Trainer, "validate", lambda self: [(next(figures), 0.5)])
    assert Run(small(epochs=3)).outcome.best_epoch == best


def test_the_sample_is_learnt():
    settings = config(hidden=[20], learning_rate=0.5, batch_size=16, epochs=3)
    run = Run(settings, sample(), Split(np.arange(0, 5000, 2), np.arange(1, 5000, 4), np.arange(3, 5000, 4), ""))
    assert run.epochs[-1].val_accuracy > 0.85
    assert run.epochs[0].loss > run.epochs[1].loss > run.epochs[2].loss


# ---- seeds -------------------------------------------------------------------------------------------


def test_the_same_config_gives_the_same_bits():
    runs = [Run(small(dtype="float32", epochs=3)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)
    figures = [[(r.loss, r.accuracy, r.val_loss, r.val_accuracy) for r in run.epochs] for run in runs]
    assert figures[0] == figures[1]


def test_the_seed_draws_the_weights_and_batch_seed_the_order():
    def start(**values: int) -> bytes:
        return build_network(small(**values), 6, 3).parameters.flat.tobytes()

    assert start(seed=1) == start(seed=1, batch_seed=5) == start(seed=1, split_seed=9) != start(seed=2)

    def trained(**values: int) -> bytes:
        network = build_network(small(seed=0), 6, 3)  # the same weights for all
        return Run(small(**values), network=network).weights.tobytes()

    assert trained(seed=1, batch_seed=5) == trained(seed=2, batch_seed=5) == trained(seed=5)
    assert trained(seed=1) == trained(seed=1, batch_seed=1) != trained(seed=2)
    assert trained(seed=0, batch_seed=0) == trained(seed=0), "0 is a seed, not the absence of one"
    assert trained(seed=3, batch_seed=0) == trained(seed=0)


def test_every_epoch_has_an_order_of_its_own():
    def order(epochs: int) -> list[bytes]:
        rng = stream(0, "batches")
        return [b"".join(x.tobytes() for x, _, _ in copied(DATA, PARTS.train, 8, rng)) for _ in range(epochs)]

    assert len(set(order(3))) == 3
    one, two = Run(small(epochs=1, learning_rate=1e-9)), Run(small(epochs=2, learning_rate=1e-9))
    assert one.epochs[0].loss == two.epochs[0].loss
    assert two.epochs[0].loss == pytest.approx(two.epochs[1].loss)


# ---- divergence --------------------------------------------------------------------------------------


def test_divergence_names_the_step_and_a_smaller_rate():
    with pytest.raises(DivergedError) as caught:
        Run(small(loss="mse", output="linear", learning_rate=1e30, dtype="float32"))
    message = str(caught.value)
    assert "loss at step 2 of 6 in epoch 1 is not a finite number (learning_rate 1e+30)" in message
    assert "learning_rate=1e+29" in message
    assert caught.value.exit_code == 4 and message.count("\n") < 3


def test_divergence_in_a_later_epoch():
    # Full batch and linear outputs: each step multiplies the error, until its square leaves float32.
    settings = small(hidden=[], loss="mse", output="linear", batch_size="full", learning_rate=10, epochs=99)
    with pytest.raises(DivergedError, match=r"step 1 of 1 in epoch \d\d is") as caught:
        Run(settings.model_copy(update={"dtype": "float32"}), parts=split(41))
    assert "learning_rate=1," in str(caught.value)


def test_divergence_in_the_last_step_shows_in_validation():
    settings = small(loss="mse", output="linear", learning_rate=1e200, batch_size="full", epochs=1)
    with pytest.raises(DivergedError, match="validation loss after epoch 1 is not a finite number"):
        Run(settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [1e10, 1e30, 1e38, 1e50, 1e153, 1e300, 1.7e308])
@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ("softmax", "cross_entropy"),
        ("sigmoid", "binary_cross_entropy"),
        ("linear", "mse"),
        ("sigmoid", "mse"),
        ("softmax", "mse"),
    ],
)
def test_enormous_rates_bring_divergence_or_figures_but_no_warning(output, loss, rate, dtype):
    for activation in ("relu", "sigmoid"):
        settings = small(output=output, loss=loss, learning_rate=rate, dtype=dtype, activation=activation, epochs=3)
        try:
            run = Run(settings)
        except DivergedError:
            continue
        assert all(math.isfinite(report.loss) and math.isfinite(report.val_loss) for report in run.epochs)
        assert np.isfinite(run.weights).all()


# ---- time limit --------------------------------------------------------------------------------------


def test_no_time_at_all_is_one_step():
    run = Run(small(), time_limit=0.0)
    outcome = run.outcome
    assert (outcome.stopped, outcome.epochs, outcome.samples, outcome.best_epoch) == ("time_limit", 0, 8, None)
    assert run.epochs == []
    assert outcome.loss is not None and outcome.val_loss is not None
    x, y, _ = copied(DATA, PARTS.train, 8, stream(0, "batches"))[0]
    start = Evaluator(build_network(small(), 6, 3), DATA, PARTS.train)
    by_label = {image.tobytes(): logits for image, logits in zip(DATA.images, start.logits()[0].T, strict=False)}
    logits = np.array([by_label[np.rint(row * 255).astype(np.uint8).tobytes()] for row in x])
    expected = -np.log((np.exp(logits) * y).sum(axis=1) / np.exp(logits).sum(axis=1)).mean()
    assert outcome.loss == pytest.approx(expected, rel=1e-12), "the figures are those of the step that was made"


def clock(monkeypatch: pytest.MonkeyPatch, validation: float) -> None:
    """A clock on which training takes no time and each validation ``validation`` seconds."""
    now = [100.0]

    def validate(self: Trainer) -> Figures:
        now[0] += validation
        return [(0.5, 0.5)]

    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Trainer, "validate", validate)


def test_the_limit_passes_between_two_epochs(monkeypatch):
    clock(monkeypatch, 10.0)
    run = Run(small(epochs=5), time_limit=15.0)
    assert (run.outcome.epochs, run.outcome.stopped, run.outcome.samples) == (2, "time_limit", 82)
    assert [report.seconds for report in run.epochs] == [10, 10], "training and validation"
    assert run.outcome.seconds == 0, "training alone"


def test_the_limit_passes_after_the_last_epoch(monkeypatch):
    clock(monkeypatch, 10.0)
    run = Run(small(epochs=2), time_limit=15.0)
    assert (run.outcome.epochs, run.outcome.stopped) == (2, None)


def test_the_limit_passes_within_an_epoch(monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    run = Run(small(epochs=5), time_limit=10.0)
    assert run.outcome.stopped == "time_limit"
    assert run.outcome.epochs < 5 and run.outcome.samples < 5 * 41
    assert run.outcome.epochs == len(run.epochs)


def test_time_enough():
    assert Run(small(), time_limit=600.0).outcome.stopped is None


# ---- an outside oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize(
    ("activation", "output", "loss", "hidden"),
    [
        ("relu", "softmax", "cross_entropy", [8, 5]),
        ("sigmoid", "sigmoid", "mse", [7]),
        ("tanh", "sigmoid", "binary_cross_entropy", [7]),
        ("sigmoid", "linear", "mse", [6]),
        ("tanh", "softmax", "mse", [4, 4, 4]),
        ("sigmoid", "softmax", "cross_entropy", []),
    ],
)
@pytest.mark.parametrize(("size", "epochs"), [(8, 1), ("full", 5)], ids=["an epoch of batches", "five full steps"])
def test_pytorch_comes_to_the_same_weights(activation, output, loss, hidden, optimizer, size, epochs):
    torch = pytest.importorskip("torch")
    settings = small(
        activation=activation,
        output=output,
        loss=loss,
        hidden=hidden,
        optimizer=optimizer,
        batch_size=size,
        epochs=epochs,
    )
    network = build_network(settings, 6, 3)
    layers: list[Any] = []
    for w, b in zip(*network.member(0), strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        linear.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
        layers += [linear, {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}[activation]()]
    peer = torch.nn.Sequential(*layers[:-1])
    descent = torch.optim.SGD(peer.parameters(), lr=0.3, momentum=0.9 if optimizer == "momentum" else 0.0)
    outputs = {"sigmoid": torch.sigmoid, "linear": lambda z: z, "softmax": lambda z: torch.softmax(z, 1)}
    costs = {
        "cross_entropy": lambda z, y: torch.nn.functional.cross_entropy(z, y),
        "binary_cross_entropy": lambda z, y: (
            torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(y)
        ),
        "mse": lambda z, y: ((outputs[output](z) - y) ** 2).sum() / (2 * len(y)),
    }
    total, rng = 0.0, stream(0, "batches")
    for epoch in range(epochs):
        for x, y, _ in copied(DATA, PARTS.train, 41 if size == "full" else 8, rng):
            cost = costs[loss](peer(torch.from_numpy(x)), torch.from_numpy(y))
            descent.zero_grad()
            cost.backward()
            descent.step()
            total += cost.item() * len(x) * (epoch == epochs - 1)

    run = Run(settings, network=network)
    assert run.epochs[-1].loss == pytest.approx(total / 41, rel=1e-9)
    for linear, w, b in zip(peer[::2], *run.network.member(0), strict=True):
        np.testing.assert_allclose(w, linear.weight.detach().numpy(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(b, linear.bias.detach().numpy(), rtol=0, atol=1e-9)


def test_pytorch_agrees_in_float32_on_digits():
    torch = pytest.importorskip("torch")
    settings = config(hidden=[15], loss="mse", learning_rate=3.0, batch_size=64, epochs=1)
    data, parts = sample(), split(3500)
    network = build_network(settings, 784, 10)
    (w1, w2), (b1, b2) = ([torch.from_numpy(a).requires_grad_() for a in arrays] for arrays in network.member(0))
    for x, y, _ in copied(data, parts.train, 64, stream(0, "batches")):
        a = torch.sigmoid(torch.sigmoid(torch.from_numpy(x).float() @ w1.T + b1) @ w2.T + b2)
        cost = ((a - torch.from_numpy(y).float()) ** 2).sum() / (2 * len(x))
        gradients = torch.autograd.grad(cost, (w1, b1, w2, b2))
        with torch.no_grad():
            for parameter, gradient in zip((w1, b1, w2, b2), gradients, strict=True):
                parameter -= 3.0 * gradient
    trained = Run(settings, data, parts, network).network.member(0)[0]
    np.testing.assert_allclose(trained[0], w1.detach().numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(trained[1], w2.detach().numpy(), rtol=0, atol=1e-4)


def test_seconds_are_those_of_the_clock():
    began = time.perf_counter()
    run = Run(small(epochs=3))
    passed = time.perf_counter() - began
    assert 0 < run.outcome.seconds <= sum(report.seconds for report in run.epochs) <= passed


def images(count: int = 90, side: int = 5, classes: int = 3) -> Dataset:
    """Random bytes in a square, so that there is something to move; labels in turn, so that only overfitting helps."""
    flat = dataset(count, side * side, classes)
    return Dataset(flat.name, flat.images, flat.labels, count, (side, side), flat.class_names, flat.fingerprint)


COURSE_DATA = images()

COURSE_PARTS = split(49, 30, 11)  # 49 in batches of 8: six and a last one of a single image


class CourseRun:
    """Trains to the end; ``flats`` are the evaluated weights after each epoch."""

    def __init__(self, settings: Config, parts: Split = COURSE_PARTS, time_limit: float | None = None) -> None:
        self.trainer = Trainer([settings], COURSE_DATA, parts)
        self.epochs: list[EpochReport] = []
        self.flats: list[np.ndarray] = []
        for report in self.trainer.run(time_limit):
            if isinstance(report, EpochReport):
                self.epochs.append(report)
                self.flats.append(self.trainer.network.parameters.flat.copy())
            elif isinstance(report, Outcome):
                self.outcome = report
        self.network = kept(self.outcome, self.trainer.network.architecture, settings.dtype)

    @property
    def weights(self) -> np.ndarray:
        """Of the network that is kept."""
        return self.network.parameters.flat

    def series(self, key: str) -> list[Any]:
        return [getattr(report, key) for report in self.epochs]


def course_small(**values: Any) -> Config:
    return config(**{"hidden": [6], "batch_size": 8, "epochs": 3, "learning_rate": 0.3, "dtype": "float64", **values})


def overfitting(**values: Any) -> Config:
    """Labels mean nothing here, so the validation loss rises early while the training loss falls."""
    return course_small(**{"hidden": [20], "activation": "relu", "learning_rate": 0.1, "epochs": 40, **values})


def figures(run: CourseRun, indices: np.ndarray = COURSE_PARTS.validation) -> tuple[float, float]:
    loss, accuracy = Evaluator(run.network, COURSE_DATA, indices).figures()
    return float(loss[0]), float(accuracy[0])


# ---- early stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 3, 6])
@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"ema": 0.9}, {"batch_norm": True, "ema": 0.9}], ids=str)
def test_it_stops_and_puts_the_best_epoch_back(patience, options):
    run = CourseRun(overfitting(early_stopping=EarlyStopping(patience=patience), **options))
    outcome, losses = run.outcome, run.series("val_loss")
    best = int(np.argmin(losses))
    assert outcome.stopped == "early_stopping"
    assert outcome.best_epoch == best + 1
    assert outcome.epochs == len(run.epochs) == best + 1 + patience < 40
    np.testing.assert_array_equal(run.weights, run.flats[best])
    assert (run.weights != run.flats[-1]).any()
    # The figures are those of the weights that are kept.
    kept = run.epochs[best]
    assert (outcome.loss, outcome.accuracy) == (kept.loss, kept.accuracy)
    assert (outcome.val_loss, outcome.val_accuracy) == (kept.val_loss, kept.val_accuracy)
    assert figures(run) == pytest.approx((kept.val_loss, kept.val_accuracy))
    assert outcome.samples == 49 * outcome.epochs


def test_up_to_the_stop_it_is_the_run_without_early_stopping():
    stopped, through = (
        CourseRun(overfitting(early_stopping=EarlyStopping(patience=2))),
        CourseRun(overfitting(epochs=30)),
    )
    count = len(stopped.epochs)
    assert stopped.series("val_loss") == through.series("val_loss")[:count]
    assert through.outcome.stopped is None and through.outcome.epochs == 30
    np.testing.assert_array_equal(through.weights, through.flats[-1])


def test_without_restoring_the_last_weights_stay():
    run = CourseRun(overfitting(early_stopping=EarlyStopping(patience=2, restore_best=False)))
    assert run.outcome.stopped == "early_stopping"
    assert run.outcome.best_epoch == run.outcome.epochs - 2
    np.testing.assert_array_equal(run.weights, run.flats[-1])
    assert run.outcome.val_loss == run.epochs[-1].val_loss
    assert figures(run)[0] == pytest.approx(run.outcome.val_loss)


def test_the_best_is_put_back_where_the_epochs_run_out_too():
    run = CourseRun(overfitting(epochs=25, early_stopping=EarlyStopping(patience=99)))
    best = int(np.argmin(run.series("val_loss")))
    assert best < 24
    assert (run.outcome.stopped, run.outcome.epochs, run.outcome.best_epoch) == (None, 25, best + 1)
    np.testing.assert_array_equal(run.weights, run.flats[best])
    assert run.outcome.val_loss == min(run.series("val_loss"))


def test_patience_that_ends_with_the_last_epoch_is_no_early_stop():
    ended = CourseRun(overfitting(early_stopping=EarlyStopping(patience=3))).outcome.epochs
    outcome = CourseRun(overfitting(epochs=ended, early_stopping=EarlyStopping(patience=3))).outcome
    assert (outcome.epochs, outcome.stopped) == (ended, None)


def told(monkeypatch: pytest.MonkeyPatch, losses: list[float], accuracies: list[float] | None = None) -> None:
    """Let validation find these figures epoch by epoch."""
    pairs = iter(zip(losses, accuracies or [0.5] * len(losses), strict=True))

    def validate(self: Trainer) -> Figures:
        self.stack.refresh()
        return [next(pairs)]

    monkeypatch.setattr(Trainer, "validate", validate)


def test_min_delta(monkeypatch):
    told(monkeypatch, [1.0, 0.95, 0.9, 0.3])
    run = CourseRun(course_small(epochs=9, early_stopping=EarlyStopping(patience=2, min_delta=0.2)))
    assert (run.outcome.epochs, run.outcome.best_epoch, run.outcome.val_loss) == (3, 1, 1.0)
    np.testing.assert_array_equal(run.weights, run.flats[0])


def test_the_validation_accuracy_as_monitor(monkeypatch):
    told(monkeypatch, [1.0, 2.0, 3.0, 0.1, 0.1], [0.1, 0.2, 0.3, 0.3, 0.2])
    run = CourseRun(course_small(epochs=9, early_stopping=EarlyStopping(monitor="val_accuracy", patience=2)))
    assert (run.outcome.epochs, run.outcome.best_epoch, run.outcome.val_accuracy) == (5, 3, 0.3)
    np.testing.assert_array_equal(run.weights, run.flats[2])


@pytest.mark.parametrize(("monitor", "choose"), [("loss", np.argmin), ("accuracy", np.argmax)])
@pytest.mark.parametrize("parts", [COURSE_PARTS, split(49)], ids=["validation", "none"])
def test_training_figures_as_monitor(monitor, choose, parts):
    run = CourseRun(
        course_small(epochs=30, learning_rate=2.0, early_stopping=EarlyStopping(monitor=monitor, patience=2)),
        parts,
    )
    best = int(choose(run.series(monitor)))
    assert run.outcome.best_epoch == best + 1
    assert run.outcome.stopped == "early_stopping" and run.outcome.epochs == best + 3
    np.testing.assert_array_equal(run.weights, run.flats[best])
    assert run.outcome.loss == run.epochs[best].loss


def test_no_validation_to_watch_is_no_early_stop():
    run = CourseRun(course_small(early_stopping=EarlyStopping(patience=1)), split(49))
    assert (run.outcome.epochs, run.outcome.stopped, run.outcome.best_epoch) == (3, None, None)
    np.testing.assert_array_equal(run.weights, run.flats[-1])


# ---- the time limit beside it -------------------------------------------------------------------------


def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever somebody looks at it."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def test_a_time_limit_within_an_epoch_keeps_the_best_one_before(monkeypatch):
    ticking(monkeypatch)
    run = CourseRun(overfitting(early_stopping=EarlyStopping(patience=99)), time_limit=245.0)
    best = int(np.argmin(run.series("val_loss")))
    assert run.outcome.stopped == "time_limit"
    assert 0 < len(run.epochs) == run.outcome.epochs < run.outcome.samples / 49
    assert run.outcome.best_epoch == best + 1
    np.testing.assert_array_equal(run.weights, run.flats[best])
    assert (run.outcome.loss, run.outcome.val_loss) == (run.epochs[best].loss, run.epochs[best].val_loss)


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "ema": 0.9}], ids=str)
def test_a_time_limit_within_the_first_epoch_has_no_best(options):
    run = CourseRun(overfitting(early_stopping=EarlyStopping(), **options), time_limit=0.0)
    assert (run.outcome.stopped, run.outcome.epochs, run.outcome.best_epoch) == ("time_limit", 0, None)
    assert run.outcome.samples == 8
    assert (run.outcome.val_loss, run.outcome.val_accuracy) == pytest.approx(figures(run))
    assert (run.weights != Trainer([overfitting(**options)], COURSE_DATA, COURSE_PARTS).network.parameters.flat).any()


def test_without_early_stopping_the_figures_are_of_where_the_limit_fell(monkeypatch):
    ticking(monkeypatch)
    run = CourseRun(overfitting(), time_limit=245.0)
    assert (run.outcome.stopped, run.outcome.epochs) == ("time_limit", len(run.epochs)) and run.epochs
    assert (run.weights != run.flats[-1]).any()
    assert run.outcome.val_loss == pytest.approx(figures(run)[0])
    assert run.outcome.val_loss != run.epochs[-1].val_loss and run.outcome.loss != run.epochs[-1].loss


def test_early_stopping_comes_before_the_limit(monkeypatch):
    told(monkeypatch, [1.0, 2.0, 2.0])
    run = CourseRun(course_small(epochs=9, early_stopping=EarlyStopping(patience=1)), time_limit=600.0)
    assert (run.outcome.stopped, run.outcome.epochs) == ("early_stopping", 2)


# ---- weight averaging ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_average_is_evaluated_and_kept(batch_norm):
    live, averaged = (
        CourseRun(course_small(batch_norm=batch_norm)),
        CourseRun(course_small(batch_norm=batch_norm, ema=0.9)),
    )
    # Training goes its own way, and its figures are of the live weights.
    assert averaged.series("loss") == live.series("loss")
    assert averaged.series("accuracy") == live.series("accuracy")
    network = averaged.trainer.stack.network
    np.testing.assert_array_equal(network.parameters.flat, live.trainer.stack.network.parameters.flat)
    assert all(a != b for a, b in zip(averaged.series("val_loss"), live.series("val_loss"), strict=True))
    assert figures(averaged)[0] == pytest.approx(averaged.epochs[-1].val_loss)
    assert averaged.outcome.val_loss == averaged.epochs[-1].val_loss
    assert not averaged.network.architecture.batch_norm


def test_the_average_written_out():
    """Of full-batch steps: after step t it keeps min(0.3, (1 + t) / (10 + t)) of itself."""
    settings = course_small(batch_size="full", epochs=5)
    steps, mean = (
        CourseRun(settings).flats,
        Trainer([settings], COURSE_DATA, COURSE_PARTS).network.parameters.flat.copy(),
    )
    averaged = CourseRun(settings.model_copy(update={"ema": 0.3}))
    for decay, weights, found in zip((2 / 11, 3 / 12, 0.3, 0.3, 0.3), steps, averaged.flats, strict=True):
        mean = decay * mean + (1 - decay) * weights
        np.testing.assert_allclose(found, mean, rtol=0, atol=1e-14)


# ---- schedules ----------------------------------------------------------------------------------------


def test_plateau_lowers_the_rate_of_the_epochs_after_it(monkeypatch):
    told(monkeypatch, [1.0, 0.9, 0.95, 0.92, 0.91, 0.5, 0.6])
    plateau = Schedule(name="plateau", factor=0.5, patience=2)
    run = CourseRun(course_small(epochs=7, learning_rate=0.4, schedule=plateau))
    # Epochs 3 and 4 are no better than epoch 2, so epoch 5 has half the rate.
    assert run.series("learning_rate") == [0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]


def test_plateau_follows_the_validation_loss_as_measured():
    plateau = Schedule(name="plateau", factor=0.1, patience=1)
    run = CourseRun(overfitting(epochs=20, schedule=plateau))
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
def test_schedules_count_steps_over_the_whole_run(schedule, rates):
    run = CourseRun(course_small(learning_rate=0.4, schedule=Schedule(**schedule)))
    if rates is None:
        assert run.series("learning_rate")[-1] == pytest.approx(0.4 / 250_000)
    else:
        assert run.series("learning_rate") == pytest.approx(rates, rel=1e-12)


def test_a_rate_that_has_vanished_leaves_the_weights_alone():
    """γ^t comes to 0 in float64 after some hundred steps; clipping and momentum meet it without a warning."""
    schedule = Schedule(name="exponential", gamma=1e-30)
    run = CourseRun(
        course_small(epochs=4, schedule=schedule, optimizer="momentum", momentum=0.0, clip_norm=0.01, l2=0.1)
    )
    assert run.series("learning_rate")[1:] == [0.3 * 1e-30**13, 0.0, 0.0]
    np.testing.assert_array_equal(run.flats[-1], run.flats[0])


def test_a_rate_that_grows_without_end_is_divergence():
    schedule = Schedule(name="exponential", gamma=1e10)
    with pytest.raises(DivergedError):
        CourseRun(course_small(epochs=20, schedule=schedule, loss="mse", output="sigmoid"))


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
def test_augmentation_changes_training_alone(moves):
    # So course_small a rate that the weights stay where they were: what differs is what was looked at.
    still, moved = (CourseRun(course_small(learning_rate=1e-12, augment=augment)) for augment in (None, MOVES[moves]))
    assert moved.epochs[0].val_loss == pytest.approx(still.epochs[0].val_loss, abs=1e-9)
    assert moved.epochs[0].val_accuracy == still.epochs[0].val_accuracy
    losses = moved.series("loss")
    assert abs(losses[0] - still.epochs[0].loss) > 1e-4
    assert len({round(loss, 6) for loss in losses}) == 3, "every epoch moves the images anew"
    assert still.series("loss") == pytest.approx([still.epochs[0].loss] * 3, abs=1e-9)


@pytest.mark.parametrize("batch_size", [8, "full"])
def test_augmentation_is_reproducible(batch_size):
    def trained(**values: int) -> bytes:
        return CourseRun(course_small(augment=MOVES["all"], batch_size=batch_size, **values)).weights.tobytes()

    assert trained() == trained()
    assert trained() == trained(batch_seed=0) != trained(batch_seed=1)


def test_no_movement_is_no_augmentation():
    np.testing.assert_allclose(
        CourseRun(course_small(augment=Augment())).weights,
        CourseRun(course_small()).weights,
        rtol=0,
        atol=1e-12,
    )


def test_chunks_of_an_epoch_are_moved_differently(monkeypatch):
    """One image many times over: were two chunks moved alike, their batches would be equal."""
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK", 8)
    same = Split(np.zeros(32, np.int64), COURSE_PARTS.validation, COURSE_PARTS.test, "")
    trained = Trainer([course_small(augment=MOVES["all"])], COURSE_DATA, same)
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


def test_smoothing_trains_differently_and_reports_the_plain_loss():
    # A rate too small to move anything: the same weights, the same reported losses.
    still, smooth = (CourseRun(course_small(learning_rate=1e-12, label_smoothing=share)) for share in (0.0, 0.4))
    assert smooth.epochs[0].loss == pytest.approx(still.epochs[0].loss, abs=1e-9)
    assert smooth.epochs[0].val_loss == pytest.approx(still.epochs[0].val_loss, abs=1e-9)
    assert (CourseRun(course_small(label_smoothing=0.4)).weights != CourseRun(course_small()).weights).any()


def test_a_smoothed_step_written_out():
    settings = course_small(hidden=[], batch_size="full", epochs=1, init="zeros", label_smoothing=0.3)
    run = CourseRun(settings)
    x, y = (
        COURSE_DATA.images[COURSE_PARTS.train] / 255,
        np.eye(3)[COURSE_DATA.labels[COURSE_PARTS.train]],
    )
    # From zeros every class has probability 1/3; the targets are 0.7 y + 0.1.
    expected = 0.3 * (0.7 * y + 0.1 - 1 / 3).T @ x / 49
    np.testing.assert_allclose(run.network.parameters.weights[0][0], expected, rtol=0, atol=1e-14)
    assert run.epochs[0].loss == pytest.approx(math.log(3))


# ---- batch normalisation ------------------------------------------------------------------------------


def test_no_epochs_with_batch_normalisation():
    run = CourseRun(course_small(epochs=0, batch_norm=True, ema=0.9))
    plain = Stack([course_small()], 25, 3, 1).network
    assert not run.network.architecture.batch_norm
    for ours, theirs in zip(run.network.parameters.arrays, plain.parameters.arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # the running variance 1 has an ε beside it
    assert (run.outcome.epochs, run.outcome.loss) == (0, None)
    assert run.outcome.val_loss == pytest.approx(figures(run)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [9, 17, 33, 49])
def test_a_last_batch_of_one_does_no_harm(count, dtype):
    """n % 8 == 1: the lone example is normalised by the running statistics and leaves them."""
    settings = course_small(batch_norm=True, hidden=[6, 5], activation="relu", dtype=dtype, optimizer="adam", epochs=4)
    lone, whole = (
        CourseRun(settings.model_copy(update={"learning_rate": 0.01}), split(n, 30)) for n in (count, count // 8 * 8)
    )
    assert lone.epochs[0].steps == whole.epochs[0].steps + 1
    assert all(math.isfinite(value) for value in lone.series("loss") + lone.series("val_loss"))
    assert abs(lone.epochs[0].loss - whole.epochs[0].loss) < 0.5
    assert lone.epochs[-1].loss < lone.epochs[0].loss


def test_batches_of_one_alone():
    run = CourseRun(course_small(batch_norm=True, batch_size=1, learning_rate=0.05))
    assert all(math.isfinite(value) for value in run.series("loss") + run.series("val_loss"))
    statistics = run.trainer.stack.network.statistics
    assert not statistics.means[0].any() and (statistics.variances[0] == 1).all()


def test_validation_goes_by_the_running_statistics():
    run = CourseRun(course_small(batch_norm=True, epochs=2))
    stack = run.trainer.stack
    p, s = stack.network.parameters, stack.network.statistics
    x = COURSE_DATA.images[COURSE_PARTS.validation].T / 255
    z = p.gains[0][0] * (p.weights[0][0] @ x - s.means[0][0]) / np.sqrt(s.variances[0][0] + 1e-5) + p.biases[0][0]
    logits = p.weights[1][0] @ (1 / (1 + np.exp(-z))) + p.biases[1][0]
    labels = COURSE_DATA.labels[COURSE_PARTS.validation]
    expected = np.log(np.exp(logits).sum(axis=0)) - logits[labels, np.arange(30)]
    assert run.epochs[-1].val_loss == pytest.approx(expected.mean(), rel=1e-12)
    assert run.epochs[-1].val_accuracy == pytest.approx((logits.argmax(axis=0) == labels).mean())


# ---- everything ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_config_gives_the_same_bits_with_every_option(dtype):
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
        CourseRun(settings),
        CourseRun(settings),
        CourseRun(settings.model_copy(update={"seed": 1})),
    ]
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)
    assert runs[0].series("val_loss") == runs[1].series("val_loss")
    assert runs[0].network.dtype == runs[0].weights.dtype == dtype
    assert (runs[0].weights != runs[2].weights).any()
    assert runs[0].outcome.stopped == "early_stopping"


MEMBERS_PARTS = split(49, 30, 11)  # 49 in batches of 8: six and a last one of a single image

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam")

PLATEAU = Schedule(name="plateau", factor=0.5, patience=1)

REPORTS = EpochReport | Progress | Outcome


def members_images() -> Dataset:
    flat = dataset(90, 25, 3)
    return Dataset(flat.name, flat.images, flat.labels, 90, (5, 5), flat.class_names, flat.fingerprint)


MEMBERS_DATA = members_images()


def members_small(**values: Any) -> Config:
    base = {"hidden": [6, 5], "activation": "tanh", "batch_size": 8, "epochs": 3, "learning_rate": 0.1}
    return config(**{**base, "dtype": "float64", "batch_seed": 0, **values})


def members_overfitting(**values: Any) -> Config:
    """Labels mean nothing here, so the validation loss rises early while the training loss falls."""
    return members_small(**{"hidden": [20], "activation": "relu", "epochs": 30, **values})


def of(member: int, reports: Sequence[REPORTS]) -> list[REPORTS]:
    return [report for report in reports if report.member == member]


def ends(reports: Sequence[REPORTS]) -> list[Outcome]:
    return [report for report in reports if isinstance(report, Outcome)]


def assert_like_alone(
    reports: Sequence[REPORTS], settings: Sequence[Config], tolerance: float = 1e-9, differ: bool = True
) -> None:
    """Every report of each member, and its weights, are those of its config in a stack of its own."""
    for member, each in enumerate(settings):
        together, alone = of(member, reports), list(Trainer([each], MEMBERS_DATA, MEMBERS_PARTS).run())
        assert [type(report) for report in together] == [type(report) for report in alone]
        for ours, theirs in zip(together, alone, strict=True):
            for key, value in vars(theirs).items():
                found = getattr(ours, key)
                if key == "weights" and value is not None:
                    for w, expected in zip([*found[0], *found[1]], [*value[0], *value[1]], strict=True):
                        np.testing.assert_allclose(w, expected, rtol=tolerance, atol=tolerance)
                elif isinstance(value, float) and key != "seconds":
                    assert found == pytest.approx(value, rel=tolerance, abs=tolerance), key
                elif key not in ("seconds", "member"):
                    assert found == value, key
    if differ:  # else nothing would show that the option does anything
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
def test_members_that_differ_train_as_they_do_alone(key, options):
    optimizer = "momentum" if key == "momentum" else "adam"
    shared = {"optimizer": optimizer, "learning_rate": 0.02, **options}
    settings = [members_small(**{**shared, key: value}) for value in VALUES[key]]
    assert_like_alone(list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run()), settings)


def test_members_in_float32():
    settings = [
        members_small(dtype="float32", seed=seed, learning_rate=rate) for seed, rate in ((0, 0.1), (1, 0.3), (2, 0.02))
    ]
    assert_like_alone(list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run()), settings, tolerance=1e-5)


def test_schedules_over_the_steps_of_each_members_own_run():
    settings = [members_small(epochs=epochs, schedule=Schedule(name="one_cycle", warmup=0.1)) for epochs in (2, 3, 5)]
    assert_like_alone(list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run()), settings)


# ---- leaving the stack --------------------------------------------------------------------------------


def test_members_stop_early_one_by_one():
    """Patience, plateau and the best weights are each member's own, and the others go on."""
    rules = (EarlyStopping(patience=1), None, EarlyStopping(patience=4, restore_best=False), EarlyStopping(patience=2))
    settings = [
        members_overfitting(seed=seed, early_stopping=rule, epochs=20, schedule=PLATEAU)
        for seed, rule in enumerate(rules)
    ]
    trainer, active = Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS), []
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
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_member_that_diverges_disturbs_nobody(place, rate):
    """NaN never crosses: with the diverging member or without it the others come to the same."""
    rates = [0.02, 0.05]
    rates.insert(place, rate)
    shared = {"loss": "mse", "output": "linear", "activation": "relu", "dropout": 0.1, "epochs": 9}
    settings = [members_small(learning_rate=each, seed=seed, **shared) for seed, each in enumerate(rates)]
    reports = list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run())
    assert_like_alone(reports, settings, differ=False)
    (lost,) = [outcome for outcome in ends(reports) if outcome.diverged]
    assert lost.member == place and lost.weights is None and lost.loss is None
    assert "loss at step" in lost.diverged and f"learning_rate={rate / 10:g}" in lost.diverged
    assert all(math.isfinite(outcome.loss) for outcome in ends(reports) if outcome is not lost)


def test_a_member_that_diverges_in_the_middle_of_an_epoch_leaves_there(monkeypatch):
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK", 16)
    shared = {"loss": "mse", "output": "linear", "activation": "relu"}
    settings = [members_small(learning_rate=rate, **shared) for rate in (1e120, 0.02)]
    reports = list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run())
    assert_like_alone(reports, settings, differ=False)
    place = next(index for index, report in enumerate(reports) if isinstance(report, Outcome))
    assert reports[place].diverged and not any(isinstance(report, EpochReport) for report in reports[:place])
    assert of(0, reports[place + 1 :]) == []


def test_a_validation_loss_that_is_not_finite_takes_one_member_out():
    shared = {"loss": "mse", "output": "linear", "batch_size": "full", "epochs": 2}
    settings = [members_small(learning_rate=rate, **shared) for rate in (0.02, 1e200)]
    reports = list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run())
    assert_like_alone(reports, settings, differ=False)
    assert "validation loss after epoch 1" in ends(reports)[0].diverged


def test_a_member_is_told_to_stop(monkeypatch):
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK", 16)
    settings = [members_small(seed=seed) for seed in range(3)]
    trainer, reports = Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS), []
    for report in trainer.run():
        reports.append(report)
        if report == next((one for one in of(1, reports) if isinstance(one, Progress) and one.epoch == 2), None):
            trainer.stop(1, "halved")
            trainer.stop(99, "nobody")
    outcome = next(outcome for outcome in ends(reports) if outcome.member == 1)
    assert (outcome.stopped, outcome.epochs, outcome.samples) == ("halved", 1, 49 + 16)
    assert outcome.val_loss is not None and outcome.val_loss != of(1, reports)[-2].loss
    others = [report for report in reports if report.member != 1]
    alone = Trainer([settings[0], settings[2]], MEMBERS_DATA, MEMBERS_PARTS).run()
    assert [type(report) for report in others] == [type(report) for report in alone]
    for ours in (0, 2):
        (end,) = ends(of(ours, reports))
        (expected,) = ends(list(Trainer([settings[ours]], MEMBERS_DATA, MEMBERS_PARTS).run()))
        assert end.val_loss == pytest.approx(expected.val_loss, rel=1e-9)


def test_a_pause_has_no_outcomes_and_goes_on():
    settings = [members_small(seed=seed, epochs=epochs) for seed, epochs in enumerate((4, 2, 4))]
    trainer = Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS)
    reports = list(trainer.run(until=3))
    assert [outcome.member for outcome in ends(reports)] == [1]
    assert (trainer.epoch, trainer.step, trainer.active) == (3, 0, (0, 2))
    now = trainer.outcome(2, "halved")
    assert (now.member, now.epochs, now.stopped) == (2, 3, "halved")
    assert now.val_loss == of(2, reports)[-1].val_loss
    reports += trainer.run()
    assert trainer.active == ()
    assert_like_alone(reports, settings)


def test_seconds_are_shared_out():
    settings = [members_small(seed=seed) for seed in range(4)]
    reports = list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run())
    assert len({report.seconds for report in reports if isinstance(report, EpochReport) and report.epoch == 2}) == 1
    assert len({outcome.seconds for outcome in ends(reports)}) == 1


def test_configs_that_cannot_share_a_stack():
    with pytest.raises(ValueError, match="stack keys differ"):
        Trainer([members_small(), members_small(batch_size=16)], MEMBERS_DATA, MEMBERS_PARTS)


# ---- continuing ---------------------------------------------------------------------------------------


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """What a file would give back: arrays as they are, all else by way of JSON."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    return {**json.loads(json.dumps({key: state[key] for key in state if key not in arrays})), **arrays}


def comparable(report: REPORTS) -> list[Any]:
    values = {key: value for key, value in vars(report).items() if key not in ("seconds", "weights")}
    weights = report.weights if isinstance(report, Outcome) and report.weights is not None else ((), ())
    return [type(report), values, [array.tobytes() for layer in weights for array in layer]]


def assert_continues(settings: Sequence[Config], stride: int = 1) -> None:
    """Left at any report and taken up by another trainer, what follows is the same to the byte."""
    whole = list(Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS).run())
    expected = [comparable(report) for report in whole]
    for count in range(1, len(whole), stride):
        first = Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS)
        reports = first.run()
        for _ in range(count):
            next(reports)
        if first.active != tuple(range(len(settings))):
            break
        states = [through_json(first.state(member)) for member in first.active]
        second = Trainer(settings, MEMBERS_DATA, MEMBERS_PARTS)
        second.restore(states)
        found = [comparable(report) for report in second.run()]
        if isinstance(whole[count - 1], EpochReport) or len(settings) == 1:
            # Between the members' reports of one moment, the trainer that continues has said them all.
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
def test_one_network_continues_to_the_byte(monkeypatch, optimizer, options):
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK", 16)
    assert_continues([members_small(optimizer=optimizer, dtype="float32", **options)])


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("optimizer", ["sgd", "nadam"])
def test_a_stack_continues_to_the_byte(monkeypatch, optimizer, options):
    monkeypatch.setattr("mlptrain.datasets.batches.CHUNK", 16)
    each = [{"seed": 0, "beta1": 0.8}, {"seed": 1, "learning_rate": 0.05}, {"seed": 2, "label_smoothing": 0.1}]
    assert_continues(
        [members_small(**{"optimizer": optimizer, "dtype": "float32", **options, **own}) for own in each], 3
    )


@pytest.mark.parametrize("batch_size", [1, "full"])
def test_batches_of_one_and_of_all_continue(batch_size):
    assert_continues([members_small(batch_size=batch_size, epochs=2)])


def test_cut_short_by_the_time_limit_it_continues_within_the_chunk():
    settings = members_small(optimizer="adam", schedule=Schedule(name="cosine"), augment=Augment(shift=1))
    *_, expected = Trainer([settings], MEMBERS_DATA, MEMBERS_PARTS).run()
    state, reports = None, []
    for _ in range(22):  # a step each: three epochs of seven, and one to find nothing left
        trainer = Trainer([settings], MEMBERS_DATA, MEMBERS_PARTS)
        if state is not None:
            trainer.restore([state])
        reports = list(trainer.run(time_limit=0.0))
        if trainer.active:
            assert reports[-1].stopped == "time_limit"
            state = through_json(trainer.state())
    assert comparable(reports[-1]) == comparable(expected)


def test_survivors_of_several_stacks_go_on_together():
    settings = [members_small(seed=seed, optimizer="adam", learning_rate=0.02, epochs=5) for seed in range(4)]
    states = []
    for pair in (settings[:2], settings[2:]):
        trainer = Trainer(pair, MEMBERS_DATA, MEMBERS_PARTS)
        assert not ends(list(trainer.run(until=2)))
        states.append(trainer.state(1))
    survivors = Trainer([settings[1], settings[3]], MEMBERS_DATA, MEMBERS_PARTS)
    survivors.restore(states)
    for outcome, each in zip(ends(list(survivors.run())), (settings[1], settings[3]), strict=True):
        (alone,) = ends(list(Trainer([each], MEMBERS_DATA, MEMBERS_PARTS).run()))
        assert (outcome.epochs, outcome.samples, outcome.best_epoch) == (5, 5 * 49, alone.best_epoch)
        assert outcome.val_loss == pytest.approx(alone.val_loss, rel=1e-9)
        np.testing.assert_allclose(outcome.weights[0][0], alone.weights[0][0], rtol=0, atol=1e-9)


def test_a_finished_members_state_is_its_outcome():
    trainer = Trainer([members_small(epochs=2, early_stopping=EarlyStopping())], MEMBERS_DATA, MEMBERS_PARTS)
    reports = trainer.run()
    for report in reports:
        if isinstance(report, EpochReport) and report.epoch == 2:
            break
    state, expected = trainer.state(), next(reports)
    again = Trainer([members_small(epochs=2, early_stopping=EarlyStopping())], MEMBERS_DATA, MEMBERS_PARTS)
    again.restore([state])
    assert [comparable(report) for report in again.run()] == [comparable(expected)]


@pytest.mark.parametrize(
    ("others", "change", "words"),
    [
        ({"hidden": [7]}, {}, "network.parameters is not 206 numbers of float64"),
        ({"dtype": "float32"}, {}, "parameters is not 209 numbers of float32"),
        ({"optimizer": "adam"}, {}, "optimizer.arrays0.* is only in one of the two"),
        ({}, {"stack.network.parameters": 3.0}, "another network"),
        ({}, {"order": "{}"}, "not the position of a random stream"),
    ],
    ids=["hidden", "dtype", "optimizer", "no array", "order"],
)
def test_states_that_do_not_fit_are_refused(others, change, words):
    state = Trainer([members_small()], MEMBERS_DATA, MEMBERS_PARTS).state() | change
    with pytest.raises(ValueError, match=words):
        Trainer([members_small(**others)], MEMBERS_DATA, MEMBERS_PARTS).restore([state])


def test_states_of_different_places_are_refused():
    trainer = Trainer([members_small()], MEMBERS_DATA, MEMBERS_PARTS)
    states = [trainer.state()]
    next(trainer.run())
    with pytest.raises(ValueError, match="different places"):
        Trainer([members_small(), members_small()], MEMBERS_DATA, MEMBERS_PARTS).restore([*states, trainer.state()])
