"""Which pictures a run, several runs or a sweep have, each with its title, its caption and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlptrain.config.config import plain_values
from mlptrain.config.values import differing, flow
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.models.evaluation import confusion_of, worst_mistakes
from mlptrain.models.inspection import Inspection, calibrate, inspect, most_influential
from mlptrain.models.model import Model
from mlptrain.reporting.plots import certainty, confusion, curves, sweep, units
from mlptrain.reporting.plots.style import FORMATS, Draw, save
from mlptrain.runs.finished import RunView, find_run, view_run
from mlptrain.sweeps.finished import SweepView, find_sweep, view_sweep
from mlptrain.system.files import make_folder

RUN_PICTURES = ("curves", "confusion", "weights", "activations", "mistakes", "calibration")

SWEEP_PICTURES = ("parameters", "parallel", "rate_by_batch")

MOST_WEIGHTS, MOST_ROWS, MOST_LAYERS, MOST_MISTAKES = 40, 48, 6, 24

LONGEST_LABEL = 80


@dataclass(frozen=True)
class Picture:
    """A picture to draw; where there is nothing to draw, ``draw`` is None and the caption says why."""

    name: str
    title: str
    caption: str
    draw: Draw | None


def run_pictures(view: RunView, data_dir: Path) -> list[Picture]:
    """The pictures of a run, its model inspected on the test part of its data.

    Raises
    ------
    DataError
        The data is missing or not what the model takes.
    """
    pictures = [_curves(view)]
    if view.model is None:
        reason = "There is no model: the run diverged or has not ended."
        return pictures + [Picture(name, _TITLES[name], reason, None) for name in RUN_PICTURES[1:]]
    config, model = view.config, view.model
    dataset = load_dataset(config.dataset, data_dir)
    if dataset.images.shape[1] != model.weights[0].shape[1] or dataset.classes != len(model.class_names):
        raise DataError(
            f"{dataset.name}: images of {dataset.images.shape[1]} pixels in {dataset.classes} classes; the model of\n"
            f"{view.path} takes {model.weights[0].shape[1]} in {len(model.class_names)}: the data has changed"
        )
    split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
    found = inspect(model, dataset, split.test)
    return [
        *pictures,
        _confusion(found, model),
        _weights(found, model, dataset),
        _activations(found, model),
        _mistakes(found, model, dataset),
        _calibration(found, model),
    ]


_TITLES = {
    "curves": "Learning curves",
    "confusion": "Confusion matrix of the test part",
    "weights": "What the first layer looks for",
    "activations": "Which class excites which unit",
    "mistakes": "The worst mistakes",
    "calibration": "Calibration: is it right as often as it is sure?",
}


def _curves(view: RunView) -> Picture:
    if not view.history.epochs:
        return Picture("curves", _TITLES["curves"], "No epoch was finished, so there is no curve.", None)
    caption = "Loss and accuracy over the epochs. Training figures are means over an epoch while the weights move"
    caption += "; validation is measured after it." if view.history.validated else "; there is no validation part."
    return Picture("curves", _TITLES["curves"], caption, partial(curves.draw_curves, view.history))


def _confusion(found: Inspection, model: Model) -> Picture:
    matrix = confusion_of(found.labels, found.guesses, len(model.class_names))
    wrong = int((found.labels != found.guesses).sum())
    caption = (
        f"{wrong:,} of {len(found.labels):,} images were mistaken. A row holds the images of one class, a column "
        "those taken for one; the brighter a cell, the more often that mistake was made. Bold: hits."
    )
    draw = partial(confusion.draw_confusion, matrix, model.class_names)
    return Picture("confusion", _TITLES["confusion"], caption, draw)


def _weights(found: Inspection, model: Model, dataset: Dataset) -> Picture:
    title, scale = _TITLES["weights"], "bright where ink speaks for it, dark where ink speaks against it"
    if len(model.weights) == 1:
        caption = f"The weights from the pixels to each class: {scale}. There is no hidden layer."
        draw = partial(units.draw_class_weights, model.weights[0], dataset.shape, model.class_names)
        return Picture("weights", title, caption, draw)
    count = len(model.weights[0])
    chosen = most_influential(model, 0, MOST_WEIGHTS)
    caption = (
        f"The weights from the pixels to each hidden unit: {scale}. "
        "Above each: its number, and the two classes that excite it most."
    )
    if len(chosen) < count:
        caption += f" Shown are the {len(chosen)} of {count:,} units whose outgoing weights are largest."
    draw = partial(
        units.draw_weights, model.weights[0], dataset.shape, chosen, found.excitation[0], model.class_names
    )  # fmt: skip
    return Picture("weights", title, caption, draw)


def _activations(found: Inspection, model: Model) -> Picture:
    layers = found.excitation[:MOST_LAYERS]
    if not layers:
        return Picture("activations", _TITLES["activations"], "There is no hidden layer.", None)
    chosen = [most_influential(model, layer, MOST_ROWS) for layer in range(len(layers))]
    rows = [layer[numbers] for layer, numbers in zip(layers, chosen, strict=True)]
    counts = [len(layer) for layer in layers]
    caption = (
        "The mean activation of each hidden unit over the test images of each class, "
        "units in the order of the class that excites them most."
    )
    if max(counts) > MOST_ROWS:
        caption += f" Of large layers the {MOST_ROWS} units with the largest outgoing weights are shown."
    if len(found.excitation) > MOST_LAYERS:
        caption += f" The first {MOST_LAYERS} of {len(found.excitation)} hidden layers."
    draw = partial(units.draw_excitation, rows, chosen, model.class_names, counts)
    return Picture("activations", _TITLES["activations"], caption, draw)


def _mistakes(found: Inspection, model: Model, dataset: Dataset) -> Picture:
    worst = worst_mistakes(found.confidence, found.guesses, found.labels, MOST_MISTAKES)
    title, names = _TITLES["mistakes"], model.class_names
    if not len(worst):
        return Picture("mistakes", title, "No image of the test part was mistaken.", None)
    images = dataset.images[found.indices[worst]].reshape(-1, *dataset.shape)
    truths, guesses = found.labels[worst], found.guesses[worst]
    caption = (
        f"The {len(worst)} wrong guesses on the test part that the network was surest of: "
        "what the image is, what it was read as, and the output behind that."
    )
    draw = partial(
        certainty.draw_mistakes,
        images,
        [names[label] for label in truths],
        [names[label] for label in guesses],
        found.confidence[worst].tolist(),
    )
    return Picture("mistakes", title, caption, draw)


def _calibration(found: Inspection, model: Model) -> Picture:
    title = _TITLES["calibration"]
    if model.architecture.output == "linear":
        return Picture("calibration", title, "Linear outputs are no probabilities, so there is no confidence.", None)
    result = calibrate(found.confidence, found.guesses == found.labels)
    caption = (
        "Test images in bins by the largest output: on the dashed line the network is right as often as it is sure, "
        "below the line it is too sure. The expected calibration error is their mean distance from it, by images."
    )
    return Picture("calibration", title, caption, partial(certainty.draw_calibration, result))


def comparison(views: Sequence[RunView]) -> Picture:
    """The curves of several runs, labelled by what differs in their configs.

    Raises
    ------
    UsageError
        One of them has no finished epoch.
    """
    for view in views:
        if not view.history.epochs:
            raise UsageError(f"{view.path}: no epoch was finished, so there is no curve; leave this run out")
    caption = "A colour and a marker a run; full lines are validation, dotted ones training."
    draw = partial(curves.draw_comparison, [view.history for view in views], labels(views))
    return Picture("curves", "Learning curves", caption, draw)


def labels(views: Sequence[RunView]) -> list[str]:
    """What tells runs apart: the config keys that differ; the folder's name where they do not, or are too many."""
    values = [plain_values(view.config) for view in views]
    keys = differing(values)
    texts = [", ".join(f"{key}={flow(value.get(key))}" for key in keys) for value in values]
    paths = [view.path.name or str(view.path) for view in views]
    return [
        text if 0 < len(text) <= LONGEST_LABEL and texts.count(text) == 1 else f"{path}: {text}".removesuffix(": ")
        for text, path in zip(texts, paths, strict=True)
    ]


