"""Learning curves, and the rules that diagnose them and the statistics of layers (``docs/diagnosis.md``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TypeVar

from mlptrain.config.config import Config, argument
from mlptrain.config.values import flow
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.system.html import fragment, note
from mlptrain.system.text import shell_word
from mlptrain.training.reports import PROBE_IMAGES, EpochReport, LayersReport


@dataclass(frozen=True)
class LearningCurves:
    """The metrics of a run, each with one value per finished epoch; the ``val_`` metrics are empty without validation.

    ``diverged`` is the epoch in which the loss became non-finite, None if it did not.
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()
    diverged: int | None = None

    @property
    def validated(self) -> bool:
        """True if every epoch has validation metrics."""
        return bool(self.val_loss)

    @property
    def best(self) -> int:
        """Index of the epoch with the lowest validation loss, the first of equal ones."""
        return min(range(len(self.val_loss)), key=self.val_loss.__getitem__)


def curves_of(reports: Sequence[EpochReport]) -> LearningCurves:
    """Return the curves of epoch reports; the epoch of a report without a finite loss is the one that diverged."""
    diverged = next((report.epoch for report in reports if not math.isfinite(report.loss)), None)
    kept = [report for report in reports if math.isfinite(report.loss)]
    val_loss = tuple(report.val_loss for report in kept if report.val_loss is not None)
    val_accuracy = tuple(report.val_accuracy for report in kept if report.val_accuracy is not None)
    if not len(val_loss) == len(val_accuracy) == len(kept):
        val_loss, val_accuracy = (), ()
    return LearningCurves(
        tuple(report.epoch for report in kept),
        tuple(report.loss for report in kept),
        tuple(report.accuracy for report in kept),
        val_loss,
        val_accuracy,
        diverged,
    )


MIN_EPOCHS = 5

HIGH = 0.15  # of the chance loss: a loss above it is high

FLAT = 0.9  # of the chance loss: a loss above it shows that nothing has been learnt

EVEN = 1 / 3  # of an even fall: a loss that falls more slowly at the end levels out

JUMP = 0.1  # of the loss, per epoch

RISES = 0.15  # of the epochs

TURN = 0.15  # of the lowest validation loss

GAP = 0.1  # of accuracy, training above validation: overfitting, even if the validation loss does not rise

NARROW = 0.06  # of accuracy: a gap below it is as narrow as in the healthy run of laboratory 1

POOR = 0.8  # an accuracy below it is poor

SATURATED = 0.4  # of the activations of hidden layers: the initial weights saturate the units

DEAD = 0.5  # of the units of a layer: the layer is dead

VANISHING = 50.0  # times the gradient of the first layer: the initial gradient of the last

USUAL_RATIO = 1e-3  # size of a step in relation to the weights, a rule of thumb

EXPLODING = 0.1  # a ratio from here on: the steps explode

FEW = 0.01  # a ratio from here on: the steps are not too small

SLOW = 1e-4  # a ratio below it: the steps are far too small


FAULTS = ("rate_too_high", "initialisation", "rate_too_low", "underfitting")
"""Cases of the learning curves whose cause the statistics of the layers may show."""


def _any(cases: Sequence[str]) -> str:
    """Return the end of a condition: the curves alone give one of these cases."""
    return "the curves alone say " + ", ".join(f"`{case}`" for case in cases[:-1]) + f" or `{cases[-1]}`"


@dataclass(frozen=True)
class Case:
    """A possible diagnosis: its title, and its condition and suggestion as the documentation states them."""

    title: str
    condition: str
    suggestion: str


