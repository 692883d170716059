"""``KEY=VALUE`` arguments: their grammar and their effect on a document."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mlptrain.config.values import UNPRINTABLE, put, shown, shown_key
from mlptrain.config.yaml import MAX_KEY_LENGTH, Document, parse_value
from mlptrain.errors import ConfigError

SOURCE = "command line"

MAX_PARTS = 50
"""Number of arguments into which spaces may have divided one, to be recognised."""

_FLAT_LIST = re.compile(r"""\[[^][{}"']*\]""")
"""A list whose items need neither brackets nor quotes."""


@dataclass(frozen=True)
class Overrides:
    """Values by dotted key, such as ``{"schedule.warmup": 0.1}``; ``source`` names their origin in messages."""

    values: dict[str, Any]
    source: str = SOURCE


def is_override(argument: str) -> bool:
    """Return True if an argument is ``KEY=VALUE`` and not the path of a config."""
    key, equals, _ = argument.partition("=")
    return bool(equals) and "/" not in key and not os.path.exists(argument)  # noqa: PTH110 (never raises)


def parse_overrides(arguments: Sequence[str], list_keys: Collection[str] = ()) -> Overrides:
    """Parse ``KEY=VALUE`` arguments, whose order has no meaning.

    The value of one of ``list_keys`` may be a list without brackets: ``64,32``, ``64,`` or ``,`` (the empty list).

    Raises
    ------
    ConfigError
        An argument is malformed, or a key is set twice.
    """
    check_spaces(arguments, list_keys)
    values: dict[str, Any] = {}
    for argument in arguments:
        key, value = _parse(argument, list_keys)
        if key in values:
            raise ConfigError(f"{SOURCE}: duplicate key {shown(key)}\nhint: set it once")
        values[key] = value
    for key in values:
        _check_parents(key, values)
    return Overrides(values)


def merge(document: Document, overrides: Overrides) -> Document:
    """Return a new document: ``document`` with the values of ``overrides``.

    A value replaces the previous one as a whole. A dotted key sets one nested value: parents that are
    missing or null become mappings, and a name such as ``schedule: cosine`` becomes ``{name: cosine}``.

    Raises
    ------
    ConfigError
        A parent of a dotted key is a number, a boolean or a list.
    """
    values = copy.deepcopy(document.values)
    lines = dict(document.lines)
    for key in sorted(overrides.values, key=lambda key: key.count(".")):
        try:
            put(values, key, copy.deepcopy(overrides.values[key]))
        except ConfigError as error:
            raise ConfigError(f"{overrides.source}: {error}") from None
        lines = {k: line for k, line in lines.items() if k != key and not k.startswith(f"{key}.")}
    outer = {key.rsplit(".", n)[0] for key in overrides.values for n in range(1, key.count(".") + 1)}
    overridden = document.overridden | overrides.values.keys() | (outer - lines.keys())
    return Document(document.source, values, lines, overridden)


def check_spaces(arguments: Sequence[str], list_keys: Collection[str] = ()) -> None:
    """Check that no space has divided an argument, as in ``hidden=[64, 32]`` without quotes.

    Raises
    ------
    ConfigError
        An argument ends after a comma or within brackets, and the next one completes it.
    """
    for index, whole in enumerate(arguments):
        parts = 1
        for word in arguments[index + 1 : index + MAX_PARTS]:
            if "=" in word or not _continues(whole):
                break
            whole, parts = f"{whole} {word}", parts + 1
        if parts > 1 and not _continues(whole):
            problem = f"{SOURCE}: {shown(whole)} is divided by spaces into {parts} arguments"
            raise ConfigError(f"{problem}\nhint: {_without_spaces(whole, list_keys)}")


def _continues(argument: str) -> bool:
    """Return True if the value of an argument ends with a comma, or within brackets that it begins with."""
    text = argument.partition("=")[2].strip()
    opened, closed = (sum(map(text.count, pair)) for pair in ("[{", "]}"))
    return text.endswith(",") or (text[:1] in ("[", "{") and opened > closed)


def _without_spaces(argument: str, list_keys: Collection[str]) -> str:
    """Return the advice for an argument that spaces divide."""
    key, _, text = argument.partition("=")
    if len(argument) > 60 or "'" in argument or not argument.isprintable():
        return "put the argument in quotes"
    if key in list_keys and _FLAT_LIST.fullmatch(text):
        text = text[1:-1]
    if text[:1] in ("[", "{"):
        return f"put it in quotes: '{argument}'"
    return f"write {key}={text.replace(' ', '') or ','}"


def _parse(argument: str, list_keys: Collection[str]) -> tuple[str, Any]:
    key, equals, text = argument.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")) or UNPRINTABLE.search(key) or len(key) > MAX_KEY_LENGTH:
        raise ConfigError(f"{SOURCE}: {shown(argument)} is not KEY=VALUE\nhint: write for example learning_rate=0.1")
    if not text.strip():
        nothing = f"{key}=," if key in list_keys else "null"
        raise ConfigError(f"{SOURCE}: {shown(argument)} has no value\nhint: write {nothing} for none")
    if key in list_keys and "," in text and text.lstrip()[0] not in "[{\"'":
        text = f"[{text.rstrip().removesuffix(',')}]"
    try:
        return key, parse_value(text)
    except ConfigError as error:
        raise ConfigError(f"{SOURCE}: {shown_key(key)}: {error}") from None


_ABSENT = object()


def _check_parents(key: str, values: dict[str, Any]) -> None:
    """Raise for ``a={b: 1} a.b=2`` and ``a=cosine a.name=step``, which set one key twice."""
    parts = key.split(".")
    for end in range(1, len(parts)):
        outer = values.get(".".join(parts[:end]))
        inner: Any = {"name": outer} if isinstance(outer, str) else outer
        for part in parts[end:]:
            inner = inner.get(part, _ABSENT) if isinstance(inner, dict) else _ABSENT
        if inner is not _ABSENT:
            raise ConfigError(f"{SOURCE}: duplicate key {shown(key)}\nhint: set it once")