def sweep_pictures(view: SweepView) -> list[Picture]:
    """The pictures of a sweep."""
    lost = f" Crosses at the bottom: {len(view.lost)} without a result (diverged or failed)." if view.lost else ""
    halved = sum(trial.status == "halved" for trial in view.ranked)
    lost += f" Halving stopped {halved} of them early." if halved else ""
    varied = {"learning_rate", "batch_size"} <= set(view.keys)
    nothing = "Neither is there a parameter that was varied."
    return [
        Picture(
            "parameters",
            f"{view.metric} against each parameter",
            f"A point a trial, a star the best.{lost}" if view.keys else nothing,
            partial(sweep.draw_parameters, view) if view.keys else None,
        ),
        Picture(
            "parallel",
            "All parameters together",
            f"A line a trial, from its value of each parameter to its {view.metric}; bright is good, thick the best.",
            partial(sweep.draw_parallel, view) if view.keys else None,
        ),
        Picture(
            "rate_by_batch",
            "Learning rate and batch size",
            f"The best {view.metric} of the trials at each pair."
            if varied
            else "The sweep did not vary both learning_rate and batch_size.",
            partial(sweep.draw_rate_by_batch, view) if varied else None,
        ),
    ]


PLOTS = "plots"


def pictures_of(names: Sequence[str], runs_dir: Path, data_dir: Path) -> tuple[Path, list[Picture]]:
    """The folder that pictures go to by default, and the pictures: of a sweep, of a run, or of several runs together.

    Raises
    ------
    DataError, UsageError
        A folder is missing or damaged, or a sweep is named beside something else.
    """
    sweeps = [path for name in names if (path := find_sweep(name, runs_dir)) is not None]
    if sweeps and len(names) > 1:
        raise UsageError(f"{sweeps[0]}: a sweep is drawn by itself; name it alone, or name runs")
    if sweeps:
        return sweeps[0], sweep_pictures(view_sweep(sweeps[0]))
    views = [view_run(find_run(name, runs_dir)) for name in names]
    if len(views) > 1:
        return views[0].path, [comparison(views)]
    return views[0].path, run_pictures(views[0], data_dir)