CASES = {
    "divergence": Case(
        "divergence: every step overshoots further than the last",
        "the loss became infinite or not a number",
        "a tenth of the rate; `init=auto` if the weights were N(0, 1)",
    ),
    "not_enough_epochs": Case(
        "not enough epochs to say", f"fewer than {MIN_EPOCHS} epochs are finished", "more epochs"
    ),
    "zero_initialisation": Case(
        "zero initialisation: weights that start at zero keep all hidden units equal",
        f"`init: zeros` with hidden layers, and training accuracy below {POOR:.0%}: units that start equal stay equal",
        "`init=auto`",
    ),
    "dead_units": Case(
        "dead units: most units of a layer pass no gradient",
        f"at the end at least {DEAD:.0%} of the units of a hidden layer are dead, and {_any(FAULTS)}",
        "a tenth of the rate; `init=auto` if the initial weights were the reason",
    ),
    "saturated": Case(
        "saturated units: the initial weights are so large that most units pass almost no gradient",
        f"before training at least {SATURATED:.0%} of the activations of the hidden layers are saturated, and "
        + _any((*FAULTS, "overfitting")),
        "`init=auto`; otherwise batch normalisation",
    ),
    "vanishing_gradients": Case(
        "vanishing gradients: the first layers learn far more slowly than the last",
        f"before training the gradient of the last layer is at least {VANISHING:.0f} times that of the first, and "
        + _any(FAULTS),
        "relu; with relu, batch normalisation",
    ),
    "rate_too_high": Case(
        "learning rate too high: the steps jump over the minimum",
        f"in the second half the monitored loss changes by {JUMP:.0%} or more of itself per epoch, stays high, and the "
        f"training loss rises in {RISES:.0%} or more of the epochs; or the loss ends above the chance loss (by 5% or "
        "more) and no longer falls, and the initial weights do not explain it",
        "a tenth of the rate",
    ),
    "exploding_updates": Case(
        "exploding updates: every step changes the weights by a large share of their size",
        f"in the second half the update ratio of a layer is {EXPLODING:g} or more, and {_any(FAULTS[1:])}",
        f"a smaller rate, with which the ratio is about {USUAL_RATIO:g}",
    ),
    "initialisation": Case(
        "flat start: the initial weights leave the units almost without gradient",
        f"the training loss stays above {FLAT:.0%} of the chance loss for at least three epochs and a tenth of all "
        "epochs, and one of: the weights were N(0, 1); it then falls at least twice as fast; sigmoid or tanh units "
        "never leave it",
        "`init=auto`; otherwise relu or batch normalisation",
    ),
    "rate_too_low": Case(
        "learning rate too low, or too few steps: the loss still falls at the end",
        "the monitored loss is high at the end, and both it and the training loss still fall: the late fall is at "
        f"least a third of an even one; or the curves alone say `initialisation`, and the update ratio of every layer "
        f"is below {SLOW:g} in the second half",
        f"ten times the rate if the loss falls almost evenly or the update ratio is below {SLOW:g}, otherwise three "
        f"times; as many times the epochs if the update ratio is {FEW:g} or more",
    ),
    "overfitting": Case(
        "overfitting",
        f"the validation loss ends {TURN:.0%} or more above its minimum, and the training loss has fallen by a fifth "
        f"or more since then; or the training accuracy is {GAP:.0%} or more (points) above the validation accuracy. It "
        "begins at the minimum of the validation loss",
        "the whole training split; otherwise a regulariser that is not in use, and early stopping",
    ),
    "underfitting": Case(
        "underfitting: both curves stay high, close together",
        f"training and validation accuracy both end below {POOR:.0%}",
        "more hidden units",
    ),
    "gap": Case(
        "healthy, with a gap: much better in training than in validation",
        f"none of these, and the training accuracy is {NARROW:.0%} or more (points) above the validation accuracy: "
        "healthy, with a gap",
        "the whole training split; otherwise shifted images (`augment.shift=1`), then dropout or a larger `l2`",
    ),
    "healthy": Case("healthy", "none of these", "nothing"),
}
"""Every case, in the order in which the documentation describes them."""


