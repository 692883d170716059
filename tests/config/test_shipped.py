"""The shipped configs: all of them are valid, and the laboratories train."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlptrain
from mlptrain.config.config import load_config, warnings
from mlptrain.config.shipped import find_config, shipped_configs, summary
from mlptrain.errors import ConfigError, DivergedError
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.sweepfile import read_sweep

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

SWEEPS = sorted((CONFIGS / "sweeps").glob("*.yaml"))

ALL = sorted(set(CONFIGS.rglob("*.yaml")) - set(SWEEPS))

LABORATORIES = [path for path in ALL if path.parent.name.startswith("lab")]


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_configs_are_valid_and_begin_with_a_comment(path: Path) -> None:
    assert warnings(load_config(path)) == []
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", LABORATORIES, ids=name)
def test_the_laboratories_train(path: Path) -> None:
    # One epoch of few images; the run that must diverge needs all of them.
    diverges = path.stem == "divergence"
    overrides = ["epochs=1"] if diverges else ["epochs=1", "subset=64"]
    config = load_config(path, overrides)
    if diverges:
        with pytest.raises(DivergedError):
            mlptrain.train(config)
    else:
        assert mlptrain.train(config).metrics["test_loss"] > 0


def test_the_guides_name_every_laboratory() -> None:
    for folder in ("lab1", "lab2"):
        guide = (CONFIGS / folder / "README.md").read_text()
        for path in (CONFIGS / folder).glob("*.yaml"):
            assert f"`{path.stem}" in guide or f"`{path.stem.split('_')[0]}_*`" in guide, path.stem


@pytest.mark.parametrize("path", SWEEPS, ids=name)
def test_sweeps_are_valid_and_begin_with_a_comment(path: Path) -> None:
    wave = next(waves(read_sweep(path)))
    assert len(wave.trials) > 5
    assert path.read_text().startswith("# ") and f"# mlptrain sweep {path.stem}" in path.read_text()
    assert all(warnings(trial.config) == [] for trial in wave.trials)


def test_a_config_is_found_by_its_path_or_its_last_part() -> None:
    for path in (*ALL, *SWEEPS):
        full = name(path).removesuffix(".yaml")
        assert find_config(full) == path
        if sum(other.stem == path.stem for other in (*ALL, *SWEEPS)) == 1:
            assert find_config(path.stem) == path
    assert set(shipped_configs().values()) == {*ALL, *SWEEPS}
    assert load_config("lab1/rate_too_low") == load_config(CONFIGS / "lab1/rate_too_low.yaml")


def test_a_file_is_preferred_to_a_shipped_config_and_a_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nielsen").mkdir()
    assert find_config("nielsen") == CONFIGS / "nielsen.yaml"
    Path("quickstart").write_text("epochs: 3\n")
    assert load_config("quickstart").epochs == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("quikstart", ["'quickstart'", "`mlptrain config --list`"]),
        ("rate_to_low", ["'rate_too_low'"]),
        ("lab1/rate_to_low", ["no such file", "'lab1/rate_too_low'"]),
        ("configs/quickstart.yaml", ["no such file", "`quickstart`"]),
        ("/nowhere/healthy.yaml", ["no such file", "`healthy`"]),
        ("tny.yaml", ["no such file", "'tiny.yaml'"]),
        ("zzz", ["no such file", "`mlptrain config --list`"]),
        ("../configs/quickstart", ["no such file"]),
    ],
)
def test_a_config_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text("")
    with pytest.raises(ConfigError) as error:
        load_config(given)
    message = str(error.value)
    assert message.startswith(f"{given}: ") and all(word in message for word in words) and message.count("\n") < 3


def test_messages_about_a_shipped_config_name_it() -> None:
    with pytest.raises(ConfigError, match=r"^lab2/early_stopping:\d+: early_stopping: "):
        load_config("lab2/early_stopping", ["split=official-60k"])


def test_the_base_of_a_sweep_may_be_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "base: nielsen\nmethod: grid\nmetric: {name: val_loss, goal: minimize}\nparameters: {seed: {values: [1, 2]}}\n"
    )
    assert read_sweep("mine.yaml").base_config == load_config("nielsen").resolve()
    assert read_sweep("mine.yaml").base_path == "nielsen"
    Path("nielsen").write_text("epochs: 3\n")
    assert read_sweep("mine.yaml").base_config.epochs == 3


def test_a_word_that_would_find_another_file_is_not_the_base_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("epochs: 3\n")
    assert load_config(read_sweep("hidden").base_path) == load_config(CONFIGS / "quickstart.yaml")


def test_every_shipped_config_has_a_summary_of_one_line() -> None:
    for path in (*ALL, *SWEEPS):
        text = summary(path)
        assert 10 < len(text) < 250 and "\n" not in text and text[-1] in ".?"
