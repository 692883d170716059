"""Parameters of a sweep: search spaces in the keys of W&B, and as ``KEY=VALUE,VALUE`` on the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlptrain.config.config import describe_problem
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.config.overrides import check_spaces, parse_overrides
from mlptrain.config.values import shown, shown_key
from mlptrain.config.yaml import Document
from mlptrain.errors import ConfigError
from mlptrain.sweeps.space import Choice, Interval, Parameter, Space

SPACE_KEYS = ("values", "value", "probabilities", "distribution", "min", "max", "q")

DISTRIBUTIONS = ("uniform", "int_uniform", "q_uniform", "log_uniform_values", "categorical", "constant")

_UNSUPPORTED = {
    "log_uniform": "log_uniform_values",
    "q_log_uniform": "log_uniform_values with q",
    "q_log_uniform_values": "log_uniform_values with q",
}
"""Distributions of W&B with another meaning of the bounds, and what to use instead."""

EXAMPLES = "{values: [0.1, 0.3]}, {value: 0.1} or {min: 0.1, max: 1.0}"


def is_space(value: Any) -> bool:
    """Return True if a value is a mapping that describes a space."""
    return isinstance(value, dict) and any(key in SPACE_KEYS for key in value)


def spaces(arguments: Sequence[str]) -> dict[str, list[Any]]:
    """Parse ``KEY=VALUE,VALUE`` arguments as lists of values; commas within brackets and quotes do not separate.

    Raises
    ------
    ConfigError
        An argument is invalid, or a key is given twice.
    """
    check_spaces(arguments)
    found: dict[str, list[Any]] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        parsed = [parse_overrides([f"{key}{equals}{part}"]).values for part in _split(text)]
        name = next(iter(parsed[0]))
        if name in found:
            raise ConfigError(f"command line: duplicate key {shown(name)}; give it once")
        found[name] = [values[name] for values in parsed]
    return found


def _split(text: str) -> Iterator[str]:
    """Split a text at the commas outside of brackets and quotes."""
    depth, quote, start = 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def parameters(document: Document) -> dict[str, Parameter]:
    """Return the parameters of a sweep file by dotted config key; W&B nests keys by ``parameters``, or directly.

    Raises
    ------
    ConfigError
        A parameter is invalid; the message has its line.
    """
    return dict(_walk(document, document.values["parameters"], (), "parameters"))


def _walk(
    document: Document, node: dict[str, Any], outer: tuple[str, ...], path: str
) -> Iterator[tuple[str, Parameter]]:
    for name, value in node.items():
        key, at = ".".join((*outer, name)), f"{path}.{name}"
        if not isinstance(value, dict):
            word = "values" if isinstance(value, list) else "value"
            raise _error(document, at, key, f"must be a mapping (got {shown(value)})\nhint: write {{{word}: ...}}")
        space = {inner: item for inner, item in value.items() if inner in SPACE_KEYS}
        nested = {inner: item for inner, item in value.items() if inner not in SPACE_KEYS}
        if unknown := next((inner for inner, item in nested.items() if not isinstance(item, dict)), None):
            known = f"{hint(unknown, SPACE_KEYS)}\nexpected {enumerate_words(SPACE_KEYS, 'or')}"
            raise _error(document, f"{at}.{unknown}", key, f"unknown key {shown(unknown)}{known}")
        if not space and not nested:
            raise _error(document, at, key, f"is empty\nhint: write a space such as {EXAMPLES}")
        if space:
            yield key, _parameter(document, at, key, space)
        for inner, item in nested.items():
            below = (*outer, name)
            if inner == "parameters":  # W&B nests by this word
                yield from _walk(document, item, below, f"{at}.{inner}")
            else:
                yield from _walk(document, {inner: item}, below, at)


def _error(document: Document, path: str, key: str, problem: str) -> ConfigError:
    return ConfigError(f"{document.where(path)}: {shown_key(key)}: {problem}")


def _parameter(document: Document, at: str, key: str, space: dict[str, Any]) -> Parameter:
    """Return a parameter by its keys of W&B."""

    def error(problem: str, inner: str = "") -> ConfigError:
        return _error(document, f"{at}.{inner}" if inner else at, key, problem)

    kind = space.get("distribution")
    if kind is not None and kind not in DISTRIBUTIONS:
        if isinstance(kind, str) and kind in _UNSUPPORTED:
            why = f"because its bounds are exponents in W&B, and values here\nhint: use {_UNSUPPORTED[kind]}"
            raise error(f"distribution {kind} is unsupported, {why}", "distribution")
        known = f"must be one of {', '.join(DISTRIBUTIONS)} (got {shown(kind)}){hint(kind, DISTRIBUTIONS)}"
        raise error(f"distribution {known}", "distribution")
    ways = [way for way in ("values", "value", "min") if way in space or (way == "min" and "max" in space)]
    if len(ways) != 1:
        raise error(f"needs one of values, value, or min and max (got {enumerate_words(list(space), 'and')})")
    allowed = {
        "values": ({"values", "probabilities", "distribution"}, ("categorical",)),
        "value": ({"value", "distribution"}, ("constant",)),
        "min": ({"min", "max", "distribution", "q"}, DISTRIBUTIONS[:4]),
    }
    keys, kinds = allowed[ways[0]]
    if extra := sorted(set(space) - keys):
        raise error(f"{extra[0]} cannot be combined with {ways[0]}", extra[0])
    if kind is not None and kind not in kinds:
        raise error(f"distribution {kind} cannot be combined with {ways[0]}", "distribution")
    if ways[0] == "value":
        return Choice((space["value"],))
    return _choice(space, error) if ways[0] == "values" else _interval(space, kind, error)


def _choice(space: dict[str, Any], error: Callable[..., ConfigError]) -> Choice:
    values, weights = space["values"], space.get("probabilities")
    if not isinstance(values, list) or not values:
        raise error(f"values must be a list of at least one value (got {shown(values)})", "values")
    names = [json.dumps(value) for value in values]
    if duplicates := [value for value, name in zip(values, names, strict=True) if names.count(name) > 1]:
        raise error(f"values contains {shown(duplicates[0])} twice\nhint: use probabilities to draw it more often")
    if weights is None:
        return Choice(tuple(values))
    if not isinstance(weights, list) or len(weights) != len(values) or not all(map(_is_number, weights)):
        raise error(f"probabilities must be {len(values)} numbers, one per value", "probabilities")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise error(f"probabilities must not be negative and have the sum 1 (got {sum(weights):g})", "probabilities")
    kept = [(value, float(weight)) for value, weight in zip(values, weights, strict=True) if weight > 0]
    return Choice(tuple(value for value, _ in kept), tuple(weight for _, weight in kept))


def _interval(space: dict[str, Any], kind: str | None, error: Callable[..., ConfigError]) -> Interval:
    for bound in ("min", "max"):
        if bound not in space:
            raise error(f"{bound} is missing")
        if not _is_number(space[bound]):
            raise error(f"{bound} must be a number (got {shown(space[bound])})", bound)
    low, high, step = space["min"], space["max"], space.get("q")
    whole = all(isinstance(bound, int) for bound in (low, high)) and kind not in ("uniform", "q_uniform")
    if low >= high:
        raise error(f"min must be less than max (got {shown(low)} and {shown(high)})", "max")
    if kind == "int_uniform" and not whole:
        raise error("int_uniform needs whole numbers as min and max", "distribution")
    if kind == "q_uniform" and step is None:
        raise error("q_uniform needs q, the step", "distribution")
    if kind == "log_uniform_values" and low <= 0:
        raise error(f"min must be greater than 0 for log_uniform_values (got {shown(low)})", "min")
    if step is not None and (not _is_number(step) or not 0 < step <= high - low):
        raise error(f"q must be greater than 0 and at most max - min (got {shown(step)})", "q")
    if whole and step is not None and not isinstance(step, int):
        raise error(f"q must be a whole number if min and max are (got {shown(step)})", "q")
    return Interval(low, high, whole, kind == "log_uniform_values", step)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_values(space: Space, document: Document) -> None:
    """Check every value, and the bounds of every range, against the config key.

    Raises
    ------
    ConfigError
        A key is unknown, or a value is invalid.
    """
    for key, parameter in space.parameters.items():
        if isinstance(parameter, Choice):
            values: Sequence[Any] = parameter.values
        else:
            values = [bound if parameter.whole else float(bound) for bound in (parameter.low, parameter.high)]
        for value in values:
            if problem := describe_problem(key, value):
                prefix = "" if problem.startswith("unknown key") else f"{shown_key(key)}: "
                raise ConfigError(f"{document.where(f'parameters.{key}')}: {prefix}{problem}")
