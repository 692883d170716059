"""The learning curves of a run: its figures, a column each, over its finished epochs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlptrain.config.config import Config
from mlptrain.config.values import flow
from mlptrain.training.reports import EpochReport


@dataclass(frozen=True)
class LearningCurves:
    """An entry a finished epoch in each column; the ``val_`` columns are empty where nothing was validated.

    ``diverged`` is the epoch in which the loss was no finite number any more, None where that did not happen.
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()
    diverged: int | None = None

    @property
    def validated(self) -> bool:
        """Whether every epoch has validation figures."""
        return bool(self.val_loss)


def curves_of(reports: Sequence[EpochReport]) -> LearningCurves:
    """The curves that epoch reports tell; a report without a finite loss is the epoch that diverged."""
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


FEWEST_EPOCHS = 5

HIGH = 0.15  # of the chance loss: a loss above it is high

FLAT = 0.9  # of the chance loss: above it nothing has been learnt yet

EVEN = 1 / 3  # of an even fall: a loss that falls faster than that at the end is still falling

JUMP = 0.1  # of the loss, an epoch

RISES = 0.15  # of the epochs

TURN = 0.15  # of the lowest validation loss

GAP = 0.1  # of accuracy, training above validation

POOR = 0.8  # accuracy below it is poor

_MEANING = {
    "healthy": "healthy",
    "divergence": "divergence: every step overshoots by more than the last",
    "zero_initialisation": "never learns well: weights that start at zero keep all hidden units alike",
    "initialisation": "flat start: the initial weights leave the units hardly any gradient",
    "rate_too_high": "learning rate too high: the steps jump over what they look for",
    "rate_too_low": "learning rate too low: the loss still falls at the end",
    "overfitting": "overfitting",
    "underfitting": "underfitting: both curves stay high, close together",
    "not_enough_epochs": "not enough epochs to say",
}

CASES = tuple(_MEANING)


@dataclass(frozen=True)
class Diagnosis:
    """A case of `CASES`, since which epoch (overfitting, divergence), the numbers that say so, and what to try.

    ``changes`` are the ``KEY=VALUE`` arguments of the next run; empty where nothing needs to change.
    """

    case: str
    epoch: int | None
    evidence: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The case in words."""
        since = f" from epoch {self.epoch} on" if self.case == "overfitting" else ""
        return _MEANING[self.case] + since

    def command(self, config_file: str) -> str | None:
        """The ``mlptrain train`` command that tries the change on the run's config; None without one."""
        if not self.changes:
            return None
        return " ".join(["mlptrain train", shlex.quote(config_file), *map(shlex.quote, self.changes)])


@dataclass(frozen=True)
class _Curves:
    """What the rules look at: the history, the config, and the loss of guessing every class alike."""

    history: LearningCurves
    config: Config
    chance: float

    @property
    def loss(self) -> tuple[float, ...]:
        return self.history.loss

    @property
    def judged(self) -> tuple[float, ...]:
        """The loss that judges: of validation, where there is one."""
        return self.history.val_loss or self.history.loss

    @property
    def saturating(self) -> bool:
        return self.config.activation in ("sigmoid", "tanh")


def diagnose(history: LearningCurves, config: Config, classes: int = 10) -> Diagnosis:
    """Name the case of a run: the first rule that holds, in the order of ``docs/diagnosis.md``."""
    if history.diverged is not None:
        return _divergence(history, config)
    count = len(history.epochs)
    if count < FEWEST_EPOCHS:
        evidence = f"{count} finished {'epoch' if count == 1 else 'epochs'}; a verdict takes {FEWEST_EPOCHS}"
        return Diagnosis("not_enough_epochs", None, (evidence,), ("epochs=20",))
    curves = _Curves(history, config, chance_loss(config.loss, classes))
    return next(found for rule in _RULES if (found := rule(curves)) is not None)


