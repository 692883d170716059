"""Messages about invalid documents: at most three lines, with file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from mlptrain.config.values import flow, shown, shown_key, whole
from mlptrain.config.yaml import Document

Models = Mapping[str, type[BaseModel]]
"""The models of a document by dotted key; that of the whole document under ''."""

Sentences = Mapping[str, str]
"""Messages by dotted key."""

_WORDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "literal_error": "must be one of {choices}",
    "missing": "is missing; must be one of {choices}",
}
"""Messages for the types of pydantic's errors that can occur."""

ALIASES = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "weight_decay": "decay",
    "layers": "hidden",
    "batch": "batch_size",
}
"""Keys by the names that other programs use."""

Problem = tuple[str, str]
"""A dotted key and the message about it, which is empty if the key is unknown."""


class OneOf:
    """A pydantic annotation for text that is one of ``names()``, called at each use so that tables may grow."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def __get_pydantic_core_schema__(self, *_: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return {"enum": list(self.names()), "type": "string"}

    def _check(self, value: Any) -> str:
        if isinstance(value, str) and value in self.names():
            return value
        raise PydanticKnownError("literal_error", {"expected": ", ".join(self.names())})


def refusal(problem: str, key: str = "") -> PydanticCustomError:
    """Return the error that a validator raises; ``key`` is the key at fault if it is not the validated one."""
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "key": key})


def problems(
    errors: Iterable[Any], values: dict[str, Any], models: Models, sentences: Sentences, mappings: Sentences
) -> Iterator[Problem]:
    """Yield the first of pydantic's ``errors`` for each key.

    ``sentences`` replaces every message about a key that accepts several kinds of values, ``mappings`` the message
    about a value that is not a mapping.
    """
    seen = set()
    for item in errors:
        key, words = _problem(item, values, models, sentences, mappings)
        if key not in seen:
            seen.add(key)
            yield key, words


def _problem(item: Any, values: dict[str, Any], models: Models, sentences: Sentences, mappings: Sentences) -> Problem:
    kind, context, location = item["type"], item.get("ctx", {}), item["loc"]
    key = ".".join(str(part) for part in location)
    if kind == "refused":
        return context["key"] or key, context["problem"]
    if kind == "extra_forbidden":
        return key, ""
    if location[0] in sentences:
        return location[0], f"{sentences[location[0]]} (got {shown(values[location[0]])})"
    value, choices = item["input"], _choices(key, models)
    if kind in ("model_type", "model_attributes_type"):
        words = mappings[key]
    else:
        limits = {name: flow(whole(limit)) for name, limit in context.items()}
        words = _WORDS.get(kind, "is invalid").format(**limits, choices=", ".join(choices))
    if kind == "missing":
        return key, words
    if key == "schedule.name" and not isinstance(values["schedule"], dict):
        key = "schedule"
    return key, f"{words} (got {shown(value)}){hint(value, choices)}"


def report(
    found: Iterable[Problem], document: Document, models: Models, typed: Sentences = MappingProxyType({})
) -> str:
    """Return the message about the first two problems, in the order of the file and then the command line.

    ``typed`` has the arguments to show for a key of the command line whose message has an example in brackets.
    """

    def order(problem: Problem) -> tuple[bool, int]:
        _, line = document.locate(problem[0])
        return line is None, line or 0

    ordered = sorted(found, key=order)
    rows, hints = [], []
    for key, words in ordered[:2]:
        text = f"{shown_key(key)}: {words}" if words else unknown(key, models)
        rows.append(f"{document.where(key)}: {text}")
        if key in typed and "such as" in words and document.locate(key)[1] is None:
            hints.append(f"hint: write for example {typed[key]}")
    if len(ordered) > 2:
        rows.append(f"(and {len(ordered) - 2} more)")
    return "\n".join([*rows, *hints][:3])


def unknown(key: str, models: Models) -> str:
    """Return the message about an unknown key, with the most similar key that exists."""
    outer, _, last = key.rpartition(".")
    dot = "." if outer else ""
    names = list(models[outer].model_fields)
    elsewhere = [f"{other}.{last}" for other, model in models.items() if other and last in model.model_fields]
    if not outer and ALIASES.get(last) in names:
        advice = f"; did you mean {ALIASES[last]!r}?"
    elif near := _most_similar(last, names):
        advice = f"; did you mean '{outer}{dot}{near}'?"
    elif elsewhere:
        advice = f"; did you mean {enumerate_words([repr(name) for name in elsewhere], 'or')}?"
    elif outer or len(names) < 12:
        advice = f"; the keys there are {enumerate_words(names, 'and')}"
    else:
        advice = "; see `mlptrain config` for all keys"
    return f"unknown key {shown(key)}{advice}"


def hint(given: object, choices: Sequence[str]) -> str:
    """Return ``; did you mean 'x'?`` with the choice most similar to ``given``, or an empty string."""
    near = _most_similar(given, choices)
    return f"; did you mean {near!r}?" if near else ""


def _most_similar(given: object, choices: Sequence[str]) -> str | None:
    if not isinstance(given, str):
        return None
    from difflib import get_close_matches  # slow to import, and only errors use it

    found = get_close_matches(given[:100].lower(), choices, n=1)
    return found[0] if found else None


def _choices(key: str, models: Models) -> list[str]:
    """Return the words that a dotted key accepts; empty if it accepts other values."""
    outer, _, name = key.rpartition(".")
    field = models[outer].model_fields[name]
    lists = [mark.names() for mark in field.metadata if isinstance(mark, OneOf)]
    return [choice for choice in (*lists, get_args(field.annotation))[0] if isinstance(choice, str)]


def enumerate_words(words: Sequence[str], last: str) -> str:
    """Return ``a, b and c``, with ``last`` before the last word."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