@dataclass(frozen=True)
class Diagnosis:
    """One of `CASES`, the epoch at which it begins (overfitting, divergence), its evidence, and what to try.

    ``changes`` are ``KEY=VALUE`` arguments for the next run; empty if nothing needs to change.
    """

    case: str
    epoch: int | None
    evidence: tuple[str, ...] = field(repr=False)
    changes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Description of the case."""
        since = f" from epoch {self.epoch} on" if self.case == "overfitting" else ""
        return CASES[self.case].title + since

    def _repr_html_(self) -> str:
        """Return the case, its evidence and the changes to try, for notebooks."""
        changes = f"try {' '.join(self.changes)}" if self.changes else "nothing needs to change"
        return fragment(self.title, *map(note, (*self.evidence, changes)))

    def command(self, config_file: str) -> str | None:
        """Return the ``mlptrain train`` command that applies the changes to the run's config; None without changes."""
        if not self.changes:
            return None
        return " ".join(["mlptrain train", shell_word(config_file), *map(shell_word, self.changes)])


@dataclass(frozen=True)
class _Curves:
    """The input of the rules: the history, the config, and the statistics of the layers from epoch 0 on.

    ``chance`` is the loss of a network that outputs 1/K for every class.
    """

    history: LearningCurves
    config: Config
    chance: float
    layers: Sequence[LayersReport] = ()

    @property
    def loss(self) -> tuple[float, ...]:
        return self.history.loss

    @property
    def judged(self) -> tuple[float, ...]:
        """The loss that decides: that of validation if there is a validation split."""
        return self.history.val_loss or self.history.loss

    @property
    def saturating(self) -> bool:
        return ACTIVATIONS[self.config.activation].steepest is not None

    @property
    def update_ratio(self) -> tuple[float, int]:
        """The largest median of a layer's update ratio in the second half of the epochs, and the layer's number."""
        late = [[layer.update_ratio for layer in report.layers] for report in _late(self.layers)]
        medians = [median(ratios) for ratios in zip(*late, strict=True)]
        finite = ((ratio, number) for number, ratio in enumerate(medians, start=1) if math.isfinite(ratio))
        return max(finite, default=(USUAL_RATIO, 0))


def diagnose(
    history: LearningCurves, config: Config, classes: int = 10, layers: Sequence[LayersReport] = ()
) -> Diagnosis:
    """Return the diagnosis of the learning curves, or the cause of a fault that the statistics of the layers show.

    ``docs/diagnosis.md`` describes the rules. Runs of 0.1 have no ``layers``.
    """
    if history.diverged is not None:
        return _divergence(history, config, layers)
    count = len(history.epochs)
    if count < MIN_EPOCHS:
        evidence = f"{count} finished {'epoch' if count == 1 else 'epochs'}; a diagnosis needs {MIN_EPOCHS}"
        return Diagnosis("not_enough_epochs", None, (evidence,), ("epochs=20",))
    curves = _Curves(history, config, chance_loss(config.loss, classes), layers)
    found = next(found for rule in _CURVE_RULES if (found := rule(curves)) is not None)
    if layers:
        for rule, faults in _LAYER_RULES.items():
            if found.case in faults and (cause := rule(curves)) is not None:
                return cause
    return found


