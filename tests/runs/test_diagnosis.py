"""The rules of docs/diagnosis.md on synthetic curves; benchmarks/diagnosis.py checks them on trained runs."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlptrain.config.config import load_config
from mlptrain.engine.layers import LayerStatistics
from mlptrain.runs import diagnosis
from mlptrain.runs.diagnosis import CASES, Diagnosis, LearningCurves, chance_loss, curves_of, diagnose
from mlptrain.runs.folder import RunFolder
from mlptrain.runs.history import read_history, report_of
from mlptrain.training.reports import LayersReport
from tests.made import config
from tests.reporting.made import epoch


def test_one_column_per_metric() -> None:
    curves = curves_of([epoch(1, loss=2.0), epoch(2, loss=1.0, val_loss=0.5)])
    assert curves.epochs == (1, 2) and curves.loss == (2.0, 1.0) and curves.val_loss == (0.1843, 0.5)
    assert curves.validated and curves.diverged is None


def test_without_validation() -> None:
    curves = curves_of([epoch(1, val_loss=None, val_accuracy=None)])
    assert not curves.validated and curves.val_loss == curves.val_accuracy == ()


def test_the_epoch_that_diverged_is_not_finished() -> None:
    curves = curves_of([epoch(1), epoch(2, loss=math.nan, val_loss=None)])
    assert curves.diverged == 2 and curves.epochs == (1,) and curves.validated


def test_a_diverged_run_reads_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(config())
    folder.append(epoch(1))
    folder.append(report_of(2, {}))
    assert curves_of(read_history(tmp_path / "history.csv")).diverged == 2


def test_curves_of_no_epochs() -> None:
    assert curves_of([]).epochs == ()
    with pytest.raises(AttributeError):
        curves_of([]).epochs = (1,)  # type: ignore[misc]


CHANCE = math.log(10)


def curves(
    loss: Any, val_loss: Any = None, accuracy: Any = 0.95, val_accuracy: Any = None, diverged: Any = None
) -> LearningCurves:
    """Curves of these losses at constant accuracies; without ``val_loss`` there is no validation."""
    count = len(loss)
    validation = () if val_loss is None else tuple(val_loss)
    val = accuracy - 0.02 if val_accuracy is None else val_accuracy
    return LearningCurves(
        tuple(range(1, count + 1)), tuple(loss), (accuracy,) * count, validation, (val,) * len(validation), diverged
    )


def decay(start: Any, end: Any, count: int, pace: Any = 0.5) -> list[float]:
    """From start towards end; the distance is multiplied by ``pace`` per epoch."""
    return [end + (start - end) * pace**i for i in range(count)]


def line(start: Any, end: Any, count: int) -> list[float]:
    return [start + (end - start) * i / (count - 1) for i in range(count)]


FALLS = decay(1.2, 0.1, 20)

HEALTHY = curves(FALLS, decay(1.0, 0.25, 20))

JUMPS = [2.9 + 0.5 * (-1) ** i for i in range(20)]

TURNS = [*decay(1.0, 0.3, 8), *line(0.31, 0.5, 12)]

STEADY = LayerStatistics(0.0, 1.0, 0.5, 0.3, 0.1, None, 0.1, 8.0, 2e-3)

RELU = STEADY._replace(saturated=None, dead=0.1)


def layers(
    first: Sequence[LayerStatistics], last: Sequence[LayerStatistics] = (), epochs: Any = 20
) -> list[LayersReport]:
    """Statistics before training, and those of every epoch after it."""
    return [LayersReport(0, tuple(first)), *(LayersReport(e, tuple(last or first)) for e in range(1, epochs + 1))]


STUCK = curves([2.31, *[2.303] * 19], [2.303] * 20, 0.1)

SHOWN: dict[str, tuple[LearningCurves, dict[str, Any]]] = {
    "healthy": (HEALTHY, {}),
    "gap": (curves(FALLS, decay(1.0, 0.25, 20), 1.0, 0.928), {}),
    "divergence": (curves([], diverged=1), {}),
    "zero_initialisation": (curves(decay(2.3, 1.1, 20), decay(2.3, 1.1, 20), 0.6), {"init": "zeros"}),
    "initialisation": (curves([*[2.3] * 6, *decay(2.0, 0.4, 14)], None, 0.9), {"hidden": (30, 30)}),
    "rate_too_high": (curves(JUMPS, JUMPS, 0.3), {"learning_rate": 20}),
    "rate_too_low": (curves(line(2.4, 1.8, 20), line(2.4, 1.8, 20), 0.6), {"learning_rate": 0.003}),
    "overfitting": (curves(decay(1.2, 0.01, 20), TURNS, 1.0, 0.93), {}),
    "underfitting": (curves(decay(2.2, 1.2, 20), decay(2.2, 1.25, 20), 0.5), {"hidden": (2,)}),
    "not_enough_epochs": (curves(FALLS[:4], FALLS[:4]), {}),
    "dead_units": (STUCK, {"hidden": (9, 9), "activation": "relu"}),
    "saturated": (STUCK, {"hidden": (9, 9), "init": "normal"}),
    "vanishing_gradients": (STUCK, {"hidden": (9, 9)}),
    "exploding_updates": (STUCK, {"hidden": (9, 9)}),
}

LAYERS = {
    "dead_units": layers([RELU] * 3, [RELU, RELU._replace(dead=0.75), RELU]),
    "saturated": layers(
        [STEADY._replace(saturated=0.7), STEADY._replace(saturated=0.5), STEADY._replace(saturated=None)]
    ),
    "vanishing_gradients": layers([STEADY._replace(gradient_norm=0.001), STEADY, STEADY], [STEADY] * 3),
    "exploding_updates": layers([STEADY] * 3, [STEADY, STEADY._replace(update_ratio=0.3), STEADY]),
}
"""Statistics that show the cause of a fault of the curves."""


@pytest.mark.parametrize("case", CASES)
def test_each_case_on_an_example(case: str) -> None:
    history, keys = SHOWN[case]
    found = diagnose(history, config(**keys), layers=LAYERS.get(case, ()))
    assert found.case == case
    assert found.evidence and any(character.isdigit() for text in found.evidence for character in text)
    assert (found.changes == ()) == (case == "healthy")


@pytest.mark.parametrize("case", [case for case in CASES if case != "healthy"])
def test_the_command_is_valid(case: str, tmp_path: Path) -> None:
    (tmp_path / "my runs").mkdir()
    file = tmp_path / "my runs/config.yaml"
    file.write_text("subset: 300\nepochs: 4\ninit: zeros\n")
    history, keys = SHOWN[case]
    command = diagnose(history, config(**keys), layers=LAYERS.get(case, ())).command(str(file))
    assert command is not None
    words = shlex.split(command)
    assert words[:2] == ["mlptrain", "train"]
    assert load_config(Path(words[2]), words[3:]) != load_config(file)


def test_healthy_needs_no_command() -> None:
    assert diagnose(HEALTHY, config()).command("a.yaml") is None


@pytest.mark.parametrize("rise, case", [(1.10, "healthy"), (1.25, "overfitting")])
def test_the_rise_of_the_validation_loss_that_is_overfitting(rise: float, case: str) -> None:
    lowest = 0.3
    val = [*decay(1.0, lowest, 10, 0.3), *line(lowest, rise * lowest, 7), *[rise * lowest] * 3]
    found = diagnose(curves(decay(1.2, 0.01, 20, 0.7), val, 0.99, 0.94), config())
    assert found.case == case
    if case == "overfitting":
        assert 7 <= (found.epoch or 0) <= 11
        assert found.title == f"overfitting from epoch {found.epoch} on"


def test_a_rise_while_the_training_loss_is_constant_is_not_overfitting() -> None:
    val = [*decay(1.0, 0.3, 8), *line(0.3, 0.5, 12)]
    assert diagnose(curves(decay(1.2, 0.3, 20, 0.2), val), config()).case == "healthy"


@pytest.mark.parametrize("validation, case", [(0.85, "overfitting"), (0.928, "gap"), (0.95, "healthy")])
def test_the_gap_of_the_accuracies_decides_if_the_validation_loss_does_not_rise(validation: float, case: str) -> None:
    found = diagnose(curves(FALLS, decay(1.0, 0.5, 20), 1.0, validation), config())
    assert found.case == case
    assert any("1.000" in text and f"{validation:.3f}" in text for text in found.evidence)


@pytest.mark.parametrize(
    "keys, change",
    [
        ({"subset": 300}, "subset=null"),
        ({}, "augment.shift=1"),
        ({"augment": {"shift": 2}}, "dropout=0.3"),
        ({"augment": {"shift": 2}, "hidden": ()}, "l2=0.0005"),
        ({"augment": {"shift": 2}, "dropout": 0.2, "l2": 0.001}, "l2=0.002"),
    ],
)
def test_a_gap_gets_more_data_or_a_regulariser(keys: dict[str, Any], change: str) -> None:
    assert diagnose(SHOWN["gap"][0], config(**keys)).changes == (change,)


@pytest.mark.parametrize("rise, case", [(1.02, "healthy"), (1.6, "overfitting")])
def test_the_best_epoch_is_that_of_the_lowest_validation_loss(rise: float, case: str) -> None:
    """A single low value in epoch 5 is reported, although the mean of three epochs is lowest later."""
    val = [1.0, 0.8, 0.7, 0.6, 0.3, 0.5, 0.42, 0.40, 0.41, *line(0.41, 0.41 * rise, 8), *[0.41 * rise] * 3]
    history = curves(decay(1.2, 0.01, 20, 0.8), val, 0.99, 0.96)
    found = diagnose(history, config())
    assert history.epochs[history.best] == 5
    assert found.case == case and found.epoch == (5 if case == "overfitting" else None)
    assert any("epoch 5: 0.3;" in text for text in found.evidence)


def test_without_validation_the_evidence_says_so() -> None:
    found = diagnose(curves(FALLS), config())
    assert found.case == "healthy" and "no validation" in " ".join(found.evidence)
    assert diagnose(curves(JUMPS, None, 0.3), config()).case == "rate_too_high"
    assert diagnose(curves(decay(2.2, 1.2, 20), None, 0.5), config()).case == "underfitting"


def test_noise_of_a_low_loss_is_not_oscillation() -> None:
    jumps = [0.05 + 0.02 * (-1) ** i for i in range(20)]
    assert diagnose(curves(jumps, jumps, 0.99), config()).case == "healthy"


def test_a_plateau_above_chance_is_a_high_rate_unless_it_is_due_to_the_initial_weights() -> None:
    plateau = curves([3.5 + 0.001 * (-1) ** i for i in range(20)], None, 0.1)
    assert diagnose(plateau, config()).case == "rate_too_high"
    assert diagnose(plateau, config(init="normal")).case == "initialisation"


def test_saturated_units_are_a_matter_of_initialisation() -> None:
    assert diagnose(STUCK, config(hidden=(30, 30, 30))).case == "initialisation"
    assert diagnose(STUCK, config(hidden=(30,), activation="relu")).case == "underfitting"


def test_the_rules_for_curves_are_in_the_order_of_the_cases() -> None:
    order = [name for name in CASES if f"_{name}" in {rule.__name__ for rule in diagnosis._CURVE_RULES}]
    assert [rule.__name__.strip("_") for rule in diagnosis._CURVE_RULES] == order


def test_the_guide_names_the_limits_outside_its_table() -> None:
    guide = (Path(__file__).parents[2] / "docs/diagnosis.md").read_text()
    for name in ("HIGH", "FLAT", "TURN", "NARROW"):
        assert re.search(rf"{getattr(diagnosis, name):.0%}|{100 * getattr(diagnosis, name):.0f} points", guide), name
    assert diagnosis.EVEN == 1 / 3 and "a third of that" in guide


# ---- statistics of layers ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", LAYERS)
def test_layers_do_not_make_a_healthy_run_faulty(case: str) -> None:
    for healthy in ("healthy", "gap"):
        history, _ = SHOWN[healthy]
        assert diagnose(history, config(**SHOWN[case][1]), layers=LAYERS[case]).case == healthy


@pytest.mark.parametrize(("share", "case"), [(0.4, "underfitting"), (0.6, "dead_units")])
def test_dead_units_are_named_in_place_of_underfitting(share: float, case: str) -> None:
    keys = {"hidden": (9,), "activation": "relu", "learning_rate": 2.0}
    found = diagnose(STUCK, config(**keys), layers=layers([RELU, RELU], [RELU._replace(dead=share), RELU]))
    assert found.case == case
    if case == "dead_units":
        assert found.changes == ("learning_rate=0.2",) and "60%" in found.evidence[0] and "layer 1" in found.evidence[0]


def test_units_that_are_dead_from_the_start_need_other_initial_weights() -> None:
    dead = layers([RELU._replace(dead=0.8), RELU])
    assert diagnose(STUCK, config(hidden=(9,), activation="relu"), layers=dead).changes == ("init=auto",)


def test_saturation_by_the_initial_weights_also_explains_overfitting() -> None:
    history, _ = SHOWN["overfitting"]
    assert diagnose(history, config(hidden=(9, 9), init="normal"), layers=LAYERS["saturated"]).case == "saturated"
    found = diagnose(STUCK, config(hidden=(9, 9), init="glorot_uniform"), layers=LAYERS["saturated"])
    assert found.changes == ("batch_norm=true",)


def test_vanishing_gradients_are_given_as_a_ratio_with_both_norms() -> None:
    found = diagnose(STUCK, config(hidden=(9, 9), learning_rate=0.5), layers=LAYERS["vanishing_gradients"])
    assert "100 times" in found.evidence[0] and "0.001" in found.evidence[0] and "layer 3" in found.evidence[0]
    assert found.changes == ("activation=relu", "learning_rate=0.1")
    deep = config(hidden=(9, 9), activation="relu")
    lasting = curves([*[2.3] * 6, *decay(2.0, 0.4, 14)], None, 0.9)
    found = diagnose(lasting, deep, layers=layers([RELU._replace(gradient_norm=0.001), RELU, RELU]))
    assert (found.case, found.changes) == ("vanishing_gradients", ("batch_norm=true",))


def test_the_rate_follows_from_the_update_ratio() -> None:
    found = diagnose(STUCK, config(hidden=(9, 9), learning_rate=6.0), layers=LAYERS["exploding_updates"])
    assert found.changes == ("learning_rate=0.02",) and "layer 2 by 0.3" in found.evidence[0]
    slow = layers([STEADY._replace(update_ratio=3e-5)] * 3)
    found = diagnose(STUCK, config(hidden=(9, 9), learning_rate=0.01), layers=slow)
    assert (found.case, found.changes) == ("rate_too_low", ("learning_rate=0.1",))


def test_faults_of_the_rate_come_with_numbers_of_the_layers() -> None:
    saturated = layers([STEADY] * 2, [STEADY._replace(saturated=0.9), STEADY._replace(saturated=None)])
    history, keys = SHOWN["rate_too_high"]
    assert "90%" in diagnose(history, config(**keys), layers=saturated).evidence[-1]
    history, keys = SHOWN["rate_too_low"]
    found = diagnose(history, config(**keys), layers=layers([STEADY] * 2))
    assert "0.002" in found.evidence[-1] and found.changes == ("learning_rate=0.03",)
    large = layers([STEADY._replace(update_ratio=0.03)] * 2)
    assert diagnose(history, config(**keys, epochs=20), layers=large).changes == ("epochs=200",)
    exploded = [LayersReport(0, (STEADY, STEADY._replace(update_ratio=3.5)))]
    assert "layer 2 by 3.5" in diagnose(curves([], diverged=1), config(), layers=exploded).evidence[-1]


def test_statistics_that_are_not_finite_are_left_out() -> None:
    nothing = STEADY._replace(update_ratio=math.nan)
    assert diagnose(STUCK, config(hidden=(9,)), layers=layers([nothing] * 2)).case in CASES
    overflown = [LayersReport(0, (nothing, nothing))]
    assert diagnose(curves([], diverged=1), config(), layers=overflown).case == "divergence"


def test_divergence_after_some_epochs() -> None:
    found = diagnose(curves([5.0, 9.0], None, diverged=3), config(init="normal", learning_rate=3.0))
    assert found.epoch == 3 and found.changes == ("learning_rate=0.3", "init=auto")
    assert "9 after the last finished epoch" in " ".join(found.evidence)


@pytest.mark.parametrize(
    "keys, changes",
    [
        ({"subset": 300}, ("subset=null",)),
        ({}, ("dropout=0.3", "early_stopping.patience=5")),
        ({"hidden": ()}, ("l2=0.0005", "early_stopping.patience=5")),
        ({"dropout": 0.5, "l2": 0.1}, ("early_stopping.patience=3",)),
        ({"dropout": 0.5, "l2": 0.1, "early_stopping": {}}, ("augment.shift=2",)),
    ],
)
def test_overfitting_gets_a_regulariser_that_is_not_in_use(keys: dict[str, Any], changes: tuple[str, ...]) -> None:
    assert diagnose(SHOWN["overfitting"][0], config(**keys)).changes == changes


@pytest.mark.parametrize("hidden, change", [((), "hidden=64"), ((2,), "hidden=64"), ((100, 40), "hidden=200,80")])
def test_underfitting_gets_more_units(hidden: tuple[int, ...], change: str) -> None:
    assert diagnose(SHOWN["underfitting"][0], config(hidden=hidden)).changes == (change,)


@pytest.mark.parametrize(
    "keys, changes",
    [
        ({"init": "normal"}, ("init=auto",)),
        ({"activation": "tanh", "learning_rate": 0.5}, ("activation=relu", "learning_rate=0.1")),
        ({"activation": "relu"}, ("batch_norm=true",)),
    ],
)
def test_a_flat_start_gets_another_initialisation(keys: dict[str, Any], changes: tuple[str, ...]) -> None:
    found = diagnose(SHOWN["initialisation"][0], config(**{"hidden": (30, 30), **keys}))
    assert (found.case, found.changes) == ("initialisation", changes)


def test_the_chance_loss() -> None:
    p = 0.1
    assert chance_loss("cross_entropy", 10) == pytest.approx(CHANCE)
    assert chance_loss("binary_cross_entropy", 10) == pytest.approx(-10 * (p * math.log(p) + 0.9 * math.log(0.9)))
    assert chance_loss("mse", 10) == pytest.approx(0.5 * (0.9**2 + 9 * 0.1**2))


def test_a_notebook_shows_the_case_its_evidence_and_the_changes() -> None:
    found = Diagnosis("overfitting", 7, ("val_loss < loss",), ("l2=0.001", "dropout=0.2"))
    html = found._repr_html_()
    assert found.title in html and "val_loss &lt; loss" in html and "l2=0.001 dropout=0.2" in html
    assert repr(found) == "Diagnosis(case='overfitting', epoch=7, changes=('l2=0.001', 'dropout=0.2'))"
    assert "nothing needs to change" in Diagnosis("healthy", None, (), ())._repr_html_()