def chance_loss(loss: str, classes: int) -> float:
    """What always guessing 1/K for each of K classes costs: ln K, K·H(1/K) with the binary entropy H, or (K-1)/2K."""
    k = max(2, classes)
    if loss == "cross_entropy":
        return math.log(k)
    if loss == "binary_cross_entropy":
        return math.log(k) - (k - 1) * math.log1p(-1 / k)
    return (k - 1) / (2 * k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of three neighbours; of two at the ends."""
    return [_mean(values[max(0, i - 1) : i + 2]) for i in range(len(values))]


def _late(values: Sequence[float]) -> Sequence[float]:
    """The second half, with the value before it."""
    return values[len(values) // 2 - 1 :]


def _jump(values: Sequence[float]) -> float:
    """The mean change an epoch as a fraction of the mean."""
    changes = [abs(b - a) for a, b in pairwise(values)]
    return _mean(changes) / max(_mean(values), 1e-300)


def _rises(values: Sequence[float]) -> float:
    """The fraction of epochs in which the value rose."""
    return _mean([float(b > a) for a, b in pairwise(values)])


def _late_fall(values: Sequence[float]) -> tuple[float, float]:
    """The share of the whole fall that came in the last fifth of the epochs, and what an even fall would bring."""
    steps = len(values) - 1
    last = max(1, round(steps / 5))
    whole = values[0] - values[-1]
    return (values[-1 - last] - values[-1]) / whole if whole > 0 else 0.0, last / steps


def _slower(config: Config, by: float) -> str:
    return f"learning_rate={config.learning_rate / by:.3g}"


def _divergence(history: LearningCurves, config: Config) -> Diagnosis:
    evidence = [f"the loss was no finite number any more in epoch {history.diverged}"]
    if history.loss:
        evidence.append(f"loss {history.loss[0]:.4g} after epoch 1, {history.loss[-1]:.4g} after the last finished one")
    evidence.append(f"learning_rate {config.learning_rate:g}")
    changes = [_slower(config, 10)] + (["init=auto"] if config.init == "normal" else [])
    return Diagnosis("divergence", history.diverged, tuple(evidence), tuple(changes))


def _zero_initialisation(curves: _Curves) -> Diagnosis | None:
    config, accuracy = curves.config, _mean(curves.history.accuracy[-3:])
    if config.init != "zeros" or not config.hidden or accuracy >= POOR:
        return None
    evidence = (
        f"init zeros: the units of a hidden layer of {config.hidden[0]} start alike and get the same updates",
        f"training accuracy {accuracy:.3f} at the end",
    )
    return Diagnosis("zero_initialisation", None, evidence, ("init=auto",))


def _rate_too_high(curves: _Curves) -> Diagnosis | None:
    """Oscillation on a high plateau, or a plateau above the chance loss that the initial weights do not explain."""
    judged, high = _late(curves.judged), HIGH * curves.chance
    jump, rises, mean = _jump(judged), _rises(_late(curves.loss)), _mean(judged)
    oscillates = jump >= JUMP and rises >= RISES and mean >= high
    stuck = min(curves.loss[-3:]) >= 1.05 * curves.chance and curves.config.init not in ("normal", "zeros")
    if not oscillates and not (stuck and _late_fall(curves.loss)[0] < EVEN * _late_fall(curves.loss)[1]):
        return None
    name = "val_loss" if curves.history.validated else "loss"
    evidence = (
        f"{name} changes by {jump:.0%} of itself an epoch in the second half (a steady run: below {JUMP:.0%})",
        f"the training loss rises in {rises:.0%} of those epochs",
        f"{name} stays at {mean:.3g} on average; guessing costs {curves.chance:.3g}",
        f"learning_rate {curves.config.learning_rate:g}",
    )
    return Diagnosis("rate_too_high", None, evidence, (_slower(curves.config, 10),))


def _initialisation(curves: _Curves) -> Diagnosis | None:
    """A flat start at the chance loss which the initial weights explain, or which a faster fall follows."""
    loss, config = curves.loss, curves.config
    flat = next((i for i, value in enumerate(loss) if value < FLAT * curves.chance), len(loss))
    if not config.hidden or flat < max(3, len(loss) / 10):
        return None
    early = (loss[0] - loss[flat - 1]) / max(1, flat - 1)
    falls = [a - b for a, b in pairwise(loss[flat - 1 :])]
    accelerates = max(falls, default=0.0) >= 2 * early
    stuck = flat == len(loss) and curves.saturating and _late_fall(loss)[0] < EVEN * _late_fall(loss)[1]
    if config.init != "normal" and not accelerates and not stuck:
        return None
    evidence = (
        f"the loss of the first {flat} epochs stays above {FLAT * curves.chance:.3g}, "
        f"{FLAT:.0%} of what guessing costs ({curves.chance:.3g})",
        f"loss {loss[0]:.3g} after epoch 1, {loss[flat - 1]:.3g} after epoch {flat}, {loss[-1]:.3g} at the end",
        f"init {config.init}, activation {config.activation}, hidden {flow(config.hidden)}",
    )
    if config.init in ("normal", "zeros"):
        changes: tuple[str, ...] = ("init=auto",)
    else:
        changes = ("activation=relu", _slower(config, 5)) if curves.saturating else ("batch_norm=true",)
    return Diagnosis("initialisation", None, evidence, changes)


def _rate_too_low(curves: _Curves) -> Diagnosis | None:
    """The loss is high, and a good part of its whole fall came in the last fifth of the epochs."""
    shares = [_late_fall(values) for values in (curves.loss, curves.judged)]
    if any(share < EVEN * even for share, even in shares) or curves.judged[-1] < HIGH * curves.chance:
        return None
    (share, even), first, last = shares[1], curves.judged[0], curves.judged[-1]
    name = "val_loss" if curves.history.validated else "loss"
    evidence = (
        f"{name} {first:.3g} after epoch 1, {last:.3g} at the end",
        f"{share:.0%} of that fall came in the last fifth of the epochs (an even fall: {even:.0%}; "
        f"a curve that levels out: below {EVEN * even:.0%})",
        f"learning_rate {curves.config.learning_rate:g}",
    )
    factor = 10 if share >= 0.6 * even else 3
    return Diagnosis("rate_too_low", None, evidence, (_slower(curves.config, 1 / factor),))


def _overfitting(curves: _Curves) -> Diagnosis | None:
    """Validation loss turns and rises while training loss falls; or training accuracy runs far ahead."""
    history, config = curves.history, curves.config
    if not history.validated:
        return None
    smooth = _smooth(history.val_loss)
    turn = smooth.index(min(smooth))
    rise, gap = _rise(history), _mean(history.accuracy[-3:]) - _mean(history.val_accuracy[-3:])
    falls = history.loss[-1] <= 0.8 * history.loss[turn]
    if not (rise >= TURN and falls) and gap < GAP:
        return None
    evidence = (
        f"val_loss is lowest around epoch {history.epochs[turn]}: {smooth[turn]:.3g}; "
        f"{_mean(history.val_loss[-3:]):.3g} at the end ({rise:+.0%})",
        f"the training loss goes from {history.loss[turn]:.3g} to {history.loss[-1]:.3g} meanwhile",
        f"accuracy {history.accuracy[-1]:.3f} in training, {history.val_accuracy[-1]:.3f} in validation",
    )
    return Diagnosis("overfitting", history.epochs[turn], evidence, _against_overfitting(config))


def _rise(history: LearningCurves) -> float:
    """How far validation loss stands above its lowest in the end, as a fraction of that."""
    return _mean(history.val_loss[-3:]) / max(min(_smooth(history.val_loss)), 1e-300) - 1


def _against_overfitting(config: Config) -> tuple[str, ...]:
    """More data where there is more, else a regulariser that is not in use, else an earlier end."""
    if config.subset is not None:
        return ("subset=null",)
    if config.hidden and config.dropout == 0.0:
        return ("dropout=0.3", "early_stopping.patience=5")
    if config.l2 == 0.0:
        return ("l2=0.0005", "early_stopping.patience=5")
    return ("early_stopping.patience=3",) if config.early_stopping is None else ("augment.shift=2",)


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
    wider = "[64]" if small else flow([2 * units for units in config.hidden]).replace(" ", "")
    return Diagnosis("underfitting", None, tuple(evidence), (f"hidden={wider}",))


def _healthy(curves: _Curves) -> Diagnosis:
    history = curves.history
    evidence = [f"loss {history.loss[0]:.3g} after epoch 1, {history.loss[-1]:.3g} at the end, levelling out"]
    if not history.validated:
        evidence.append("no validation part: overfitting cannot be told from these curves")
        return Diagnosis("healthy", None, tuple(evidence), ())
    smooth = _smooth(history.val_loss)
    turn = history.epochs[smooth.index(min(smooth))]
    evidence.append(f"val_loss lowest around epoch {turn}: {min(smooth):.3g}; {_rise(history):+.0%} since")
    evidence.append(f"accuracy {history.accuracy[-1]:.3f} in training, {history.val_accuracy[-1]:.3f} in validation")
    return Diagnosis("healthy", None, tuple(evidence), ())


_RULES: tuple[Callable[[_Curves], Diagnosis | None], ...] = (
    _zero_initialisation,
    _rate_too_high,
    _initialisation,
    _rate_too_low,
    _overfitting,
    _underfitting,
    _healthy,
)
