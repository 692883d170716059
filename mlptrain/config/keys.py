"""Descriptions of the config keys, from their schema, and YAML that contains them as comments."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlptrain.config.config import MODELS, SECTIONS, config_schema
from mlptrain.config.messages import hint, unknown
from mlptrain.config.values import flow, shown
from mlptrain.errors import ConfigError

_SIMPLE = {"null": "null", "boolean": "true, false"}

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

_LARGEST_BOUND = 10**6
"""Larger bounds are left out."""

_WIDTH = 80
"""Columns of comments."""


@dataclass(frozen=True)
class Key:
    """A config key.

    Attributes
    ----------
    section
        Heading of the key in a config: data, network or training; for a key in a mapping, the key of the mapping.
    type
        Values that are valid, in words.
    choices
        Words that are valid.
    default
        Plain value; None also if the key is required.
    """

    section: str
    description: str
    type: str
    choices: tuple[str, ...]
    default: Any
    required: bool


def describe_keys() -> dict[str, Key]:
    """Return all keys by their dotted names, in the order of a config; those in a mapping follow its key."""
    schema = config_schema()
    keys: dict[str, Key] = {}
    section = ""
    for name, key in schema["properties"].items():
        section = SECTIONS.get(name, section)
        keys |= _described(name, key, section, schema["$defs"])
    return keys


def find_keys(name: str) -> dict[str, Key]:
    """Return the key of a dotted name, followed by those in its mapping.

    Raises
    ------
    ConfigError
        There is no such key.
    """
    keys = describe_keys()
    if name not in keys:
        known = name.rpartition(".")[0] in MODELS
        problem = unknown(name, MODELS) if known else f"unknown key {shown(name)}{hint(name, list(keys))}"
        raise ConfigError(f"{problem}\nhint: `mlptrain config --explain` describes all keys")
    return {full: key for full, key in keys.items() if f"{full}.".startswith(f"{name}.")}


def commented_yaml(values: Mapping[str, Any]) -> str:
    """Return all top-level keys as YAML, each below its description.

    A key without a value is commented out and has its default, so that the text means the same as ``values``.
    """
    keys = describe_keys()
    lines: list[str] = []
    section = ""
    for name, key in keys.items():
        if "." in name:
            continue
        if key.section != section:
            section = key.section
            lines += ["", f"# ---- {section} ----"]
        lines += ["", *_comment(key.description)]
        if key.choices and not all(choice in key.description for choice in key.choices):
            lines += _comment(f"Values: {key.type}")
        for inner, option in keys.items():
            if inner.startswith(f"{name}."):
                lines += _comment(f"- {inner.removeprefix(f'{name}.')}: {_described_option(option)}", indent="  ")
        lines.append(f"{name}: {flow(values[name])}" if name in values else f"#{name}: {flow(key.default)}")
    return "\n".join(lines[1:]) + "\n"


def _described_option(key: Key) -> str:
    values = f" Values: {key.type}." if key.choices else ""
    return f"{key.description}{values}" + ("" if key.required else f" Default: {flow(key.default)}.")


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent=f"# {indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _described(
    name: str, schema: dict[str, Any], section: str, definitions: dict[str, Any]
) -> Iterator[tuple[str, Key]]:
    """Yield a key and, if it may be a mapping, the keys in it."""
    yield (
        name,
        Key(
            section,
            schema["description"],
            _type(schema),
            tuple(_choices(schema)),
            schema.get("default"),
            "default" not in schema,
        ),
    )
    for form in schema.get("anyOf", ()):
        if "$ref" in form:
            for inner, option in definitions[form["$ref"].rpartition("/")[2]]["properties"].items():
                yield from _described(f"{name}.{inner}", option, name, definitions)


def _choices(schema: dict[str, Any]) -> list[str]:
    forms = [schema, *schema.get("anyOf", ())]
    return [choice for form in forms for choice in form.get("enum", [form["const"]] if "const" in form else ())]


def _type(schema: dict[str, Any]) -> str:
    """Return the values that a key accepts, in words."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if choices := _choices(schema):
        return ", ".join(choices)
    if "$ref" in schema:
        return "mapping"
    kind: str = schema["type"]
    if kind == "array":
        fixed = schema.get("prefixItems", [])
        return f"list of {len(fixed)} ({_type(fixed[0])})" if fixed else f"list of ({_type(schema['items'])})"
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    bounds = [
        f"{sign} {schema[name]:,}" for name, sign in _BOUNDS.items() if schema.get(name, math.inf) <= _LARGEST_BOUND
    ]
    return f"{kind} {' and '.join(bounds)}".strip()
