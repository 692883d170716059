from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from mlptrain.errors import DataError, UsageError
from mlptrain.reporting.gallery import (
    MAX_ROWS,
    MAX_WEIGHTS,
    RUN_PLOTS,
    Plot,
    comparison,
    inspect_run,
    labels,
    plots_of,
    run_plots,
    sweep_plots,
    write_plots,
)
from mlptrain.reporting.plots.style import rendered
from mlptrain.runs.finished import RunView, view_run
from mlptrain.sweeps.finished import view_sweep
from mlptrain.sweeps.spec import Metric
from tests.made import random_model
from tests.reporting.made_runs import run, sweep

NO_DATA = Path("no-data")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return view_run(run(tmp_path_factory.mktemp("album"), "a"))


def plots_by_name(view: RunView) -> dict[str, Plot]:
    return {plot.name: plot for plot in run_plots(view, inspect_run(view, NO_DATA))}


def captions(view: RunView) -> dict[str, str]:
    return {name: plot.caption for name, plot in plots_by_name(view).items()}


def drawn(view: RunView) -> set[str]:
    return {name for name, plot in plots_by_name(view).items() if plot.draw is not None}


def with_model(view: RunView, *layers: int, **functions: Any) -> RunView:
    return replace(view, model=random_model(784, *layers, 10, **functions))


def test_the_same_run_gives_the_same_bytes(view: RunView) -> None:
    plots = [*plots_by_name(view).values()]
    assert tuple(plot.name for plot in plots) == RUN_PLOTS
    for plot in (plots[0], plots[-1]):
        assert plot.draw is not None
        heading = (plot.title, plot.caption)
        first = rendered(plot.draw, "svg", heading=heading)
        assert first == rendered(plot.draw, "svg", heading=heading)
        assert first.startswith(b"<?xml") and b"<dc:date>" not in first
    assert rendered(plot.draw, "png").startswith(b"\x89PNG")


def test_the_confusion_caption_counts_the_mistakes(view: RunView) -> None:
    assert view.model is not None
    wrong = round(500 * (1 - view.metrics["test_accuracy"]))
    assert captions(view)["confusion"].startswith(f"{wrong:,} of 500 images ")


def test_the_captions_of_a_large_layer_mention_the_selection(view: RunView) -> None:
    large = with_model(view, 1024)
    assert f"the {MAX_WEIGHTS} of 1,024 units" in captions(large)["weights"]
    assert f"the {MAX_ROWS} units" in captions(large)["activations"]
    assert "of 6 units" not in captions(view)["weights"]


def test_of_many_layers_the_first_are_shown(view: RunView) -> None:
    deep = with_model(view, *[4] * 8)
    assert "6 of 8 hidden layers" in captions(deep)["activations"]
    plots = plots_by_name(deep)
    assert plots["activations"].draw is not None
    assert b"hidden layer 6" in rendered(plots["activations"].draw, "svg", inline=True)


def test_without_hidden_layers_there_are_weights_for_each_class(view: RunView) -> None:
    flat = with_model(view)
    assert drawn(flat) == set(RUN_PLOTS) - {"activations"}
    plots = plots_by_name(flat)
    assert plots["weights"].draw is not None and "each class" in plots["weights"].caption
    assert rendered(plots["weights"].draw, "svg", inline=True).count(b"<text") == 10


def test_linear_outputs_have_no_confidence(view: RunView) -> None:
    linear = with_model(view, 5, output="linear", loss="mse")
    assert "calibration" not in drawn(linear) and "probabilities" in captions(linear)["calibration"]


def test_without_a_model_there_are_curves_and_layers(view: RunView) -> None:
    assert drawn(replace(view, model=None)) == {"curves", "layers"}
    assert drawn(replace(view, model=None, layers=())) == {"curves"}  # a run of 0.1


def test_without_a_finished_epoch_there_is_no_curve(view: RunView) -> None:
    empty = replace(view, history=replace(view.history, epochs=()))
    assert "curves" not in drawn(empty)
    with pytest.raises(UsageError, match="no epoch was finished"):
        comparison([view, empty])


@pytest.mark.parametrize("changes", [{"val_loss": (), "val_accuracy": ()}, {"diverged": 4}])
@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_without_validation_or_of_a_diverged_run(view: RunView, changes: dict[str, Any], epochs: int) -> None:
    metrics = ("epochs", "loss", "accuracy", "val_loss", "val_accuracy")
    short = {name: getattr(view.history, name)[:epochs] for name in metrics}
    odd = replace(view, history=replace(view.history, **{**short, **changes}))
    curves = run_plots(odd, None)[0].draw
    assert curves is not None
    text = rendered(curves, "svg", inline=True).decode()
    assert ("validation" in text) == ("val_loss" not in changes)
    assert ("diverged" in text) == ("diverged" in changes)
    assert b"</svg>" in rendered(comparison([view, odd]).draw, "svg")


def test_data_that_does_not_fit_the_model(view: RunView) -> None:
    with pytest.raises(DataError, match="expected 9 pixels and 10 classes"):
        inspect_run(replace(view, model=random_model(9, 4, 10)), NO_DATA)


