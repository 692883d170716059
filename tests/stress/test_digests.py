"""The recorded configs and sweeps use everything that a config can hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stress.digests import CONFIGS, SMALL, SWEEPS, differences, shapes, without_seconds


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    command = [sys.executable, "-m", "mlptrain", "config", "--schema"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def entries(part: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield every dotted key of a schema with its default, and with each name that it takes."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    for option in part.get("anyOf", ()):
        yield from entries(option, schema, path)
    for name in part.get("enum", [part["const"]] if "const" in part else []):
        yield "name", path.removesuffix(".name"), name
    for key, inner in part.get("properties", {}).items():
        inside = f"{path}.{key}".lstrip(".")
        yield "default", inside.removesuffix(".name"), inner.get("default")
        yield from entries(inner, schema, inside)


def used(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted key of a config with its value."""
    for key, value in values.items():
        inside = f"{path}.{key}".lstrip(".")
        yield inside.removesuffix(".name"), value
        if isinstance(value, dict):
            yield from used(value, inside)


USED = [entry for values in CONFIGS.values() for entry in used(SMALL | values)]


def test_every_name_of_each_vocabulary_is_used(schema: dict[str, Any]) -> None:
    names = [(key, name) for kind, key, name in entries(schema, schema) if kind == "name"]
    assert len(names) > 40
    assert [entry for entry in names if entry not in USED] == []


def test_every_key_is_used_with_a_value_other_than_its_default(schema: dict[str, Any]) -> None:
    defaults = [(key, default) for kind, key, default in entries(schema, schema) if kind == "default"]
    assert len(defaults) > 40
    assert [key for key, default in defaults if not any(key == k and v != default for k, v in USED)] == []


def test_every_sweep_method_is_used() -> None:
    assert {sweep["method"] for sweep in SWEEPS.values()} == {"grid", "random", "halving", "tpe"}


def test_seconds_are_left_out_of_a_table() -> None:
    assert without_seconds("epoch,seconds,loss\n1,0.3,2\n") == without_seconds("epoch,seconds,loss\n1,0.4,2\n")
    assert without_seconds("epoch,seconds,loss\n1,0.3,2\n") != without_seconds("epoch,seconds,loss\n1,0.3,3\n")


def test_a_shape_names_the_types_of_all_items() -> None:
    assert shapes([{"a": [1, None], "b": {"c": "x"}}, {"a": []}]) == {
        ".a": "list",
        ".a[]": "NoneType | int",
        ".b.c": "str",
    }


def test_changed_missing_and_new_records_are_differences() -> None:
    before = {"same": "1", "changed": "1", "missing": "1"}
    lines = differences(before, {"same": "1", "changed": "2", "new": "1"})
    assert [line.partition(":")[0] for line in lines] == ["changed", "missing", "new"]
