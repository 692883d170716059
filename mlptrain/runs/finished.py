"""Runs read from their folders: viewed as a whole, loaded, evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.config.config import Config, config_from
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.config.yaml import Document
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.predict import Prediction, Rejection, predict_images
from mlptrain.models.augmentation import copies_augmentation
from mlptrain.models.evaluation import Evaluation, evaluate_models
from mlptrain.models.model import Model, load_model_file
from mlptrain.runs.diagnosis import Diagnosis, LearningCurves, curves_of, diagnose
from mlptrain.runs.files import CONFIG, HISTORY, LAYERS, METRICS, MODEL, load_metrics
from mlptrain.runs.folder import load_run_config, load_run_model
from mlptrain.runs.history import read_history, read_layers
from mlptrain.runs.job import load_dataset
from mlptrain.runs.locate import Run, find_model
from mlptrain.training.reports import LayersReport

SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class RunView:
    """Everything in a run folder; of a run that has not ended ``metrics`` is empty and ``model`` is None.

    ``layers`` is empty for runs of 0.1.
    """

    path: Path
    config: Config
    history: LearningCurves
    layers: tuple[LayersReport, ...]
    metrics: dict[str, Any]
    model: Model | None

    @property
    def config_file(self) -> str:
        """Path of the config, as an argument of commands."""
        return str(self.path / CONFIG)

    @property
    def diagnosis(self) -> Diagnosis:
        """Diagnosis of the learning curves and the statistics of the layers."""
        classes = 10 if self.model is None else len(self.model.class_names)
        return diagnose(self.history, self.config, classes, self.layers)


def view_run(path: Path) -> RunView:
    """Read all files of a run folder.

    Raises
    ------
    DataError, ConfigError
        A file is damaged, or config or history is missing.
    """
    config, history = load_run_config(path), curves_of(read_history(path / HISTORY))
    model = load_run_model(path) if (path / MODEL).is_file() else None
    metrics = load_metrics(path) if (path / METRICS).exists() else {}
    return RunView(path, config, history, read_layers(path / LAYERS), metrics, model)


def load_model(run: Run, *, runs_dir: str | Path = "runs") -> Model:
    """Load the model of a run, or of a file ``model.npz``.

    ``run`` is a path, a name under ``runs_dir``, ``latest``, ``best:METRIC`` or a result; see
    `mlptrain.runs.locate.locate`.

    Raises
    ------
    UsageError, DataError
        It is a sweep, or missing or damaged.
    """
    return _load_model(find_model(run, runs_dir))


def _load_model(path: Path) -> Model:
    return load_model_file(path) if path.is_file() else load_run_model(path)


def load_start(start: Model | Run | None, runs_dir: str | Path) -> tuple[Model | None, str | None]:
    """Return the model with the initial weights and its name, such as ``runs/a (val_accuracy 0.9210)``, if any."""
    if start is None:
        return None, None
    if isinstance(start, Model):
        return start, "a given model"
    path = find_model(start, runs_dir)
    metrics: dict[str, Any] = {}
    with suppress(DataError):  # a model file has no metrics, and those of a run may be damaged
        metrics = load_metrics(path)
    accuracy = metrics.get("val_accuracy")
    known = isinstance(accuracy, int | float)
    return _load_model(path), f"{path} (val_accuracy {accuracy:.4f})" if known else str(path)


def load_baseline(baseline: str, runs_dir: Path) -> tuple[str, dict[str, Any]]:
    """Return the name and the metrics of a run, or of a copy of ``metrics.json``, that others are compared with.

    Raises
    ------
    UsageError, DataError
        It is a sweep, or missing or damaged.
    """
    path = find_model(baseline, runs_dir)
    return str(path), load_metrics(path)


def predict(
    model: Model | Run,
    images: Sequence[str | Path],
    *,
    augment: int | None = None,
    runs_dir: str | Path = "runs",
) -> list[Prediction]:
    """Classify the digits in image files (PNG, JPEG, ``.npy``, IDX).

    ``model`` is a model, or what `load_model` accepts. With ``augment`` the outputs are averaged over that number of
    deformed copies of each image; the model must have been trained with augmentation.

    Raises
    ------
    DataError, UsageError
        A file cannot be read or has no digit, or reading its format needs a library that is not installed.
    """
    predictions = []
    for result in predict_images(_model(model, runs_dir), [str(image) for image in images], augment):
        if isinstance(result, Rejection):
            raise result.error
        predictions.append(result)
    return predictions


def _model(model: Model | Run, runs_dir: str | Path) -> Model:
    return model if isinstance(model, Model) else load_model(model, runs_dir=runs_dir)


def evaluate(
    models: Model | Run | Sequence[Model | Run],
    dataset: Dataset,
    split: Split | None = None,
    part: str = "test",
    *,
    mistakes: int = 0,
    augment: int | None = None,
    runs_dir: str | Path = "runs",
) -> Evaluation:
    """Evaluate a model, or the averaged outputs of several, on a split of a dataset.

    A model is a `Model`, or what `load_model` accepts.
    ``part`` is train, validation, test, or all; ``all`` means all images of the dataset and needs no ``split``.
    The evaluation has the ``mistakes`` worst mistakes. With ``augment`` it also has the metrics of the outputs averaged
    over that number of deformed copies of each image.

    Raises
    ------
    DataError, UsageError
        The images do not fit the model, or there are none in the split, or ``augment`` is given and a model was trained
        without augmentation.
    """
    if part not in SPLITS:
        raise UsageError(f"split must be {enumerate_words(SPLITS, 'or')} (got {part!r}){hint(part, SPLITS)}")
    if split is None or part == "all":
        part, indices = "all", np.arange(len(dataset.labels))
    else:
        indices = getattr(split, part)
    every = [models] if isinstance(models, str) or not isinstance(models, Sequence) else models
    return evaluate_models([_model(model, runs_dir) for model in every], dataset, indices, part, mistakes, augment)


def evaluate_runs(
    runs: Sequence[str | Path],
    *,
    part: str = "test",
    dataset: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    mistakes: int = 0,
    augment: int | None = None,
) -> Evaluation:
    """Evaluate a run, or the averaged outputs of several, on a split of the data with which they were trained.

    A run may also be a file ``model.npz``, which contains the config of its run. ``dataset`` names another dataset,
    which is split by the rule of the first run. ``mistakes`` and ``augment`` are those of `evaluate`.

    Raises
    ------
    UsageError
        The runs have different splits, so that images of one split may have been used to train another run, or
        ``augment`` is given and a run was trained without augmentation.
    """
    if not runs:
        raise UsageError("no run to evaluate\nhint: name at least one run")
    paths = [find_model(run, runs_dir) for run in runs]
    models = [_load_model(path) for path in paths]
    configs = [_config_of(path, model, dataset) for path, model in zip(paths, models, strict=True)]
    if augment is not None:
        for path, model in zip(paths, models, strict=True):
            copies_augmentation(model, augment, str(path))
    rules = [(config.dataset, config.split, config.split_seed) for config in configs]
    other = next((index for index, rule in enumerate(rules) if rule != rules[0]), None)
    if other is not None and dataset is None and part != "all":
        raise UsageError(
            f"{paths[0]} and {paths[other]} have different splits: one was trained on images that test the other\n"
            "hint: name data that is new to both with --dataset, or evaluate them one by one"
        )
    data = load_dataset(dataset or configs[0].dataset, data_dir=data_dir)
    if part == "all":
        return evaluate(models, data, mistakes=mistakes, augment=augment)
    subset = configs[0].subset if dataset is None else None
    split = make_split(data, configs[0].split, seed=configs[0].split_seed, subset=subset)
    return evaluate(models, data, split, part, mistakes=mistakes, augment=augment)


def _config_of(path: Path, model: Model, dataset: str | None) -> Config:
    """Return the config of a run folder, or the one that a model file contains, with ``dataset`` in place of its own.

    Raises
    ------
    UsageError
        A model file was trained on a folder of data, whose path it does not contain, and ``dataset`` is None.
    """
    if path.is_dir():
        return load_run_config(path)
    name = dataset or model.config.get("dataset")
    if name in (None, "folder"):
        raise UsageError(f"{path}: does not contain the path of its data\nhint: name the data with --dataset")
    return config_from(Document(f"{path}: config", {**model.config, "dataset": name}, {}))
