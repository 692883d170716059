"""The plots of a run, of several runs or of a sweep, each with a title, a caption and a function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlptrain.config.config import plain_values
from mlptrain.config.values import differing, flow
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.models.evaluation import Evaluation, confusion_matrix, worst_mistakes
from mlptrain.models.inspection import Inspection, inspect, measure_calibration, most_influential_units
from mlptrain.models.model import Model
from mlptrain.reporting.plots import certainty, confusion, curves, layers, sweep, units
from mlptrain.reporting.plots.scale import metric_scale
from mlptrain.reporting.plots.style import FORMATS, Draw, save
from mlptrain.reporting.text import counted
from mlptrain.runs.files import is_sweep
from mlptrain.runs.finished import RunView, view_run
from mlptrain.runs.locate import Run, find_run, locate
from mlptrain.sweeps.finished import SweepView, view_sweep
from mlptrain.sweeps.trials import HALVED
from mlptrain.system.files import make_folder
from mlptrain.system.text import keras_number
from mlptrain.training.reports import PROBE_IMAGES

PLOTS = "plots"  # the folder of plots below that of a run or sweep

MAX_WEIGHTS = 40  # units

MAX_ROWS = 48  # units of a layer whose activations are shown

MAX_LAYERS = 6

MAX_MISTAKES = 24

MAX_LABEL = 80  # characters

MAX_BEST, MAX_OTHERS, MAX_FAILED = 200, 300, 100  # trials in the plots of a sweep

PAIR = {"learning_rate", "batch_size"}  # keys of the heat map of a sweep

_TITLES = {
    "curves": "Learning curves",
    "layers": "Statistics of the layers",
    "confusion": "Confusion matrix of the test split",
    "weights": "Weights of the first layer",
    "activations": "Mean activation per class",
    "mistakes": "Worst mistakes",
    "calibration": "Calibration: accuracy against confidence",
}

RUN_PLOTS = tuple(_TITLES)


@dataclass(frozen=True)
class Plot:
    """A plot to draw; if there is nothing to draw, ``draw`` is None and the caption gives the reason."""

    name: str
    title: str
    caption: str
    draw: Draw | None


@dataclass(frozen=True)
class InspectedRun:
    """The model of a run, inspected and evaluated on the test split."""

    model: Model
    dataset: Dataset
    inspection: Inspection
    evaluation: Evaluation


def inspect_run(view: RunView, data_dir: Path) -> InspectedRun | None:
    """Return the model of a run with its results on the test split; None if there is no model.

    Raises
    ------
    DataError
        The data is missing or does not fit the model.
    """
    config, model = view.config, view.model
    if model is None:
        return None
    dataset = load_dataset(config.dataset, data_dir)
    pixels, inputs = dataset.images.shape[1], model.weights[0].shape[1]
    if pixels != inputs or dataset.classes != len(model.class_names):
        raise DataError(
            f"{dataset.name}: the data has changed: {pixels} pixels and {dataset.classes} classes\n"
            f"expected {inputs} pixels and {len(model.class_names)} classes, as the model of {view.path} has\n"
            "hint: name the folder with the data of the run with --data-dir"
        )
    split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
    found = inspect(model, dataset, split.test)
    matrix = confusion_matrix(found.labels, found.predicted_labels, dataset.classes)
    accuracy = float((found.labels == found.predicted_labels).mean())
    evaluation = Evaluation("test", len(found.labels), None, accuracy, matrix, model.class_names)
    return InspectedRun(model, dataset, found, evaluation)


def run_plots(view: RunView, inspected: InspectedRun | None) -> list[Plot]:
    """Return the plots of a run and of its inspected model, if there is one."""
    plots = [_curves(view), _layers(view)]
    if inspected is None:
        reason = "There is no model: the run diverged or has not finished."
        return plots + [_plot(name, reason, None) for name in RUN_PLOTS[len(plots) :]]
    model, dataset, found = inspected.model, inspected.dataset, inspected.inspection
    return [
        *plots,
        _confusion(inspected.evaluation),
        _weights(found, model, dataset),
        _activations(found, model),
        _mistakes(found, model, dataset),
        _calibration(found, model),
    ]


def _plot(name: str, caption: str, draw: Draw | None) -> Plot:
    return Plot(name, _TITLES[name], caption, draw)


def _curves(view: RunView) -> Plot:
    if not view.history.epochs:
        return _plot("curves", "No epoch was finished, so there is no curve.", None)
    caption = "Loss and accuracy per epoch. Training metrics are means over the epoch, during which the weights change"
    caption += "; validation is measured after it." if view.history.validated else "; there is no validation split."
    return _plot("curves", caption, curves.learning_curves(view.history))


def _layers(view: RunView) -> Plot:
    if not view.layers:
        return _plot("layers", "The run has no layers.csv: it was trained by an older version.", None)
    first, count = view.layers[0].layers[0], len(view.layers[0].layers)
    caption = (
        f"On {PROBE_IMAGES} training images after each epoch; epoch 0 is before training. Layer {count} is the output. "
        "z are the weighted inputs of the units, a their activations. The line at 0.001 is a usual size of a step."
    )
    if first.saturated is not None:
        caption += " Saturated activations have less than a tenth of the steepest slope."
    if first.dead is not None:
        caption += " Dead units pass no gradient for any of the images."
    return _plot("layers", caption, layers.layer_statistics(view.layers))


def _confusion(evaluation: Evaluation) -> Plot:
    wrong = round(evaluation.count * (1 - evaluation.accuracy))
    caption = (
        f"{wrong:,} of {evaluation.count:,} images were classified wrongly. The brighter a cell, the more frequent "
        "the mistake; correct predictions are on the diagonal, in bold."
    )
    draw = partial(confusion.draw_confusion, evaluation.confusion, evaluation.class_names)
    return _plot("confusion", caption, draw)


def _weights(found: Inspection, model: Model, dataset: Dataset) -> Plot:
    scale = "bright if positive, dark if negative"
    if len(model.weights) == 1:
        caption = f"The weights from the pixels to each class: {scale}. There is no hidden layer."
        draw = units.class_weight_images(model.weights[0], dataset.shape, model.class_names)
        return _plot("weights", caption, draw)
    count = len(model.weights[0])
    shown = most_influential_units(model, 0, MAX_WEIGHTS)
    caption = (
        f"The weights from the pixels to each hidden unit: {scale}. "
        "The caption is its number, and the two classes with the highest mean activation."
    )
    if len(shown) < count:
        caption += f" Shown are the {len(shown)} of {count:,} units with the largest outgoing weights."
    activations = found.mean_activations[0]
    draw = units.weight_images(model.weights[0], dataset.shape, shown, activations, model.class_names)
    return _plot("weights", caption, draw)


def _activations(found: Inspection, model: Model) -> Plot:
    means = found.mean_activations[:MAX_LAYERS]
    if not means:
        return _plot("activations", "There is no hidden layer.", None)
    shown = [most_influential_units(model, layer, MAX_ROWS) for layer in range(len(means))]
    rows = [layer[numbers] for layer, numbers in zip(means, shown, strict=True)]
    counts = [len(layer) for layer in means]
    caption = "Means over the test images of each class; the units are sorted by the class with the highest mean."
    if max(counts) > MAX_ROWS:
        caption += f" Of large layers the {MAX_ROWS} units with the largest outgoing weights are shown."
    if len(found.mean_activations) > MAX_LAYERS:
        caption += f" The first {MAX_LAYERS} of {len(found.mean_activations)} hidden layers."
    return _plot("activations", caption, units.mean_activations(rows, shown, model.class_names, counts))


def _mistakes(found: Inspection, model: Model, dataset: Dataset) -> Plot:
    worst = worst_mistakes(found.confidence, found.predicted_labels, found.labels, MAX_MISTAKES)
    if not len(worst):
        return _plot("mistakes", "Every image of the test split was classified correctly.", None)
    images = dataset.images[found.indices[worst]].reshape(-1, *dataset.shape)
    caption = (
        f"The {len(worst)} wrong predictions on the test split with the highest confidence. "
        "The caption is the true label, and below it the predicted label with its confidence."
    )
    draw = certainty.mistake_images(
        images,
        [model.class_names[label] for label in found.labels[worst]],
        [model.class_names[label] for label in found.predicted_labels[worst]],
        found.confidence[worst].tolist(),
    )
    return _plot("mistakes", caption, draw)


def _calibration(found: Inspection, model: Model) -> Plot:
    if model.architecture.output == "linear":
        return _plot("calibration", "Linear outputs are not probabilities, so there is no confidence.", None)
    result = measure_calibration(found.confidence, found.predicted_labels == found.labels)
    caption = (
        "Test images in bins of confidence (the largest output). On the dashed line accuracy equals confidence; below "
        "it the network is overconfident. The expected calibration error, the mean distance from the line per image, "
        f"is {result.error:.4f}."
    )
    return _plot("calibration", caption, certainty.calibration_panels(result))


def comparison(views: Sequence[RunView]) -> Plot:
    """Return a plot with the curves of several runs, labelled by the differences between their configs.

    Raises
    ------
    UsageError
        A run has no finished epoch.
    """
    for view in views:
        if not view.history.epochs:
            raise UsageError(f"{view.path}: no epoch was finished, so there is no curve\nhint: leave this run out")
    caption = "One colour and marker per run; solid lines are validation, dotted ones training."
    draw = curves.compared_curves([view.history for view in views], labels(views))
    return _plot("curves", caption, draw)


def labels(views: Sequence[RunView]) -> list[str]:
    """Return a label per run: the config values that differ, with the folder's name if they do not identify it."""
    values = [plain_values(view.config) for view in views]
    keys = differing(values)
    texts = [", ".join(f"{key}={flow(value.get(key))}" for key in keys) for value in values]
    paths = [view.path.name or str(view.path) for view in views]
    return [
        text if 0 < len(text) <= MAX_LABEL and texts.count(text) == 1 else f"{path}: {text}".removesuffix(": ")
        for text, path in zip(texts, paths, strict=True)
    ]


