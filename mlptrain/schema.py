"""The JSON Schema of a config."""

from __future__ import annotations

from typing import Any, get_args

from mlptrain.config import Config, ScheduleName


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a config file, for editors and other programs."""
    result = Config.model_json_schema()
    keys = result["properties"]
    keys["hidden"] = _or_short(keys["hidden"], keys["hidden"]["items"], [30])
    keys["schedule"] = _or_short(keys["schedule"], {"enum": list(get_args(ScheduleName))}, "constant")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def _or_short(full: dict[str, Any], short: dict[str, Any], default: Any) -> dict[str, Any]:
    """The schema of a key that may also be written in a short form."""
    shared: dict[str, Any] = {name: full.pop(name) for name in ("description", "title") if name in full}
    full.pop("default")
    return {**shared, "default": default, "anyOf": [short, full]}
