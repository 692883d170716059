"""The training loop of one network: steps, metrics, seeds, divergence, time limits, and PyTorch as an oracle."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Config
from mlptrain.datasets.batches import Batches, batch_size_of
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Network
from mlptrain.engine.streams import stream
from mlptrain.errors import DivergedError
from mlptrain.models.evaluation import Evaluator
from mlptrain.training import trainer
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress
from mlptrain.training.stack import Stack
from mlptrain.training.trainer import Trainer, ValMetrics
from tests.made import config, dataset, sample, split
from tests.peers import layer_statistics
from tests.training.made import Run

DATA = dataset(60, pixels=6, classes=3)

SPLIT = split(41, 12, 7)  # 41 in batches of 8: five, and a last one of a single image


def build_network(settings: Config, inputs: int, classes: int) -> Network:
    """The network with which a run of these settings starts."""
    return Stack([settings], inputs, classes, 1).network


def train(
    settings: Config,
    data: Dataset = DATA,
    parts: Split = SPLIT,
    network: Network | None = None,
    time_limit: float | None = None,
) -> Run:
    return Run(settings, data, parts, network, time_limit)


def small(**values: Any) -> Config:
    return config(**{"hidden": [4], "batch_size": 8, "epochs": 2, "learning_rate": 0.3, "dtype": "float64", **values})


def copied(data: Dataset, indices: np.ndarray, size: int, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """The batches of an epoch: x (batch, pixels), y (batch, classes), labels (batch,)."""
    return [
        (x.copy(), y.T.copy(), labels.copy())
        for chunk in Batches(data, indices, size, data.classes, "float64").epoch(rng)
        for x, y, labels in zip(chunk.x, chunk.y, chunk.labels, strict=True)
    ]


# ---- steps and metrics ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "steps"), [(1, 41), (8, 6), (10, 5), (40, 2), (41, 1), (64, 1), ("full", 1)])
def test_steps_per_epoch(size: int | str, steps: int) -> None:
    run = train(small(batch_size=size, epochs=3))
    assert [report.steps for report in run.epochs] == [steps] * 3
    assert [report.epoch for report in run.epochs] == [1, 2, 3]
    assert run.outcome.samples == 3 * 41


def test_batch_size_of() -> None:
    assert [batch_size_of(small(batch_size=size), 41) for size in (1, 41, 42, "full")] == [1, 41, 41, 41]


def test_softmax_regression_written_out() -> None:
    """Weights and running means of two epochs against the formulas, written for rows and one layer."""
    run = train(small(hidden=[]))
    start = build_network(small(hidden=[]), 6, 3).member(0)
    w, b = start[0][0], start[1][0]
    rng = stream(0, "batches")
    for report in run.epochs:
        losses, hits = [], []
        for x, y, labels in copied(DATA, SPLIT.train, 8, rng):
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


def test_full_batch_is_plain_gradient_descent() -> None:
    settings = small(hidden=[], batch_size="full", epochs=1, init="zeros", learning_rate=0.7)
    run = train(settings)
    x = DATA.images[SPLIT.train] / 255
    y = np.eye(3)[DATA.labels[SPLIT.train]]
    # From zeros every class has probability 1/3.
    np.testing.assert_allclose(run.network.parameters.weights[0][0], 0.7 * (y - 1 / 3).T @ x / 41, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        run.network.parameters.biases[0][0, :, 0], 0.7 * (y - 1 / 3).mean(axis=0), rtol=0, atol=1e-14
    )
    assert run.epochs[0].loss == pytest.approx(math.log(3), rel=1e-12)


def test_the_quadratic_cost_of_the_course() -> None:
    """mse is C = 1/(2n) Σ ‖y − a‖²: sigmoid outputs that are all 1/2 cost 3/8 in three classes."""
    run = train(small(hidden=[], batch_size="full", epochs=1, init="zeros", loss="mse"))
    assert run.epochs[0].loss == pytest.approx(3 / 8, rel=1e-12)


def test_momentum_continues_over_epochs() -> None:
    settings = small(hidden=[], batch_size="full", epochs=3, optimizer="momentum", momentum=0.5, init="zeros")
    run = train(settings)
    x = np.c_[DATA.images[SPLIT.train] / 255, np.ones(41)]
    y = np.eye(3)[DATA.labels[SPLIT.train]]
    w, velocity = np.zeros((3, 7)), np.zeros((3, 7))
    for _ in range(3):
        e = np.exp(x @ w.T)
        velocity = 0.5 * velocity - 0.3 * (e / e.sum(axis=1, keepdims=True) - y).T @ x / 41
        w = w + velocity
    np.testing.assert_allclose(run.network.parameters.weights[0][0], w[:, :6], rtol=0, atol=1e-13)


def test_validation_is_measured_after_the_epoch() -> None:
    run = train(small(epochs=1))
    loss, accuracy = Evaluator(run.network, DATA, SPLIT.validation).metrics()
    assert run.epochs[0].val_loss == pytest.approx(loss[0], rel=1e-12)
    assert run.epochs[0].val_accuracy == accuracy[0]
    assert (run.outcome.val_loss, run.outcome.val_accuracy) == (run.epochs[0].val_loss, run.epochs[0].val_accuracy)


def test_without_a_validation_split() -> None:
    run = train(small(), parts=split(41))
    assert {(report.val_loss, report.val_accuracy) for report in run.epochs} == {(None, None)}
    assert (run.outcome.val_loss, run.outcome.val_accuracy, run.outcome.best_epoch) == (None, None, None)
    assert run.outcome.loss == run.epochs[-1].loss


def test_a_run_of_no_epochs() -> None:
    settings = small(epochs=0)
    before = build_network(settings, 6, 3)
    run = train(settings)
    assert run.reports == []
    np.testing.assert_array_equal(run.weights, before.parameters.flat)
    outcome = run.outcome
    assert (outcome.epochs, outcome.best_epoch, outcome.loss, outcome.accuracy) == (0, None, None, None)
    assert (outcome.samples, outcome.stopped) == (0, None)
    assert outcome.val_loss == pytest.approx(Evaluator(before, DATA, SPLIT.validation).metrics()[0][0])


def test_progress_within_an_epoch() -> None:
    run = train(small(batch_size=64, epochs=2, hidden=[3]), sample(), split(5000))  # chunks of 2048 images
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
def test_the_best_epoch_is_the_first_of_the_lowest_validation_loss(
    monkeypatch: pytest.MonkeyPatch, losses: list[float], best: int
) -> None:
    series = iter([*losses, losses[-1]])
    monkeypatch.setattr(Trainer, "validate", lambda self: [(next(series), 0.5)])
    assert train(small(epochs=3)).outcome.best_epoch == best


def test_the_sample_dataset_is_learnt() -> None:
    settings = config(hidden=[20], learning_rate=0.5, batch_size=16, epochs=3)
    run = train(settings, sample(), Split(np.arange(0, 5000, 2), np.arange(1, 5000, 4), np.arange(3, 5000, 4), ""))
    assert run.epochs[-1].val_accuracy > 0.85
    assert run.epochs[0].loss > run.epochs[1].loss > run.epochs[2].loss


# ---- seeds -------------------------------------------------------------------------------------------


def test_the_same_config_gives_the_same_bits() -> None:
    runs = [train(small(dtype="float32", epochs=3)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)
    metrics = [[(r.loss, r.accuracy, r.val_loss, r.val_accuracy) for r in run.epochs] for run in runs]
    assert metrics[0] == metrics[1]


def test_the_seed_draws_the_weights_and_batch_seed_the_order() -> None:
    def start(**values: int) -> bytes:
        return build_network(small(**values), 6, 3).parameters.flat.tobytes()

    assert start(seed=1) == start(seed=1, batch_seed=5) == start(seed=1, split_seed=9) != start(seed=2)

    def trained(**values: int) -> bytes:
        network = build_network(small(seed=0), 6, 3)  # the same weights for all
        return train(small(**values), network=network).weights.tobytes()

    assert trained(seed=1, batch_seed=5) == trained(seed=2, batch_seed=5) == trained(seed=5)
    assert trained(seed=1) == trained(seed=1, batch_seed=1) != trained(seed=2)
    assert trained(seed=0, batch_seed=0) == trained(seed=0), "0 is a seed, not the absence of one"
    assert trained(seed=3, batch_seed=0) == trained(seed=0)


def test_every_epoch_has_its_own_order() -> None:
    def order(epochs: int) -> list[bytes]:
        rng = stream(0, "batches")
        return [b"".join(x.tobytes() for x, _, _ in copied(DATA, SPLIT.train, 8, rng)) for _ in range(epochs)]

    assert len(set(order(3))) == 3
    one, two = train(small(epochs=1, learning_rate=1e-9)), train(small(epochs=2, learning_rate=1e-9))
    assert one.epochs[0].loss == two.epochs[0].loss
    assert two.epochs[0].loss == pytest.approx(two.epochs[1].loss)


# ---- divergence --------------------------------------------------------------------------------------


def test_divergence_names_the_step_and_a_smaller_rate() -> None:
    with pytest.raises(DivergedError) as caught:
        train(small(loss="mse", output="linear", learning_rate=1e30, dtype="float32"))
    message = str(caught.value)
    assert "loss at step 2 of 6 in epoch 1 is not finite (learning_rate 1e+30)" in message
    assert "learning_rate=1e+29" in message
    assert caught.value.exit_code == 4 and message.count("\n") < 3


def test_divergence_in_a_later_epoch() -> None:
    # Full batch and linear outputs: each step multiplies the error, until its square leaves float32.
    settings = small(hidden=[], loss="mse", output="linear", batch_size="full", learning_rate=10, epochs=99)
    with pytest.raises(DivergedError, match=r"step 1 of 1 in epoch \d\d is") as caught:
        train(settings.model_copy(update={"dtype": "float32"}), parts=split(41))
    assert "learning_rate=1," in str(caught.value)


def test_divergence_in_the_last_step_shows_in_validation() -> None:
    settings = small(loss="mse", output="linear", learning_rate=1e200, batch_size="full", epochs=1)
    with pytest.raises(DivergedError, match="validation loss after epoch 1 is not finite"):
        train(settings)


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
def test_enormous_rates_cause_divergence_or_finite_metrics_but_no_warning(
    output: str, loss: str, rate: float, dtype: str
) -> None:
    for activation in ("relu", "sigmoid"):
        settings = small(output=output, loss=loss, learning_rate=rate, dtype=dtype, activation=activation, epochs=3)
        try:
            run = train(settings)
        except DivergedError:
            continue
        assert all(math.isfinite(report.loss) and math.isfinite(report.val_loss) for report in run.epochs)
        assert np.isfinite(run.weights).all()


# ---- time limit --------------------------------------------------------------------------------------


def test_a_time_limit_of_zero_is_one_step() -> None:
    run = train(small(), time_limit=0.0)
    outcome = run.outcome
    assert (outcome.stopped, outcome.epochs, outcome.samples, outcome.best_epoch) == ("time_limit", 0, 8, None)
    assert run.epochs == []
    assert outcome.loss is not None and outcome.val_loss is not None
    x, y, _ = copied(DATA, SPLIT.train, 8, stream(0, "batches"))[0]
    start = Evaluator(build_network(small(), 6, 3), DATA, SPLIT.train)
    by_label = {image.tobytes(): logits for image, logits in zip(DATA.images, start.logits()[0].T, strict=False)}
    logits = np.array([by_label[np.rint(row * 255).astype(np.uint8).tobytes()] for row in x])
    expected = -np.log((np.exp(logits) * y).sum(axis=1) / np.exp(logits).sum(axis=1)).mean()
    assert outcome.loss == pytest.approx(expected, rel=1e-12), "the metrics are those of the step that was made"


def clock(monkeypatch: pytest.MonkeyPatch, validation: float) -> None:
    """Install a clock on which training takes no time and each validation ``validation`` seconds."""
    now = [100.0]

    def validate(self: Trainer) -> ValMetrics:
        now[0] += validation
        return [(0.5, 0.5)]

    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Trainer, "validate", validate)


def test_a_time_limit_between_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 10.0)
    run = train(small(epochs=5), time_limit=15.0)
    assert (run.outcome.epochs, run.outcome.stopped, run.outcome.samples) == (2, "time_limit", 82)
    assert [report.seconds for report in run.epochs] == [10, 10], "training and validation"
    assert run.outcome.seconds == 0, "training alone"


def test_a_time_limit_after_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 10.0)
    run = train(small(epochs=2), time_limit=15.0)
    assert (run.outcome.epochs, run.outcome.stopped) == (2, None)


def test_a_time_limit_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    run = train(small(epochs=5), time_limit=10.0)
    assert run.outcome.stopped == "time_limit"
    assert run.outcome.epochs < 5 and run.outcome.samples < 5 * 41
    assert run.outcome.epochs == len(run.epochs)


def test_a_time_limit_that_is_not_reached() -> None:
    assert train(small(), time_limit=600.0).outcome.stopped is None


# ---- PyTorch -------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize(("size", "epochs"), [(8, 1), ("full", 5)], ids=["one epoch of batches", "five full steps"])
def test_pytorch_reaches_the_same_weights(
    activation: str, output: str, loss: str, hidden: list[int], optimizer: str, size: int | str, epochs: int
) -> None:
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
        for x, y, _ in copied(DATA, SPLIT.train, 41 if size == "full" else 8, rng):
            cost = costs[loss](peer(torch.from_numpy(x)), torch.from_numpy(y))
            descent.zero_grad()
            cost.backward()
            descent.step()
            total += cost.item() * len(x) * (epoch == epochs - 1)

    run = train(settings, network=network)
    assert run.epochs[-1].loss == pytest.approx(total / 41, rel=1e-9)
    for linear, w, b in zip(peer[::2], *run.network.member(0), strict=True):
        np.testing.assert_allclose(w, linear.weight.detach().numpy(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(b, linear.bias.detach().numpy(), rtol=0, atol=1e-9)


def test_pytorch_agrees_in_float32_on_digits() -> None:
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
    trained = train(settings, data, parts, network).network.member(0)[0]
    np.testing.assert_allclose(trained[0], w1.detach().numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(trained[1], w2.detach().numpy(), rtol=0, atol=1e-4)


def test_seconds_are_those_of_the_clock() -> None:
    began = time.perf_counter()
    run = train(small(epochs=3))
    passed = time.perf_counter() - began
    assert 0 < run.outcome.seconds <= sum(report.seconds for report in run.epochs) <= passed


# ---- halting -------------------------------------------------------------------------------------------


def test_halt_ends_training_after_the_current_step(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(hidden=[3], batch_size=5, epochs=3)
    trainer = Trainer([settings], dataset(60), split(40, 10, 10))
    step = trainer.stack.step

    def halting(*arguments: Any) -> None:
        step(*arguments)
        if trainer.stack.optimizer.steps == 3:
            trainer.halt()

    monkeypatch.setattr(trainer.stack, "step", halting)
    reports = list(trainer.run())
    assert (trainer.epoch, trainer.step) == (0, 3) and [type(report) for report in reports] == [LayersReport, Progress]
    *_, resumed = trainer.run()
    *_, whole = Trainer([settings], dataset(60), split(40, 10, 10)).run()
    assert resumed.epochs == 3 and resumed.loss == whole.loss
    np.testing.assert_array_equal(resumed.weights[0][0], whole.weights[0][0])


# ---- statistics of layers ------------------------------------------------------------------------------

DEEP: dict[str, Any] = {"hidden": [8, 6], "epochs": 3, "learning_rate": 0.05}
EVERYTHING = {**DEEP, "batch_norm": True, "dropout": 0.3, "ema": 0.9, "l2": 0.01, "label_smoothing": 0.1}


@pytest.mark.parametrize("more", [{}, {"optimizer": "adam"}, EVERYTHING], ids=["sgd", "adam", "everything"])
@pytest.mark.parametrize("members", [1, 2])
def test_training_is_the_same_to_the_byte_without_statistics(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], members: int
) -> None:
    settings = [small(**{**DEEP, "seed": seed, "batch_seed": 0, **more}) for seed in range(members)]

    def trained() -> list[bytes]:
        trainer = Trainer(settings, DATA, SPLIT)
        for _ in trainer.run(until=2):
            pass
        states = [trainer.state(member) for member in range(members)]
        ends = [report for report in trainer.run() if isinstance(report, Outcome)]
        assert len(ends) == members
        arrays = [*(array for end in ends for part in end.weights for array in part)]
        arrays += [value for state in states for value in state.values() if isinstance(value, np.ndarray)]
        return [array.tobytes() for array in arrays]

    measured = trained()
    monkeypatch.setattr("mlptrain.training.stack.measure_layers", lambda network, *given: [()] * network.members)
    assert trained() == measured


@pytest.mark.parametrize(
    "more", [{}, {"batch_norm": True, "dropout": 0.5, "input_dropout": 0.2}], ids=["plain", "both"]
)
def test_statistics_are_those_of_the_first_training_images_without_dropout(more: dict[str, Any]) -> None:
    settings = small(**DEEP, activation="tanh", **more)
    trainer = Trainer([settings], DATA, SPLIT)
    x = DATA.images[SPLIT.train] / 255
    y = np.eye(DATA.classes)[:, DATA.labels[SPLIT.train]]
    for report in trainer.run():
        if isinstance(report, LayersReport):
            expected = layer_statistics(trainer.stack.network, x, y, 0.05)
            for ours, theirs in zip(report.layers, expected, strict=True):
                np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=1e-9, atol=1e-12)
    assert trainer.epoch == 3


def test_layers_are_reported_before_their_epoch_and_after_a_pause_only_once() -> None:
    trainer = Trainer([small(**DEEP)], DATA, SPLIT)
    reports = [*trainer.run(until=1), *trainer.run()]
    kept = [report for report in reports if isinstance(report, LayersReport | EpochReport)]
    order = [(LayersReport, 0), *((kind, epoch) for epoch in (1, 2, 3) for kind in (LayersReport, EpochReport))]
    assert [(type(report), report.epoch) for report in kept] == order


def test_the_probe_is_at_most_256_images() -> None:
    one = Trainer([config()], dataset(400), split(300, 50, 50))
    x, y = one._probe.x[0], one._probe.y[0]
    assert x.shape == (256, 6) and y.shape[1] == 256
    np.testing.assert_array_equal(x, (dataset(400).images[:256] * np.float32(1 / 255)).astype(np.float32))
