"""The shipped configs: all of them are valid, and the laboratories train."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlptrain
from mlptrain.config.config import load_config, warnings
from mlptrain.errors import DivergedError
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.sweepfile import read_sweep

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

SWEEPS = sorted((CONFIGS / "sweeps").glob("*.yaml"))

ALL = sorted(set(CONFIGS.rglob("*.yaml")) - set(SWEEPS))

LABORATORIES = [path for path in ALL if path.parent.name.startswith("lab")]


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_configs_are_valid_and_begin_with_a_comment(path):
    assert warnings(load_config(path)) == []
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", LABORATORIES, ids=name)
def test_the_laboratories_train(path):
    # One epoch of few images; the run that must diverge needs all of them.
    diverges = path.stem == "divergence"
    overrides = ["epochs=1"] if diverges else ["epochs=1", "subset=64"]
    config = load_config(path, overrides)
    if diverges:
        with pytest.raises(DivergedError):
            mlptrain.train(config)
    else:
        assert mlptrain.train(config).metrics["test_loss"] > 0


def test_the_guides_name_every_laboratory():
    for folder in ("lab1", "lab2"):
        guide = (CONFIGS / folder / "README.md").read_text()
        for path in (CONFIGS / folder).glob("*.yaml"):
            assert f"`{path.stem}" in guide or f"`{path.stem.split('_')[0]}_*`" in guide, path.stem


@pytest.mark.parametrize("path", SWEEPS, ids=name)
def test_sweeps_are_valid_and_begin_with_a_comment(path):
    wave = next(waves(read_sweep(path)))
    assert len(wave.trials) > 10
    assert path.read_text().startswith("# ") and f"mlptrain sweep configs/sweeps/{path.name}" in path.read_text()
    assert all(warnings(trial.config) == [] for trial in wave.trials)
