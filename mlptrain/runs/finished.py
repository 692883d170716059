"""The run folder: claimed once, its files written whole, found again by name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.config.config import Config, load_config
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.predict import Prediction, predict_pictures
from mlptrain.models.evaluation import Evaluation, evaluate_models
from mlptrain.models.formats import write_model
from mlptrain.models.model import Model, load_model_file
from mlptrain.runs.diagnosis import Diagnosis, LearningCurves, curves_of, diagnose
from mlptrain.runs.folder import (
    CONFIG,
    HISTORY,
    METRICS,
    MODEL,
)
from mlptrain.runs.history import read_history
from mlptrain.runs.job import default_data_dir as default_data_dir
from mlptrain.runs.job import load_dataset
from mlptrain.system.files import reason

MAX_METRICS = 2**20


def find_run(run: str, runs_dir: Path) -> Path:
    """The folder of RUN: a path, or a name under ``runs_dir``.

    Raises
    ------
    DataError
        Neither is a run folder.
    """
    for path in (Path(run), runs_dir / run):
        with suppress(OSError):
            if (path / CONFIG).is_file() or (path / MODEL).is_file():
                return path
    raise DataError(f"{run}: no run there (looked for {CONFIG} in {run} and {runs_dir / run}); train one first")


def load_run_config(path: Path) -> Config:
    """The resolved config of a run folder."""
    if not (path / CONFIG).is_file():
        raise DataError(f"{path / CONFIG}: no such file; the run folder is not complete: train it again")
    return load_config(path / CONFIG)


def load_run_model(path: Path) -> Model:
    """The model of a run folder."""
    if not (path / MODEL).is_file():
        raise DataError(f"{path / MODEL}: no such file; the run has not ended (or diverged): train it again")
    return load_model_file(path / MODEL)


def load_metrics(path: Path) -> dict[str, Any]:
    """The content of a run folder's ``metrics.json``.

    Raises
    ------
    DataError
        Missing, unreadable or damaged.
    """
    file = path / METRICS
    try:
        with file.open("rb") as stream:
            metrics = json.loads(stream.read(MAX_METRICS))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}; train the run again") from error
    except (ValueError, RecursionError):
        metrics = None
    figures = [metrics.get(key) for key in ("test_loss", "test_accuracy")] if isinstance(metrics, dict) else [None]
    if not all(isinstance(figure, int | float) for figure in figures):
        raise DataError(f"{file}: damaged, not the figures of a run; replace the run with --overwrite")
    result: dict[str, Any] = metrics
    return result


@dataclass(frozen=True)
class RunView:
    """A run as it lies in its folder; ``metrics`` are empty and ``model`` is None where the run has not ended."""

    path: Path
    config: Config
    history: LearningCurves
    metrics: dict[str, Any]
    model: Model | None

    @property
    def config_file(self) -> str:
        """The path of its config, as commands take it."""
        return str(self.path / CONFIG)

    @property
    def diagnosis(self) -> Diagnosis:
        """The case of its learning curves."""
        return diagnose(self.history, self.config, 10 if self.model is None else len(self.model.class_names))


def view_run(path: Path) -> RunView:
    """Read a run folder.

    Raises
    ------
    DataError, ConfigError
        One of its files is damaged, or config or history missing.
    """
    config, history = load_run_config(path), curves_of(read_history(path / HISTORY))
    model = load_run_model(path) if (path / MODEL).is_file() else None
    return RunView(path, config, history, load_metrics(path) if (path / METRICS).exists() else {}, model)


PARTS = ("train", "validation", "test", "all")


def load_model(run: str | Path, *, runs_dir: str | Path = "runs") -> Model:
    """Load a model: from a run (a path, or a name under ``runs_dir``) or from a ``model.npz``.

    Raises
    ------
    DataError
        Missing or damaged.
    """
    with suppress(OSError):  # a name that is too long, for one: find_run says what is wrong
        if Path(run).is_file():
            return load_model_file(Path(run))
    return load_run_model(find_run(str(run), Path(runs_dir)))


def predict(model: Model, images: Sequence[str | Path]) -> list[Prediction]:
    """Classify the pictures in image files (PNG, JPEG, ``.npy``, IDX): a digit is looked for where it is not framed.

    Raises
    ------
    DataError, UsageError
        A file cannot be read or holds no digit, or reading its format needs a library that is not installed.
    """
    return predict_pictures(model, [str(image) for image in images])


def evaluate(
    models: Model | Sequence[Model],
    dataset: Dataset,
    split: Split | None = None,
    part: str = "test",
    *,
    mistakes: int = 0,
) -> Evaluation:
    """Measure a model, or the averaged outputs of several, on a part of a dataset.

    ``part`` is train, validation or test of ``split``; or all, and without a split always all, images. So many of
    the worst ``mistakes`` are kept.

    Raises
    ------
    DataError, UsageError
        The images do not fit the model, or the part is empty.
    """
    if part not in PARTS:
        raise UsageError(f"split {part!r}: expected one of {', '.join(PARTS)}")
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
    """Measure runs, several by their averaged outputs, on a part of the split that they were trained with.

    ``dataset`` names another dataset, split by the first run's rule.

    Raises
    ------
    UsageError
        The runs were trained on different splits of the data, so that no part of one is unseen by all.
    """
    if not runs:
        raise UsageError("no run to evaluate; give at least one")
    folders = [find_run(run, Path(runs_dir)) for run in runs]
    configs = [load_run_config(folder) for folder in folders]
    models = [load_run_model(folder) for folder in folders]
    keys = [(config.dataset, config.split, config.split_seed, config.subset) for config in configs]
    other = next((index for index, key in enumerate(keys) if key[:3] != keys[0][:3]), None)
    if other is not None and dataset is None and part != "all":
        raise UsageError(
            f"{folders[0]} and {folders[other]} were trained on different splits or data, so their averages would\n"
            "be measured on images that one of them has seen; name data that is new to both with --dataset"
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
    """Write the model of a run (or of a ``model.npz``) as onnx, npz or json, and return the file's path.

    ``output`` is a file, or a folder for ``model.FORMAT``; without it the file lies beside the model.

    Raises
    ------
    UsageError
        An unknown format, or the extra that it takes is missing.
    DataError
        The run is missing or damaged, or the file cannot be written.
    """
    source = Path(run)
    if source.is_file():
        folder, model, accuracy = source.parent, load_model_file(source), None
    else:
        folder = find_run(str(run), Path(runs_dir))
        model, accuracy = load_run_model(folder), _test_accuracy(folder / METRICS)
    path = folder if output is None else Path(output)
    if path.is_dir():
        path = path / f"{Path(MODEL).stem}.{format}"
    write_model(path, format, model, accuracy)
    return path


def _test_accuracy(metrics: Path) -> float | None:
    """The figure in ``metrics.json``; a run that has none, or one that cannot be read, is exported all the same."""
    try:
        value = json.loads(metrics.read_text(encoding="utf-8"))["test_accuracy"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return float(value) if isinstance(value, float | int) and math.isfinite(value) else None
