"""Which pictures there are, what their captions say, and that each can be drawn, to the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.reporting.album import (
    MOST_WEIGHTS,
    RUN_PICTURES,
    SWEEP_PICTURES,
    comparison,
    labels,
    run_pictures,
    sweep_pictures,
)
from mlptrain.reporting.figures.style import rendered
from mlptrain.reporting.runview import RunView, view_run
from mlptrain.reporting.sweepview import view_sweep
from tests.made import random_model
from tests.reporting.figures.made import run, sweep

NO_DATA = Path("no-data")


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> RunView:
    return view_run(run(tmp_path_factory.mktemp("album"), "a"))


def captions(view: RunView) -> dict[str, str]:
    return {picture.name: picture.caption for picture in run_pictures(view, NO_DATA)}


def drawn(view: RunView) -> set[str]:
    return {picture.name for picture in run_pictures(view, NO_DATA) if picture.draw is not None}


def with_model(view: RunView, *layers: int, **functions: str) -> RunView:
    return replace(view, model=random_model(784, *layers, 10, **functions))


def test_the_pictures_of_a_run_are_the_same_bytes_each_time(view):
    pictures = run_pictures(view, NO_DATA)
    assert tuple(picture.name for picture in pictures) == RUN_PICTURES
    for picture in (pictures[0], pictures[-1]):
        assert picture.draw is not None
        heading = (picture.title, picture.caption)
        first = rendered(picture.draw, "svg", heading=heading)
        assert first == rendered(picture.draw, "svg", heading=heading)
        assert first.startswith(b"<?xml") and b"<dc:date>" not in first
    assert rendered(picture.draw, "png").startswith(b"\x89PNG")


def test_the_confusion_caption_counts_the_mistakes(view):
    assert view.model is not None
    wrong = round(500 * (1 - view.metrics["test_accuracy"]))
    assert captions(view)["confusion"].startswith(f"{wrong:,} of 500 images were mistaken")


def test_a_large_layer_shows_a_selection_and_says_so(view):
    large = with_model(view, 1024)
    assert f"the {MOST_WEIGHTS} of 1,024 units" in captions(large)["weights"]
    assert "Of large layers the 48 units" in captions(large)["activations"]
    assert "of 6 units" not in captions(view)["weights"]


def test_many_layers(view):
    deep = with_model(view, *[4] * 8)
    assert "The first 6 of 8 hidden layers" in captions(deep)["activations"]
    pictures = {picture.name: picture for picture in run_pictures(deep, NO_DATA)}
    assert pictures["activations"].draw is not None
    assert b"hidden layer 6" in rendered(pictures["activations"].draw, "svg", inline=True)


def test_without_hidden_layers_there_are_weights_for_each_class(view):
    flat = with_model(view)
    assert drawn(flat) == set(RUN_PICTURES) - {"activations"}
    pictures = {picture.name: picture for picture in run_pictures(flat, NO_DATA)}
    assert pictures["weights"].draw is not None and "each class" in pictures["weights"].caption
    assert rendered(pictures["weights"].draw, "svg", inline=True).count(b"<text") == 10


def test_linear_outputs_have_no_confidence(view):
    linear = with_model(view, 5, output="linear", loss="mse")
    assert "calibration" not in drawn(linear) and "no probabilities" in captions(linear)["calibration"]


def test_without_a_model_there_are_only_curves(view):
    assert drawn(replace(view, model=None)) == {"curves"}


def test_without_a_finished_epoch_there_is_no_curve(view):
    empty = replace(view, history=replace(view.history, epochs=()))
    assert "curves" not in drawn(empty)
    with pytest.raises(UsageError, match="no epoch was finished"):
        comparison([view, empty])


@pytest.mark.parametrize("changes", [{"val_loss": (), "val_accuracy": ()}, {"diverged": 4}])
@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_without_validation_or_with_a_bad_end(view, changes, epochs):
    figures = ("epochs", "loss", "accuracy", "val_loss", "val_accuracy")
    short = {name: getattr(view.history, name)[:epochs] for name in figures}
    odd = replace(view, history=replace(view.history, **{**short, **changes}))
    curves = run_pictures(replace(odd, model=None), NO_DATA)[0].draw
    assert curves is not None
    text = rendered(curves, "svg", inline=True).decode()
    assert ("validation" in text) == ("val_loss" not in changes)
    assert ("diverged" in text) == ("diverged" in changes)
    assert b"</svg>" in rendered(comparison([view, odd]).draw, "svg")  # type: ignore[arg-type]


def test_data_that_does_not_fit_the_model(view):
    with pytest.raises(DataError, match="the data has changed"):
        run_pictures(replace(view, model=random_model(9, 4, 10)), NO_DATA)


def test_runs_are_labelled_by_what_differs(view, tmp_path):
    def like(name: str, **values: object) -> RunView:
        return replace(view, path=Path(name), config=view.config.model_copy(update=values))

    assert labels([like("a"), like("b", learning_rate=0.1)]) == ["learning_rate=0.5", "learning_rate=0.1"]
    assert labels([like("a"), like("b")]) == ["a", "b"]
    assert labels([like("a"), like("b"), like("c", seed=1)]) == ["a: seed=0", "b: seed=0", "seed=1"]
    long = like("b", hidden=tuple(range(1, 60)))
    assert labels([like("a"), long])[1].startswith("b: hidden=[1, 2")


def test_the_pictures_of_a_sweep(tmp_path):
    view = view_sweep(sweep(tmp_path))
    pictures = sweep_pictures(view)
    assert tuple(picture.name for picture in pictures) == SWEEP_PICTURES
    for picture in pictures:
        assert picture.draw is not None
        assert b"</svg>" in rendered(picture.draw, "svg", heading=(picture.title, picture.caption))
    assert "2 without a result" in pictures[0].caption


@pytest.mark.parametrize("keys, names", [(("hidden",), {"parameters", "parallel"}), ((), set())])
def test_what_was_not_varied_is_not_drawn(tmp_path, keys, names):
    view = replace(view_sweep(sweep(tmp_path)), keys=keys)
    assert {picture.name for picture in sweep_pictures(view) if picture.draw} == names


def test_a_metric_to_be_minimised_and_few_trials(tmp_path):
    view = view_sweep(sweep(tmp_path, trials=4, lost=0))
    few = replace(view, goal="minimize", ranked=view.ranked[:1])
    for picture in [*sweep_pictures(few), *sweep_pictures(replace(view, goal="minimize"))]:
        assert picture.draw is not None
        assert b"</svg>" in rendered(picture.draw, "svg", inline=True)
