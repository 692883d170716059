"""Export of the model of a run: the formats of `models`, and a page on which people try the model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.models.formats import FORMATS, Writer, write_model
from mlptrain.reporting.try_it import write_html
from mlptrain.runs.files import MODEL, load_metrics
from mlptrain.runs.finished import load_model
from mlptrain.runs.locate import Run, find_model

EXPORTS: dict[str, Writer] = {**FORMATS, "html": write_html}
"""A writer for each name of ``--format``."""


def export_run(
    run: Run, format: str = "onnx", *, output: str | Path | None = None, runs_dir: str | Path = "runs"
) -> Path:
    """Write the model of a run (or of a file ``model.npz``) in one of `EXPORTS`, and return the path.

    ``output`` is a file, or a folder for ``model.FORMAT``; without it the file is written beside the model.

    Raises
    ------
    UsageError
        The format is unknown, or cannot hold this model, or its extra is not installed.
    DataError
        The run is missing or damaged, or the file cannot be written.
    """
    found = find_model(run, runs_dir)
    model, accuracy = load_model(found), None
    with suppress(DataError):  # the accuracy is optional
        accuracy = load_metrics(found)["test_accuracy"]
    folder = found.parent if found.is_file() else found
    path = folder if output is None else Path(output)
    if path.is_dir():
        path = path / f"{Path(MODEL).stem}.{format}"
    write_model(path, format, model, accuracy, EXPORTS)
    return path
