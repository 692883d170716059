from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mlptrain.config.config import load_config
from mlptrain.config.keys import describe_keys
from mlptrain.config.shipped import shipped_configs
from mlptrain.sweeps.sweepfile import read_sweep
from tests.cli.conftest import Command

SWEEPS = {name for name in shipped_configs() if name.startswith("sweeps/")}


def test_the_quickstart_is_copied_with_every_key(mlptrain: Command, tmp_path: Path) -> None:
    result = mlptrain("init")
    path = tmp_path / "quickstart.yaml"
    assert result.code == 0 and result.out.splitlines() == [str(path), "next: mlptrain train quickstart.yaml"]
    text = path.read_text()
    lines = text.splitlines()
    for name, key in describe_keys().items():
        assert key.description.split()[0] in text
        if "." not in name:
            assert sum(line.startswith((f"{name}: ", f"#{name}: ")) for line in lines) == 1, name


def test_a_copy_that_is_uncommented_is_a_config_of_defaults(mlptrain: Command, tmp_path: Path) -> None:
    mlptrain("init")
    path = tmp_path / "quickstart.yaml"
    lines = [line[1:] if line[:1] == "#" and line[1:2].isalpha() else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    assert load_config(path) == load_config("quickstart")
    assert set(yaml.safe_load(path.read_text())) == set(load_config().model_dump())


@pytest.mark.parametrize("name", sorted(set(shipped_configs()) - SWEEPS))
def test_every_copy_means_the_same(mlptrain: Command, tmp_path: Path, name: str) -> None:
    assert mlptrain("init", name, "copies").code == 0
    (path,) = (tmp_path / "copies").iterdir()
    assert load_config(path) == load_config(name)


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_every_copy_of_a_sweep_means_the_same(mlptrain: Command, tmp_path: Path, name: str) -> None:
    result = mlptrain("init", name, "copies")
    (path,) = (tmp_path / "copies").iterdir()
    assert f"mlptrain sweep copies/{path.name}" in result.out
    assert read_sweep(path).digest == read_sweep(name).digest


def test_a_file_is_never_replaced(mlptrain: Command, tmp_path: Path) -> None:
    (tmp_path / "nielsen.yaml").write_text("mine")
    result = mlptrain("init", "nielsen")
    assert result.code == 2 and "nielsen.yaml: " in result.err and "hint:" in result.err and result.out == ""
    assert (tmp_path / "nielsen.yaml").read_text() == "mine"


def test_json_has_the_path(mlptrain: Command, tmp_path: Path) -> None:
    assert json.loads(mlptrain("init", "lab1/healthy", "my folder", "--json").out) == {
        "config": str(tmp_path / "my folder/healthy.yaml")
    }


def test_unknown_names_and_folders_that_cannot_be_written(mlptrain: Command, tmp_path: Path) -> None:
    result = mlptrain("init", "nielsn")
    assert result.code == 2 and "'nielsen'" in result.err and "`mlptrain config --list`" in result.err
    (tmp_path / "file").write_text("")
    assert mlptrain("init", "nielsen", "file").code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