def sweep_plots(view: SweepView) -> list[Plot]:
    """Return the plots of a sweep.

    Raises
    ------
    DataError
        No trial has a metric.
    """
    metric = view.board.metric.name
    if not view.ranked:
        raise DataError(
            f"{view.path}: no trial has a {metric}, so there is nothing to plot\n"
            "hint: wait for the first trials, or run the sweep with smaller learning rates"
        )
    keys, note, drawn = view.board.keys, notes(view), select_trials(view)
    no_key = "" if keys else "The sweep varied no parameter."
    no_pair = "" if set(keys) >= PAIR else "The sweep did not vary both learning_rate and batch_size."

    def plot(name: str, title: str, caption: str, draw: Callable[..., Any], missing: str) -> Plot:
        return Plot(name, title, missing or caption, None if missing else draw)

    points = f"One point per trial; the star is the best.{note}"
    lines = f"One line per trial, through its parameters to its {metric}. The darker a line, the better its rank; "
    lines += f"the best is thick.{note}"
    cells = f"The best {metric} of the trials with each pair of values."
    return [
        plot("parameters", f"{metric} against each parameter", points, partial(sweep.draw_parameters, drawn), no_key),
        plot("parallel", "All parameters together", lines, partial(sweep.draw_parallel, drawn), no_key),
        plot("rate_by_batch", "Learning rate and batch size", cells, partial(sweep.draw_rate_by_batch, view), no_pair),
    ]


