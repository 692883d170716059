from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mlptrain.config.config import EarlyStopping, load_config
from tests.cli.conftest import Command


def test_without_a_config_the_defaults_are_shown(mlptrain: Command) -> None:
    result = mlptrain("config")
    values = yaml.safe_load(result.out)
    assert result.code == 0 and values["hidden"] == [30] and values["learning_rate"] == 0.5
    assert values["output"] == "softmax"  # auto is resolved


def test_json_holds_the_overrides(mlptrain: Command, tiny: Path) -> None:
    values = json.loads(mlptrain("config", tiny, "hidden=15", "loss=mse", "learning_rate=1e-3", "--json").out)
    assert values["hidden"] == [15] and values["learning_rate"] == 0.001 and values["epochs"] == 2
    assert values["output"] == "sigmoid"


def test_overrides_need_no_config(mlptrain: Command) -> None:
    assert yaml.safe_load(mlptrain("config", "epochs=7").out)["epochs"] == 7


def test_the_output_is_a_config(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    shown = mlptrain("config", tiny).out
    (tmp_path / "again.yaml").write_text(shown)
    assert mlptrain("config", "again.yaml").out == shown


def test_the_output_means_the_same_as_the_config_file_of_a_run(mlptrain: Command, tmp_path: Path) -> None:
    shown = mlptrain("config", "srivastava").out
    (tmp_path / "shown.yaml").write_text(shown)
    assert load_config("shown.yaml") == load_config("srivastava").resolve()
    lines = shown.splitlines()
    keys = set(load_config("srivastava").model_dump())
    assert {line.partition(":")[0] for line in lines if line and not line.startswith("#")} == keys
    for key in keys:
        above = lines[next(number for number, line in enumerate(lines) if line.startswith(f"{key}:")) - 1]
        assert above.startswith("# "), key


def test_list_has_one_line_per_config(mlptrain: Command) -> None:
    lines = mlptrain("config", "--list").out.splitlines()
    names = [line.split()[0] for line in lines]
    assert {"quickstart", "nielsen", "lab1/rate_too_low", "sweeps/hidden"} <= set(names)
    assert all(len(line.split()) > 3 for line in lines)
    found = json.loads(mlptrain("config", "--list", "--json").out)["configs"]
    assert [entry["name"] for entry in found] == names
    assert mlptrain("config", "--list", "nielsen").code == 2
    assert mlptrain("config", "--list", "--explain").code == 2


def test_explain_describes_one_key_or_all(mlptrain: Command) -> None:
    out = mlptrain("config", "--explain", "activation").out
    assert (
        out.startswith("activation\n") and "hidden layers" in out and "leaky_relu" in out and "default: sigmoid" in out
    )
    key = json.loads(mlptrain("config", "--explain", "batch_size", "--json").out)["batch_size"]
    assert key["default"] == 64 and key["choices"] == ["full"] and key["type"] == "integer ≥ 1 or full"
    nested = json.loads(mlptrain("config", "--explain", "early_stopping", "--json").out)
    assert set(nested) == {"early_stopping", *(f"early_stopping.{k}" for k in EarlyStopping.model_fields)}
    every = json.loads(mlptrain("config", "--explain", "--json").out)
    assert set(json.loads(mlptrain("config", "--json").out)) <= set(every) and "augment.elastic.alpha" in every
    assert every["schedule.name"]["required"] and all(key["description"] for key in every.values())


@pytest.mark.parametrize(
    ("key", "meant"),
    [("learning_rat", "learning_rate"), ("lr", "learning_rate"), ("augment.shft", "augment.shift"), ("a.b.c", "")],
)
def test_explain_an_unknown_key(mlptrain: Command, key: str, meant: str) -> None:
    result = mlptrain("config", "--explain", key)
    assert result.code == 2 and result.out == "" and meant in result.err and "`mlptrain config --explain`" in result.err


def test_the_schema_names_every_key(mlptrain: Command, tiny: Path) -> None:
    schema = json.loads(mlptrain("config", "--schema").out)
    assert set(schema["properties"]) == set(json.loads(mlptrain("config", "--json").out))
