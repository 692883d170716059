"""What a run folder holds, read for those who show it; a run that diverged or goes on has no model yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.config import Config
from mlptrain.history import read_history
from mlptrain.learning import LearningCurves, curves_of
from mlptrain.model import Model
from mlptrain.reporting.diagnosis import Diagnosis, diagnose
from mlptrain.runs import CONFIG, HISTORY, METRICS, MODEL, load_metrics, load_run_config, load_run_model


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
