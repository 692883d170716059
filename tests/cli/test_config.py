from __future__ import annotations

import json

import yaml

import mlptrain as package


def test_the_defaults(mlptrain):
    result = mlptrain("config")
    values = yaml.safe_load(result.out)
    assert result.code == 0 and values["hidden"] == [30] and values["learning_rate"] == 0.5
    assert values["output"] == "softmax"  # auto is resolved


def test_overrides_and_json(mlptrain, tiny):
    values = json.loads(mlptrain("config", tiny, "hidden=15", "loss=mse", "learning_rate=1e-3", "--json").out)
    assert values["hidden"] == [15] and values["learning_rate"] == 0.001 and values["epochs"] == 2
    assert values["output"] == "sigmoid"


def test_overrides_alone(mlptrain):
    assert yaml.safe_load(mlptrain("config", "epochs=7").out)["epochs"] == 7


def test_what_is_shown_is_a_config(mlptrain, tiny, tmp_path):
    shown = mlptrain("config", tiny).out
    (tmp_path / "again.yaml").write_text(shown)
    assert mlptrain("config", "again.yaml").out == shown


def test_the_schema_names_every_key(mlptrain, tiny):
    schema = json.loads(mlptrain("config", "--schema").out)
    assert set(schema["properties"]) == set(json.loads(mlptrain("config", "--json").out))


def test_help_and_version(mlptrain):
    assert mlptrain("--version").out == f"mlptrain {package.__version__}\n"
    shown = mlptrain("--help")
    assert shown.code == 0 and all(name in shown.out for name in ("train", "eval", "config"))