def chance_loss(loss: str, classes: int) -> float:
    """Return the loss of output 1/K for each of K classes: ln K, K·H(1/K) with the binary entropy H, or (K-1)/2K."""
    k = max(2, classes)
    if loss == "cross_entropy":
        return math.log(k)
    if loss == "binary_cross_entropy":
        return math.log(k) - (k - 1) * math.log1p(-1 / k)
    return (k - 1) / (2 * k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _smooth(values: Sequence[float]) -> list[float]:
    """Return the means of three neighbours, of two at the ends."""
    return [_mean(values[max(0, i - 1) : i + 2]) for i in range(len(values))]


T = TypeVar("T")


def _late(values: Sequence[T]) -> Sequence[T]:
    """Return the second half, with the value before it."""
    return values[len(values) // 2 - 1 :]


def _jump(values: Sequence[float]) -> float:
    """Return the mean change per epoch, as a fraction of the mean."""
    changes = [abs(b - a) for a, b in pairwise(values)]
    return _mean(changes) / max(_mean(values), 1e-300)


def _rises(values: Sequence[float]) -> float:
    """Return the fraction of epochs in which the value rose."""
    return _mean([float(b > a) for a, b in pairwise(values)])


def _late_fall(values: Sequence[float]) -> tuple[float, float]:
    """Return the share of the whole fall in the last fifth of the epochs, and that of an even fall."""
    steps = len(values) - 1
    last = max(1, round(steps / 5))
    whole = values[0] - values[-1]
    return (values[-1 - last] - values[-1]) / whole if whole > 0 else 0.0, last / steps


def _levels_out(values: Sequence[float]) -> bool:
    share, even = _late_fall(values)
    return share < EVEN * even


def _slower(config: Config, by: float) -> str:
    return f"learning_rate={config.learning_rate / by:.3g}"


def _divergence(history: LearningCurves, config: Config, layers: Sequence[LayersReport]) -> Diagnosis:
    evidence = [f"the loss became non-finite in epoch {history.diverged}"]
    if history.loss:
        evidence.append(
            f"loss {history.loss[0]:.4g} after epoch 1, {history.loss[-1]:.4g} after the last finished epoch"
        )
    evidence.append(f"learning_rate {config.learning_rate:g}")
    if layers and (explosive := _explosive(layers[-1])) is not None:
        evidence.append(f"after epoch {layers[-1].epoch} a step changes {explosive}")
    changes = [_slower(config, 10)] + (["init=auto"] if config.init == "normal" else [])
    return Diagnosis("divergence", history.diverged, tuple(evidence), tuple(changes))


def _dead_units(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of a layer most of whose units are dead at the end."""
    first, last, config = curves.layers[0], curves.layers[-1], curves.config
    shares = [(layer.dead, number) for number, layer in enumerate(last.layers, start=1) if layer.dead is not None]
    share, number = max(shares, default=(0.0, 0))
    if share < DEAD:
        return None
    before = first.layers[number - 1].dead or 0.0
    evidence = (
        f"{share:.0%} of the units of layer {number} are dead at the end, {before:.0%} in epoch {first.epoch}: "
        f"they pass no gradient for any of {PROBE_IMAGES} training images",
        _final_accuracy(curves.history),
        f"learning_rate {config.learning_rate:g}, init {config.init}, activation {config.activation}",
    )
    return Diagnosis("dead_units", None, evidence, ("init=auto",) if before >= DEAD else (_slower(config, 10),))


def _saturated(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of initial weights that saturate the units."""
    first, config = curves.layers[0], curves.config
    shares = [layer.saturated for layer in first.layers if layer.saturated is not None]
    if not shares or _mean(shares) < SATURATED:
        return None
    evidence = (
        f"{_mean(shares):.0%} of the activations of the hidden layers are saturated in epoch {first.epoch} "
        f"(layer 1: {shares[0]:.0%}), {_saturation(curves.layers[-1]):.0%} at the end",
        f"the weighted inputs of layer 1 then have a standard deviation of {first.layers[0].z_sd:.2g}",
        _final_accuracy(curves.history),
        f"init {config.init}, activation {config.activation}, hidden {flow(config.hidden)}",
    )
    change = "init=auto" if config.init == "normal" else "batch_norm=true"
    return Diagnosis("saturated", None, evidence, (change,))


def _saturation(report: LayersReport) -> float:
    """Return the share of saturated activations of the hidden layers, 0 if the activation has none."""
    shares = [layer.saturated for layer in report.layers if layer.saturated is not None]
    return _mean(shares) if shares else 0.0


def _vanishing_gradients(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of an initial gradient that is much smaller in the first layer than in the last."""
    first, config = curves.layers[0], curves.config
    ratio, end = _vanishing_ratio(first), _vanishing_ratio(curves.layers[-1])
    if not ratio >= VANISHING:
        return None
    evidence = (
        f"layer 1 learns {ratio:.0f} times more slowly than layer {len(first.layers)} in epoch {first.epoch}: "
        f"norm of the gradient {first.layers[0].gradient_norm:.2g} against {first.layers[-1].gradient_norm:.2g}",
        f"at the end {end:.0f} times",
        _final_accuracy(curves.history),
        f"activation {config.activation}, init {config.init}, hidden {flow(config.hidden)}",
    )
    changes = ("activation=relu", _slower(config, 5)) if curves.saturating else ("batch_norm=true",)
    return Diagnosis("vanishing_gradients", None, evidence, changes)


def _vanishing_ratio(report: LayersReport) -> float:
    """Return the norm of the last layer's gradient in relation to that of the first."""
    return report.layers[-1].gradient_norm / max(report.layers[0].gradient_norm, 1e-300)


def _exploding_updates(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of steps that change the weights of a layer by a large share of their size."""
    ratio, number = curves.update_ratio
    if ratio < EXPLODING:
        return None
    evidence = (_step(ratio, number), _final_accuracy(curves.history), f"learning_rate {curves.config.learning_rate:g}")
    return Diagnosis("exploding_updates", None, evidence, (_slower(curves.config, ratio / USUAL_RATIO),))


def _slow_steps(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of a loss that stays flat because the steps are far too small."""
    ratio, number = curves.update_ratio
    if ratio >= SLOW:
        return None
    evidence = (_step(ratio, number), _final_accuracy(curves.history), f"learning_rate {curves.config.learning_rate:g}")
    return Diagnosis("rate_too_low", None, evidence, (_slower(curves.config, 1 / 10),))


def _step(ratio: float, number: int) -> str:
    """Return a phrase about the largest steps in the second half of the epochs."""
    return (
        f"in the second half a step changes the weights of layer {number} by {ratio:.2g} of their size, "
        f"those of the other layers by less (usual: about {USUAL_RATIO:g})"
    )


def _final_accuracy(history: LearningCurves) -> str:
    if history.validated:
        return _accuracies(history)
    return f"accuracy {_mean(history.accuracy[-3:]):.3f} in training (mean of the last three epochs)"


def _explosive(report: LayersReport) -> str | None:
    """Return a phrase about the layer that the next step would change most, if that is much."""
    ratios = [(layer.update_ratio, number) for number, layer in enumerate(report.layers, start=1)]
    ratio, number = max((each for each in ratios if math.isfinite(each[0])), default=(0.0, 0))
    return f"the weights of layer {number} by {ratio:.2g} times their size" if ratio >= EXPLODING else None


def _zero_initialisation(curves: _Curves) -> Diagnosis | None:
    config, accuracy = curves.config, _mean(curves.history.accuracy[-3:])
    if config.init != "zeros" or not config.hidden or accuracy >= POOR:
        return None
    evidence = (
        f"init zeros: the {config.hidden[0]} units of a hidden layer start equal and get equal updates",
        f"training accuracy {accuracy:.3f} at the end",
    )
    return Diagnosis("zero_initialisation", None, evidence, ("init=auto",))


def _rate_too_high(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of oscillation at a high loss, or of a plateau above chance that is not due to the start."""
    judged, high = _late(curves.judged), HIGH * curves.chance
    jump, rises, mean = _jump(judged), _rises(_late(curves.loss)), _mean(judged)
    oscillates = jump >= JUMP and rises >= RISES and mean >= high
    stuck = min(curves.loss[-3:]) >= 1.05 * curves.chance and curves.config.init not in ("normal", "zeros")
    if not oscillates and not (stuck and _levels_out(curves.loss)):
        return None
    name = "val_loss" if curves.history.validated else "loss"
    evidence = [
        f"{name} changes by {jump:.0%} per epoch in the second half (a steady run: below {JUMP:.0%})",
        f"the training loss rises in {rises:.0%} of those epochs",
        f"{name} is {mean:.3g} on average; the chance level is {curves.chance:.3g}",
        f"learning_rate {curves.config.learning_rate:g}",
    ]
    if curves.layers and (share := _saturation(curves.layers[-1])) >= SATURATED:
        evidence.append(f"{share:.0%} of the activations of the hidden layers are saturated at the end")
    return Diagnosis("rate_too_high", None, tuple(evidence), (_slower(curves.config, 10),))


def _initialisation(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of a flat start at the chance loss, due to the initial weights or before a faster fall."""
    loss, config = curves.loss, curves.config
    flat = next((i for i, value in enumerate(loss) if value < FLAT * curves.chance), len(loss))
    if not config.hidden or flat < max(3, len(loss) / 10):
        return None
    early = (loss[0] - loss[flat - 1]) / max(1, flat - 1)
    falls = [a - b for a, b in pairwise(loss[flat - 1 :])]
    accelerates = max(falls, default=0.0) >= 2 * early
    stuck = flat == len(loss) and curves.saturating and _levels_out(loss)
    if config.init != "normal" and not accelerates and not stuck:
        return None
    evidence = (
        f"the loss of the first {flat} epochs stays above {FLAT * curves.chance:.3g}, "
        f"{FLAT:.0%} of the chance level ({curves.chance:.3g})",
        f"loss {loss[0]:.3g} after epoch 1, {loss[flat - 1]:.3g} after epoch {flat}, {loss[-1]:.3g} at the end",
        f"init {config.init}, activation {config.activation}, hidden {flow(config.hidden)}",
    )
    if config.init in ("normal", "zeros"):
        changes: tuple[str, ...] = ("init=auto",)
    else:
        changes = ("activation=relu", _slower(config, 5)) if curves.saturating else ("batch_norm=true",)
    return Diagnosis("initialisation", None, evidence, changes)


def _rate_too_low(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of a high loss with a large share of its fall in the last fifth of the epochs."""
    first, last = curves.judged[0], curves.judged[-1]
    if _levels_out(curves.loss) or _levels_out(curves.judged) or last < HIGH * curves.chance:
        return None
    share, even = _late_fall(curves.judged)
    name = "val_loss" if curves.history.validated else "loss"
    evidence = [
        f"{name} {first:.3g} after epoch 1, {last:.3g} at the end",
        f"{share:.0%} of this fall is in the last fifth of the epochs (an even fall: {even:.0%}; "
        f"a curve that levels out: below {EVEN * even:.0%})",
        f"learning_rate {curves.config.learning_rate:g}",
    ]
    factor = 10 if share >= 0.6 * even else 3
    change = _slower(curves.config, 1 / factor)
    if curves.layers:
        ratio, number = curves.update_ratio
        evidence.append(_step(ratio, number))
        if ratio >= FEW:
            evidence.append("so the steps are not too small but too few")
            change = f"epochs={factor * curves.config.epochs}"
    return Diagnosis("rate_too_low", None, tuple(evidence), (change,))


def _overfitting(curves: _Curves) -> Diagnosis | None:
    """Return a diagnosis of a validation loss that rises while the training loss falls, or of a large accuracy gap."""
    history, config = curves.history, curves.config
    if not history.validated:
        return None
    smooth = _smooth(history.val_loss)
    turn = smooth.index(min(smooth))
    rises = _mean(history.val_loss[-3:]) >= (1 + TURN) * smooth[turn]
    falls = history.loss[-1] <= 0.8 * history.loss[turn]
    if not (rises and falls) and _gap(history) < GAP:
        return None
    best = history.best
    evidence = (
        _turning_point(history),
        f"the training loss falls from {history.loss[best]:.3g} to {history.loss[-1]:.3g} in that time",
        _accuracies(history),
    )
    return Diagnosis("overfitting", history.epochs[best], evidence, _against_overfitting(config))


def _gap(history: LearningCurves) -> float:
    """Return by how much the training accuracy is above the validation accuracy at the end."""
    return _mean(history.accuracy[-3:]) - _mean(history.val_accuracy[-3:])


def _turning_point(history: LearningCurves) -> str:
    """Return a phrase with the minimum of the validation loss and the rise since then."""
    lowest, end = history.val_loss[history.best], _mean(history.val_loss[-3:])
    rise = f"{end:.3g} at the end ({end / max(lowest, 1e-300) - 1:+.0%})"
    return f"val_loss is lowest in epoch {history.epochs[history.best]}: {lowest:.3g}; {rise}"


def _accuracies(history: LearningCurves) -> str:
    """Return a phrase with the accuracies at the end."""
    train, validation = _mean(history.accuracy[-3:]), _mean(history.val_accuracy[-3:])
    return f"accuracy {train:.3f} in training, {validation:.3f} in validation (means of the last three epochs)"


def _against_overfitting(config: Config) -> tuple[str, ...]:
    """Return more data if there is more, else a regulariser that is not in use, else an earlier end."""
    if config.subset is not None:
        return ("subset=null",)
    if config.hidden and config.dropout == 0.0:
        return ("dropout=0.3", "early_stopping.patience=5")
    if config.l2 == 0.0:
        return ("l2=0.0005", "early_stopping.patience=5")
    return ("early_stopping.patience=3",) if config.early_stopping is None else ("augment.shift=2",)


def _against_gap(config: Config) -> tuple[str, ...]:
    """Return more data if there is more, else shifted images, else a regulariser that is not in use."""
    if config.subset is not None:
        return ("subset=null",)
    if config.augment is None:
        return ("augment.shift=1",)
    return ("dropout=0.3",) if config.hidden and config.dropout == 0.0 else (f"l2={max(0.0005, 2 * config.l2):g}",)


def _underfitting(curves: _Curves) -> Diagnosis | None:
    history, config = curves.history, curves.config
    accuracy = _mean(history.accuracy[-3:])
    judged = _mean((history.val_accuracy or history.accuracy)[-3:])
    if max(accuracy, judged) >= POOR:
        return None
    evidence = [
        f"training accuracy {accuracy:.3f}, loss {_mean(history.loss[-3:]):.3g} (means of the last three epochs)",
        *([f"validation {judged:.3f}, loss {_mean(history.val_loss[-3:]):.3g}"] if history.validated else []),
        f"hidden {flow(config.hidden)}",
    ]
    small = not config.hidden or max(config.hidden) < 30
    wider = [64] if small else [2 * units for units in config.hidden]
    return Diagnosis("underfitting", None, tuple(evidence), (argument("hidden", wider),))


def _healthy(curves: _Curves) -> Diagnosis:
    """Return the diagnosis of a run without a fault: healthy, or with a gap between the accuracies."""
    history = curves.history
    evidence = [f"loss {history.loss[0]:.3g} after epoch 1, {history.loss[-1]:.3g} at the end, levelling out"]
    if not history.validated:
        evidence.append("no validation split: these curves cannot show overfitting")
        return Diagnosis("healthy", None, tuple(evidence), ())
    evidence += [_turning_point(history), _accuracies(history)]
    if _gap(history) < NARROW:
        return Diagnosis("healthy", None, tuple(evidence), ())
    return Diagnosis("gap", None, tuple(evidence), _against_gap(curves.config))


_Rule = Callable[[_Curves], Diagnosis | None]

_CURVE_RULES: tuple[_Rule, ...] = (
    _zero_initialisation,
    _rate_too_high,
    _initialisation,
    _rate_too_low,
    _overfitting,
    _underfitting,
    _healthy,
)
"""The rules for learning curves; the first that holds gives the diagnosis."""

_LAYER_RULES: dict[_Rule, tuple[str, ...]] = {
    _dead_units: FAULTS,
    _saturated: (*FAULTS, "overfitting"),
    _vanishing_gradients: FAULTS,
    _exploding_updates: FAULTS[1:],
    _slow_steps: ("initialisation",),
}
"""The rules for the statistics of layers, each with the cases of the curves that it replaces."""
