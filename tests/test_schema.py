from __future__ import annotations

import json

from mlptrain.config import Config, plain_values
from mlptrain.schema import config_schema


def test_the_json_schema() -> None:
    result = json.loads(json.dumps(config_schema()))
    assert result["additionalProperties"] is False
    properties = result["properties"]
    assert list(properties) == list(Config.model_fields)
    assert all(entry["description"] for entry in properties.values())
    assert properties["learning_rate"]["exclusiveMinimum"] == 0
    assert properties["learning_rate"]["type"] == "number"
    assert {"minimum": 1, "maximum": 1_000_000, "type": "integer"} in properties["hidden"]["anyOf"]
    assert properties["hidden"]["default"] == [30]
    assert "cosine" in properties["schedule"]["anyOf"][0]["enum"]
    assert properties["schedule"]["default"] == "constant"
    assert {"Augment", "Elastic", "Schedule", "EarlyStopping"} == set(result["$defs"])
    defaults = {key: entry["default"] for key, entry in properties.items()}
    assert defaults == json.loads(json.dumps(plain_values(Config())))