def write_pictures(
    pictures: Sequence[Picture], folder: Path, output: Path | None, form: str, only: Sequence[str]
) -> tuple[list[Path], list[Picture]]:
    """Write pictures to ``output`` (a folder or a file), by default ``folder``/plots; also those not to be drawn.

    Raises
    ------
    UsageError
        An unknown format or name, or several pictures for one file.
    DataError
        There is nothing to draw, or a file cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: expected {' or '.join(FORMATS)}")
    names = [picture.name for picture in pictures]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {name!r}: expected one of {', '.join(names)}")
    chosen = [picture for picture in pictures if not only or picture.name in only]
    drawn = [picture for picture in chosen if picture.draw is not None]
    if not drawn:
        raise DataError(f"{folder}: nothing to draw\n{chosen[0].caption}\n`mlptrain diagnose {folder}` says more")
    paths = _paths(drawn, folder / PLOTS if output is None else output, form)
    for picture, path in zip(drawn, paths, strict=True):
        assert picture.draw is not None
        save(picture.draw, path, (picture.title, picture.caption))
    return paths, [picture for picture in chosen if picture.draw is None]


def _paths(pictures: Sequence[Picture], output: Path, form: str) -> list[Path]:
    """The file of each picture, whose folder is made."""
    to_file = output.suffix.lower()[1:] in FORMATS and not output.is_dir()
    if to_file and len(pictures) > 1:
        raise UsageError(f"--output {output}: one file for {len(pictures)} pictures; name a folder, or add --only NAME")
    folder = output.parent if to_file else output
    make_folder(folder, "choose another --output")
    return [output if to_file else folder / f"{picture.name}.{form}" for picture in pictures]
