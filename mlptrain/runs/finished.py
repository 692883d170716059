"""Runs read from their folders: found by name, loaded file by file or as a whole, evaluated, exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.config.config import Config, load_config
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.predict import Prediction, predict_images
from mlptrain.models.evaluation import Evaluation, evaluate_models
from mlptrain.models.formats import write_model
from mlptrain.models.model import Model, load_model_file
from mlptrain.runs.diagnosis import Diagnosis, LearningCurves, curves_of, diagnose
from mlptrain.runs.folder import CONFIG, HISTORY, METRICS, MODEL
from mlptrain.runs.history import read_history
from mlptrain.runs.job import load_dataset
from mlptrain.system.files import reason

MAX_METRICS_BYTES = 2**20

SPLITS = ("train", "validation", "test", "all")


def find_run(run: str, runs_dir: Path) -> Path:
    """Return the folder of a run, given as a path or as a name under ``runs_dir``.

    Raises
    ------
    DataError
        Neither is a run folder.
    """
    for path in (Path(run), runs_dir / run):
        with suppress(OSError):
            if (path / CONFIG).is_file() or (path / MODEL).is_file():
                return path
    raise DataError(
        f"{run}: no run there (no {CONFIG} in {run} or {runs_dir / run})\n"
        "hint: train one with `mlptrain train`, or name another folder of runs with --runs-dir"
    )


def load_run_config(path: Path) -> Config:
    """Return the resolved config of a run folder."""
    if not (path / CONFIG).is_file():
        raise DataError(f"{path / CONFIG}: no such file\nhint: train the run again")
    return load_config(path / CONFIG)


def load_run_model(path: Path) -> Model:
    """Return the model of a run folder."""
    if not (path / MODEL).is_file():
        raise DataError(f"{path / MODEL}: no such file; the run has not ended, or it diverged\nhint: train it again")
    return load_model_file(path / MODEL)


def load_metrics(path: Path) -> dict[str, Any]:
    """Return the content of ``metrics.json`` of a run folder.

    Raises
    ------
    DataError
        The file is missing, unreadable or damaged.
    """
    file = path / METRICS
    try:
        with file.open("rb") as stream:
            metrics = json.loads(stream.read(MAX_METRICS_BYTES))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}\nhint: train the run again") from error
    except (ValueError, RecursionError):
        metrics = None
    if not isinstance(metrics, dict) or not all(
        isinstance(metrics.get(name), int | float) for name in ("test_loss", "test_accuracy")
    ):
        raise DataError(f"{file}: damaged, or not the metrics of a run\nhint: train the run again with --overwrite")
    return metrics


@dataclass(frozen=True)
class RunView:
    """Everything in a run folder; of a run that has not ended ``metrics`` is empty and ``model`` is None."""

    path: Path
    config: Config
    history: LearningCurves
    metrics: dict[str, Any]
    model: Model | None

    @property
    def config_file(self) -> str:
        """Path of the config, as an argument of commands."""
        return str(self.path / CONFIG)

    @property
    def diagnosis(self) -> Diagnosis:
        """Diagnosis of the learning curves."""
        return diagnose(self.history, self.config, 10 if self.model is None else len(self.model.class_names))


def view_run(path: Path) -> RunView:
    """Read all files of a run folder.

    Raises
    ------
    DataError, ConfigError
        A file is damaged, or config or history is missing.
    """
    config, history = load_run_config(path), curves_of(read_history(path / HISTORY))
    model = load_run_model(path) if (path / MODEL).is_file() else None
    return RunView(path, config, history, load_metrics(path) if (path / METRICS).exists() else {}, model)


def load_model(run: str | Path, *, runs_dir: str | Path = "runs") -> Model:
    """Load the model of a run (a path, or a name under ``runs_dir``) or of a file ``model.npz``.

    Raises
    ------
    DataError
        It is missing or damaged.
    """
    if _is_file(run):
        return load_model_file(Path(run))
    return load_run_model(find_run(str(run), Path(runs_dir)))


def _is_file(run: str | Path) -> bool:
    """Return whether it is a file; a name that is too long for the file system is not."""
    with suppress(OSError):
        return Path(run).is_file()
    return False


def predict(model: Model, images: Sequence[str | Path]) -> list[Prediction]:
    """Classify the digits in image files (PNG, JPEG, ``.npy``, IDX).

    Raises
    ------
    DataError, UsageError
        A file cannot be read or has no digit, or reading its format needs a library that is not installed.
    """
    return predict_images(model, [str(image) for image in images])


def evaluate(
    models: Model | Sequence[Model],
    dataset: Dataset,
    split: Split | None = None,
    part: str = "test",
    *,
    mistakes: int = 0,
) -> Evaluation:
    """Evaluate a model, or the averaged outputs of several, on a split of a dataset.

    ``part`` is train, validation, test, or all; ``all`` means all images of the dataset and needs no ``split``.
    The evaluation has the ``mistakes`` worst mistakes.

    Raises
    ------
    DataError, UsageError
        The images do not fit the model, or there are none in the split.
    """
    if part not in SPLITS:
        raise UsageError(f"split must be {enumerate_words(SPLITS, 'or')} (got {part!r}){hint(part, SPLITS)}")
    if split is None or part == "all":
        part, indices = "all", np.arange(len(dataset.labels))
    else:
        indices = getattr(split, part)
    return evaluate_models([models] if isinstance(models, Model) else list(models), dataset, indices, part, mistakes)


def evaluate_runs(
    runs: Sequence[str],
    *,
    part: str = "test",
    dataset: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    mistakes: int = 0,
) -> Evaluation:
    """Evaluate a run, or the averaged outputs of several, on a split of the data with which they were trained.

    ``dataset`` names another dataset, which is split by the rule of the first run.

    Raises
    ------
    UsageError
        The runs have different splits, so that images of one split may have been used to train another run.
    """
    if not runs:
        raise UsageError("no run to evaluate\nhint: name at least one run")
    folders = [find_run(run, Path(runs_dir)) for run in runs]
    configs = [load_run_config(folder) for folder in folders]
    models = [load_run_model(folder) for folder in folders]
    rules = [(config.dataset, config.split, config.split_seed) for config in configs]
    other = next((index for index, rule in enumerate(rules) if rule != rules[0]), None)
    if other is not None and dataset is None and part != "all":
        raise UsageError(
            f"{folders[0]} and {folders[other]} have different splits: one was trained on images that test the other\n"
            "hint: name data that is new to both with --dataset, or evaluate them one by one"
        )
    data = load_dataset(dataset or configs[0].dataset, data_dir=data_dir)
    if part == "all":
        return evaluate(models, data, mistakes=mistakes)
    subset = configs[0].subset if dataset is None else None
    split = make_split(data, configs[0].split, seed=configs[0].split_seed, subset=subset)
    return evaluate(models, data, split, part, mistakes=mistakes)


def export_run(
    run: str | Path, format: str = "onnx", *, output: str | Path | None = None, runs_dir: str | Path = "runs"
) -> Path:
    """Write the model of a run (or of a file ``model.npz``) as onnx, npz or json, and return the path.

    ``output`` is a file, or a folder for ``model.FORMAT``; without it the file is written beside the model.

    Raises
    ------
    UsageError
        The format is unknown, or its extra is not installed.
    DataError
        The run is missing or damaged, or the file cannot be written.
    """
    accuracy = None
    if _is_file(run):
        folder, model = Path(run).parent, load_model_file(Path(run))
    else:
        folder = find_run(str(run), Path(runs_dir))
        model = load_run_model(folder)
        with suppress(DataError):  # the accuracy is a note, which the model can do without
            accuracy = load_metrics(folder)["test_accuracy"]
    path = folder if output is None else Path(output)
    if path.is_dir():
        path = path / f"{Path(MODEL).stem}.{format}"
    write_model(path, format, model, accuracy)
    return path
