"""Write the key tables of docs/configuration.md from `mlptrain config`: `python tools/make_configuration.py`.

The text outside the two markers is written by hand and stays.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
BEGIN, END = "<!-- begin: tools/make_configuration.py -->\n", "<!-- end -->\n"
HEADER = "| key | value | default | description |\n|---|---|---|---|\n"
NAMES = {"null": "`null`", "boolean": "`true`, `false`"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
LARGEST_BOUND = 10**6
"""Larger bounds are left out of the tables; the page states them once."""


def updated(text: str) -> str:
    """Return the page ``text`` with new tables between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tables() + END + after


def tables() -> str:
    """Return a table for each section of `mlptrain config` and for each nested mapping, under headings."""
    schema = json.loads(_mlptrain("config", "--schema"))
    keys = schema["properties"]
    result = ""
    for section in _mlptrain("config").split("\n\n"):
        title, *lines = section.removeprefix("# ").splitlines()
        names = [line.partition(":")[0] for line in lines]
        result += _table(title.capitalize(), "", {name: keys[name] for name in names})
    return result + _mappings("", keys, schema["$defs"])


def _mlptrain(*arguments: str) -> str:
    command = [sys.executable, "-m", "mlptrain", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, cwd=PAGE.parents[1]).stdout


def _mappings(prefix: str, keys: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the tables of the mappings among ``keys``, and of the mappings within them."""
    result = ""
    for name, key in keys.items():
        for choice in key.get("anyOf", []):
            if "$ref" in choice:
                outer = prefix + name
                definition = definitions[choice["$ref"].rpartition("/")[2]]
                nested = definition["properties"]
                text = f"{definition['description']}\n\n"
                result += _table(f"`{outer}`", text, {f"{outer}.{inner}": nested[inner] for inner in nested})
                result += _mappings(f"{outer}.", nested, definitions)
    return result


def _table(title: str, text: str, keys: dict[str, Any]) -> str:
    rows = ""
    for name, key in keys.items():
        description = key["description"].replace("|", "\\|")
        rows += f"| `{name}` | {_type(key)} | {_default(key)} | {description} |\n"
    return f"### {title}\n\n{text}{HEADER}{rows}\n"


def _type(key: dict[str, Any]) -> str:
    """Return the values that a key accepts, in words."""
    if "anyOf" in key:
        return " or ".join(map(_type, key["anyOf"]))
    if "enum" in key:
        return ", ".join(f"`{choice}`" for choice in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if "$ref" in key:
        return "mapping"
    kind: str = key["type"]
    if kind == "array":
        fixed = key.get("prefixItems", [])
        return f"list of {len(fixed)} ({_type(fixed[0])})" if fixed else f"list of ({_type(key['items'])})"
    if kind in NAMES:
        return NAMES[kind]
    bounds = [f"{sign} {key[name]:,}" for name, sign in BOUNDS.items() if key.get(name, math.inf) <= LARGEST_BOUND]
    return f"{kind} {' and '.join(bounds)}".strip()


def _default(key: dict[str, Any]) -> str:
    if "default" not in key:
        return "required"
    value = key["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