def test_runs_are_labelled_by_what_differs(view: RunView, tmp_path: Path) -> None:
    def like(name: str, **values: object) -> RunView:
        return replace(view, path=Path(name), config=view.config.model_copy(update=values))

    assert labels([like("a"), like("b", learning_rate=0.1)]) == ["learning_rate=0.5", "learning_rate=0.1"]
    assert labels([like("a"), like("b")]) == ["a", "b"]
    assert labels([like("a"), like("b"), like("c", seed=1)]) == ["a: seed=0", "b: seed=0", "seed=1"]
    long = like("b", hidden=tuple(range(1, 60)))
    assert labels([like("a"), long])[1].startswith("b: hidden=[1, 2")


def test_the_plots_of_a_sweep(tmp_path: Path) -> None:
    view = view_sweep(sweep(tmp_path))
    plots = sweep_plots(view)
    assert tuple(plot.name for plot in plots) == ("parameters", "parallel", "rate_by_batch")
    for plot in plots:
        assert plot.draw is not None
        assert b"</svg>" in rendered(plot.draw, "svg", heading=(plot.title, plot.caption))
    assert "2 trials" in plots[0].caption


@pytest.mark.parametrize("keys, names", [(("hidden",), {"parameters", "parallel"}), ((), set())])
def test_parameters_that_were_not_varied_are_not_drawn(
    tmp_path: Path, keys: tuple[str, ...], names: set[Any] | set[str]
) -> None:
    view = view_sweep(sweep(tmp_path))
    view = replace(view, board=replace(view.board, keys=keys))
    assert {plot.name for plot in sweep_plots(view) if plot.draw} == names


def test_a_metric_to_be_minimised_and_few_trials(tmp_path: Path) -> None:
    view = view_sweep(sweep(tmp_path, trials=4, failed=0))
    lowest = replace(view.board, metric=Metric(goal="minimize"))
    few = replace(lowest, rows=lowest.rows[:1])
    for plot in [each for board in (lowest, few) for each in sweep_plots(replace(view, board=board))]:
        assert plot.draw is not None
        assert b"</svg>" in rendered(plot.draw, "svg", inline=True)


def test_outliers_and_failed_trials_are_counted(tmp_path: Path) -> None:
    view = view_sweep(sweep(tmp_path, trials=30))
    worse = [replace(row, figure=-9.0) if row.rank in (27, 28) else row for row in view.board.rows]
    caption = sweep_plots(replace(view, board=replace(view.board, rows=tuple(worse))))[0].caption
    assert "2 trials below 0.4500" in caption and "2 trials that diverged or failed" in caption
    assert "below" not in sweep_plots(view)[0].caption


def test_a_sweep_without_a_ranked_trial_has_no_plots(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trial has a val_accuracy"):
        sweep_plots(view_sweep(sweep(tmp_path, trials=2, failed=2)))


def plot(name: str, drawable: bool = True) -> Plot:
    def draw(*, narrow: Any = False) -> Figure:
        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2])
        return figure

    return Plot(name, name.title(), f"what {name} shows", draw if drawable else None)


PLOTS = [plot("one"), plot("two"), plot("none", drawable=False)]


def names(paths: Any) -> list[str]:
    return [path.name for path in paths]


def test_plots_of_one_run_several_runs_or_one_sweep(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first, second = run(tmp_path, "a"), run(tmp_path, "b", "learning_rate=0.5")
    folder, found = plots_of(["a"], runs, tmp_path)
    assert folder == first and {"curves", "confusion"} <= {p.name for p in found}
    folder, found = plots_of(["a", str(second)], runs, tmp_path)
    assert folder == first and len(found) == 1
    board = sweep(tmp_path)
    folder, found = plots_of(["sweep"], runs, tmp_path)
    assert folder == board and len(found) == 3
    with pytest.raises(UsageError, match="by itself"):
        plots_of(["a", "sweep"], runs, tmp_path)
    with pytest.raises(DataError, match="nobody"):
        plots_of(["nobody"], runs, tmp_path)


def test_plots_are_written_to_the_default_folder(tmp_path: Path) -> None:
    paths, undrawn = write_plots(PLOTS, tmp_path, None, "png", ())
    assert names(paths) == ["one.png", "two.png"] and paths[0].parent == tmp_path / "plots"
    assert [p.name for p in undrawn] == ["none"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")


def test_one_plot_is_written_to_a_file(tmp_path: Path) -> None:
    paths, undrawn = write_plots(PLOTS, tmp_path, tmp_path / "new/x.SVG", "png", ["two"])
    assert paths == [tmp_path / "new/x.SVG"] and not undrawn
    assert b"<svg" in paths[0].read_bytes()
    (tmp_path / "folder.png").mkdir()  # a folder, whatever its name
    assert names(write_plots(PLOTS, tmp_path, tmp_path / "folder.png", "svg", ())[0]) == ["one.svg", "two.svg"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ((None, "pdf", ()), UsageError, "expected png or svg"),
        ((None, "png", ["three"]), UsageError, "expected one of one, two, none"),
        (("x.png", "png", ()), UsageError, "one file for 2 plots"),
        ((None, "png", ["none"]), DataError, "nothing to draw\nwhat none shows\n"),
        (("file/x.png", "png", ["one"]), DataError, "file: cannot be written"),
    ],
)
def test_errors(tmp_path: Path, options: tuple[Any, ...], error: type[Exception], words: str) -> None:
    (tmp_path / "file").write_text("")
    output, *rest = options
    with pytest.raises(error, match=words):
        write_plots(PLOTS, tmp_path, None if output is None else tmp_path / output, *rest)
    assert names(tmp_path.iterdir()) == ["file"]