def select_trials(view: SweepView) -> SweepView:
    """Return the view with the trials of its plots: the best ones, and others at equal distances in rank."""
    rest = view.ranked[MAX_BEST:]
    step = max(1, -(-len(rest) // MAX_OTHERS))
    without_rank = tuple(row for row in view.board.rows if row.rank is None)
    rows = (*view.ranked[:MAX_BEST], *rest[step - 1 :: step], *without_rank)
    failed = view.failed[:: max(1, -(-len(view.failed) // MAX_FAILED))]
    return replace(view, board=replace(view.board, rows=rows), failed=failed)


def notes(view: SweepView) -> str:
    """Return sentences about the trials that the plots of a sweep show in another way or not, each after a space."""
    drawn = select_trials(view)
    _, limit = metric_scale(drawn.scores, view.board.metric)
    failed, halved = len(drawn.failed), sum(row.status == HALVED for row in view.ranked)
    note, shown, count = "", len(drawn.ranked) + failed, len(view.ranked) + len(view.failed)
    if shown < count:
        note = f" Drawn are {shown:,} of {count:,} trials: the best {MAX_BEST}, and others at equal distances in rank."
    if limit is not None:
        sign = view.board.metric.sign
        clipped = sum(sign * score < sign * limit for score in drawn.scores)
        side = "below" if sign > 0 else "above"
        note += f" At the edge: {counted(clipped, 'trial')} {side} {keras_number(limit)}."
    note += f" At the bottom: {counted(failed, 'trial')} that diverged or failed." if failed else ""
    return note + (f" Halving stopped {counted(halved, 'trial')} early." if halved else "")


def views_of(runs: Sequence[Run], runs_dir: str | Path) -> SweepView | list[RunView]:
    """Return the view of a sweep, or those of runs.

    Raises
    ------
    DataError, UsageError
        A folder is missing or damaged, or a sweep is combined with another folder.
    """
    paths = [locate(run, runs_dir) for run in runs]
    sweeps = [path for path in paths if is_sweep(path)]
    if sweeps and len(paths) > 1:
        raise UsageError(f"{sweeps[0]}: a sweep is shown by itself\nhint: name only the sweep, or only runs")
    return view_sweep(sweeps[0]) if sweeps else [view_run(find_run(path)) for path in paths]


def plots_of(runs: Sequence[Run], runs_dir: str | Path, data_dir: Path) -> tuple[Path, list[Plot]]:
    """Return the folder of a sweep, of a run or of the first of several runs, and its plots.

    Raises
    ------
    DataError, UsageError
        A folder is missing or damaged, or a sweep is combined with another folder.
    """
    match views_of(runs, runs_dir):
        case SweepView() as view:
            return view.path, sweep_plots(view)
        case [view]:
            return view.path, run_plots(view, inspect_run(view, data_dir))
        case views:
            return views[0].path, [comparison(views)]


def select_plots(plots: Sequence[Plot], folder: Path, only: Sequence[str]) -> list[Plot]:
    """Return the plots with the names in ``only``, by default all; at least one of them can be drawn.

    Raises
    ------
    UsageError
        An unknown name.
    DataError
        There is nothing to draw.
    """
    names = [plot.name for plot in plots]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {name!r}: expected one of {', '.join(names)}")
    chosen = [plot for plot in plots if not only or plot.name in only]
    if all(plot.draw is None for plot in chosen):
        raise DataError(f"{folder}: nothing to draw\n{chosen[0].caption}\nhint: mlptrain diagnose {folder}")
    return chosen


def write_plots(
    plots: Sequence[Plot], folder: Path, output: Path | None, form: str, only: Sequence[str]
) -> tuple[list[Path], list[Plot]]:
    """Write plots to ``output`` (a folder or a file; default ``folder``/plots).

    Return the written files, and the plots for which there is nothing to draw.

    Raises
    ------
    UsageError
        An unknown format or name, or several plots for one file.
    DataError
        There is nothing to draw, or a file cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: expected {' or '.join(FORMATS)}")
    chosen = select_plots(plots, folder, only)
    drawable = [(plot, plot.draw) for plot in chosen if plot.draw is not None]
    paths = _paths([plot for plot, _ in drawable], folder / PLOTS if output is None else output, form)
    for (plot, draw), path in zip(drawable, paths, strict=True):
        save(draw, path, (plot.title, plot.caption))
    return paths, [plot for plot in chosen if plot.draw is None]


def _paths(plots: Sequence[Plot], output: Path, form: str) -> list[Path]:
    """Return the file of each plot, and make their folder."""
    is_file = output.suffix.lower()[1:] in FORMATS and not output.is_dir()
    if is_file and len(plots) > 1:
        raise UsageError(f"--output {output}: one file for {len(plots)} plots\nhint: name a folder, or add --only NAME")
    folder = output.parent if is_file else output
    make_folder(folder, "choose another --output")
    return [output if is_file else folder / f"{plot.name}.{form}" for plot in plots]
