from __future__ import annotations

import json

import yaml


def test_without_a_config_the_defaults_are_shown(mlptrain):
    result = mlptrain("config")
    values = yaml.safe_load(result.out)
    assert result.code == 0 and values["hidden"] == [30] and values["learning_rate"] == 0.5
    assert values["output"] == "softmax"  # auto is resolved


def test_json_holds_the_overrides(mlptrain, tiny):
    values = json.loads(mlptrain("config", tiny, "hidden=15", "loss=mse", "learning_rate=1e-3", "--json").out)
    assert values["hidden"] == [15] and values["learning_rate"] == 0.001 and values["epochs"] == 2
    assert values["output"] == "sigmoid"


def test_overrides_need_no_config(mlptrain):
    assert yaml.safe_load(mlptrain("config", "epochs=7").out)["epochs"] == 7


def test_the_output_is_a_config(mlptrain, tiny, tmp_path):
    shown = mlptrain("config", tiny).out
    (tmp_path / "again.yaml").write_text(shown)
    assert mlptrain("config", "again.yaml").out == shown


def test_the_schema_names_every_key(mlptrain, tiny):
    schema = json.loads(mlptrain("config", "--schema").out)
    assert set(schema["properties"]) == set(json.loads(mlptrain("config", "--json").out))
