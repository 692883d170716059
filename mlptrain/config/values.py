"""Plain values (text, numbers, lists, dicts): dotted keys, comparison, YAML and the form shown in messages."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlptrain.errors import ConfigError

UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that YAML 1.2 does not allow (section 5.1)."""

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*")
"""Text that YAML reads as text without quotes, unless it is in `WORDS`."""

WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": math.nan,
    ".NaN": math.nan,
    ".NAN": math.nan,
}
"""The words that YAML's core schema reads as something other than text."""


def whole(value: Any) -> Any:
    """Return a whole number such as ``1e6``, which YAML reads as a float, as an int; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in place; null or missing parents become mappings, text becomes ``{name: text}``.

    Raises
    ------
    ConfigError
        A parent is a number, a boolean or a list.
    """
    *outer, last = key.split(".")
    for part in outer:
        inner = values.get(part)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = {"name": inner}
        elif not isinstance(inner, dict):
            raise ConfigError(f"{shown_key(key)}: {part} is {shown(inner)}, which has no keys")
        values[part] = inner
        values = inner
    values[last] = value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the keys whose values differ, each with both values as a list; a missing key counts as None."""
    pairs = {key: [before.get(key), after.get(key)] for key in {**before, **after}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def differing(every: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys, in their order, whose values are not the same in all mappings."""
    first, *others = every
    changed = {key for other in others for key in difference(first, other)}
    return [key for key in dict.fromkeys(key for values in (first, *others) for key in values) if key in changed]


def described(changes: Mapping[str, Sequence[Any]], most: int = 3) -> str:
    """Return a `difference` in words, ``learning_rate was 0.5 and is 0.1, ...``, with at most ``most`` keys."""
    words = [f"{key} was {shown(old)} and is {shown(new)}" for key, (old, new) in changes.items()]
    return ", ".join(words[:most]) + (f" (and {len(words) - most} more)" if len(words) > most else "")


def flow(value: Any) -> str:
    """Return plain values as one line of YAML that reads back equal: ``[30]``, ``{name: cosine}``, ``"1"``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) and value not in WORDS
        return value if bare else _quoted(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def short(value: Any) -> str:
    """Return a value as one types it in a shell, without spaces: ``[15,30]``."""
    return flow(value).replace(", ", ",").replace(": ", ":")


def shown(value: Any, depth: int = 2) -> str:
    """Return a value as messages show it: one line of bounded length, nested ``depth`` levels at most."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:60] + "…")
    if isinstance(value, (dict, list, tuple)):
        start, end = "{}" if isinstance(value, dict) else "[]"
        if value and not depth:
            return f"{start}…{end}"
        items = [shown(item, depth - 1) for item in list(value)[:6]]
        if isinstance(value, dict):
            items = [f"{shown_key(key)}: {shown(value[key], depth - 1)}" for key in list(value)[:6]]
        return start + ", ".join(items + ["…"] * (len(value) > 6)) + end
    text = flow(value)
    return text if len(text) <= 60 else text[:60] + "…"


def shown_key(key: object) -> str:
    """Return a key as messages show it: a plain word, or quoted and shortened text."""
    text = str(key)
    return text if len(text) <= 60 and _BARE.fullmatch(text) else shown(text)


def _quoted(text: str) -> str:
    """Return ``text`` in double quotes: JSON's escapes are YAML's, but YAML has more kinds of line breaks."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
