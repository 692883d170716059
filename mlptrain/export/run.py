"""A run's model written in one of the formats, with what the run knows of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from mlptrain.complaints import enumerate_words, hint
from mlptrain.errors import UsageError
from mlptrain.export.about import About, about
from mlptrain.export.jsonfile import write_json
from mlptrain.export.onnxfile import write_onnx
from mlptrain.model import Model, load_model_file, save_model
from mlptrain.runs import METRICS, MODEL, find_run, load_run_model

FORMATS: dict[str, Callable[[Path, Model, About], None]] = {
    "onnx": write_onnx,
    "npz": lambda path, model, facts: save_model(path, model),
    "json": write_json,
}


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
    if format not in FORMATS:
        names = enumerate_words(list(FORMATS), "or")
        raise UsageError(f"--format {format!r}: expected {names}{hint(format, list(FORMATS))}")
    source = Path(run)
    if source.is_file():
        folder, model, accuracy = source.parent, load_model_file(source), None
    else:
        folder = find_run(str(run), Path(runs_dir))
        model, accuracy = load_run_model(folder), _test_accuracy(folder / METRICS)
    path = folder if output is None else Path(output)
    if path.is_dir():
        path = path / Path(MODEL).with_suffix(f".{format}")
    FORMATS[format](path, model, about(model, accuracy))
    return path


def _test_accuracy(metrics: Path) -> float | None:
    """The figure in ``metrics.json``; a run that has none, or one that cannot be read, is exported all the same."""
    try:
        value = json.loads(metrics.read_text(encoding="utf-8"))["test_accuracy"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return float(value) if isinstance(value, float | int) and math.isfinite(value) else None
