"""The parameters of a sweep: W&B's keys for a space, in a file and as ``KEY=VALUE,VALUE`` on the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from mlptrain.config.config import problem_with
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.config.overrides import parse_overrides
from mlptrain.config.values import shown, shown_key
from mlptrain.config.yaml import Document
from mlptrain.errors import ConfigError
from mlptrain.sweeps.space import Choice, Interval, Parameter, Space

SPACE_KEYS = ("values", "value", "probabilities", "distribution", "min", "max", "q")

DISTRIBUTIONS = ("uniform", "int_uniform", "q_uniform", "log_uniform_values", "categorical", "constant")

_OTHERWISE = {
    "log_uniform": "log_uniform_values",
    "q_log_uniform": "log_uniform_values with q",
    "q_log_uniform_values": "log_uniform_values with q",
}

_EXAMPLES = "such as {values: [0.1, 0.3]}, {value: 0.1}, or {min: 0.1, max: 1.0}"


def is_space(value: Any) -> bool:
    """Whether a value is a mapping that describes a space."""
    return isinstance(value, dict) and any(key in SPACE_KEYS for key in value)


def spaces(arguments: Sequence[str]) -> dict[str, list[Any]]:
    """``KEY=VALUE,VALUE`` arguments as lists of values; commas within brackets, braces and quotes do not divide.

    Raises
    ------
    ConfigError
        An argument is malformed, or a key is given twice.
    """
    found: dict[str, list[Any]] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        parts = list(_divided(text))
        parsed = [parse_overrides([f"{key}{equals}{part}"]).values for part in parts]
        name = next(iter(parsed[0]))
        if name in found:
            raise ConfigError(f"command line: duplicate key {shown(name)}; give it once")
        found[name] = [values[name] for values in parsed]
    return found


def _divided(text: str) -> Iterator[str]:
    """``text`` cut at its outer commas."""
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
    """The parameters of a sweep file by dotted config key; nesting (W&B's ``parameters`` too) is dotted.

    Raises
    ------
    ConfigError
        A parameter is not described by W&B's keys, with its line.
    """
    found = dict(_walk(document, document.values["parameters"], (), "parameters"))
    if not found:
        place = document.where("parameters")
        raise ConfigError(f"{place}: parameters: is empty; name what to vary, {_EXAMPLES} for each key")
    return found


def _walk(
    document: Document, node: dict[str, Any], outer: tuple[str, ...], place: str
) -> Iterator[tuple[str, Parameter]]:
    for name, value in node.items():
        key, at = ".".join((*outer, name)), f"{place}.{name}"
        if not isinstance(value, dict):
            remedy = "{values: ...}" if isinstance(value, list) else "{value: ...}"
            raise _wrong(document, at, key, f"must be a mapping, {_EXAMPLES} (got {shown(value)}); write {remedy}")
        space = {inner: item for inner, item in value.items() if inner in SPACE_KEYS}
        nested = {inner: item for inner, item in value.items() if inner not in SPACE_KEYS}
        if wrong := next((inner for inner, item in nested.items() if not isinstance(item, dict)), None):
            known = f"the keys there are {enumerate_words(SPACE_KEYS, 'and')}"
            raise _wrong(
                document, f"{at}.{wrong}", key, f"unknown key {shown(wrong)}{hint(wrong, SPACE_KEYS)}; {known}"
            )
        if not space and not nested:
            raise _wrong(document, at, key, f"is empty; write a mapping {_EXAMPLES}")
        if space:
            yield key, _parameter(document, at, key, space)
        for inner, item in nested.items():
            below = (*outer, name)
            if inner == "parameters":  # W&B nests by this word
                yield from _walk(document, item, below, f"{at}.{inner}")
            else:
                yield from _walk(document, {inner: item}, below, at)


def _wrong(document: Document, place: str, key: str, words: str) -> ConfigError:
    return ConfigError(f"{document.where(place)}: {shown_key(key)}: {words}")


def _parameter(document: Document, at: str, key: str, space: dict[str, Any]) -> Parameter:
    """One parameter from its W&B keys."""

    def wrong(words: str, inner: str = "") -> ConfigError:
        return _wrong(document, f"{at}.{inner}" if inner else at, key, words)

    kind = space.get("distribution")
    if kind is not None and kind not in DISTRIBUTIONS:
        if isinstance(kind, str) and kind in _OTHERWISE:
            why = "in W&B its bounds are exponents, min and max here are the values themselves"
            raise wrong(f"distribution {kind} is not read: {why}; use {_OTHERWISE[kind]}", "distribution")
        known = f"must be one of {', '.join(DISTRIBUTIONS)} (got {shown(kind)}){hint(kind, DISTRIBUTIONS)}"
        raise wrong(f"distribution {known}", "distribution")
    ways = [way for way in ("values", "value", "min") if way in space or (way == "min" and "max" in space)]
    if len(ways) != 1:
        raise wrong(f"needs one of values, value, or min and max (got {enumerate_words(list(space), 'and')})")
    allowed = {
        "values": ({"values", "probabilities", "distribution"}, ("categorical",)),
        "value": ({"value", "distribution"}, ("constant",)),
        "min": ({"min", "max", "distribution", "q"}, DISTRIBUTIONS[:4]),
    }
    keys, kinds = allowed[ways[0]]
    if extra := sorted(set(space) - keys):
        raise wrong(f"{extra[0]} does not go with {ways[0]}", extra[0])
    if kind is not None and kind not in kinds:
        raise wrong(f"distribution {kind} does not go with {ways[0]}", "distribution")
    if ways[0] == "value":
        return Choice((space["value"],))
    return _choice(space, wrong) if ways[0] == "values" else _interval(space, kind, wrong)


def _choice(space: dict[str, Any], wrong: Any) -> Choice:
    values, weights = space["values"], space.get("probabilities")
    if not isinstance(values, list) or not values:
        raise wrong(f"values must be a list of at least one value (got {shown(values)})", "values")
    names = [json.dumps(value) for value in values]
    if twice := next((value for value, name in zip(values, names, strict=True) if names.count(name) > 1), None):
        raise wrong(f"values holds {shown(twice)} twice; give it once, with probabilities where it should weigh more")
    if weights is None:
        return Choice(tuple(values))
    if not isinstance(weights, list) or len(weights) != len(values) or not all(map(_is_number, weights)):
        raise wrong(f"probabilities must be one number for each of the {len(values)} values", "probabilities")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise wrong(f"probabilities must not be negative and have the sum 1 (got {sum(weights):g})", "probabilities")
    kept = [(value, float(weight)) for value, weight in zip(values, weights, strict=True) if weight > 0]
    return Choice(tuple(value for value, _ in kept), tuple(weight for _, weight in kept))


def _interval(space: dict[str, Any], kind: str | None, wrong: Any) -> Interval:
    for bound in ("min", "max"):
        if bound not in space:
            raise wrong(f"{bound} is missing")
        if not _is_number(space[bound]):
            raise wrong(f"{bound} must be a number (got {shown(space[bound])})", bound)
    low, high, step = space["min"], space["max"], space.get("q")
    whole = all(isinstance(bound, int) for bound in (low, high)) and kind not in ("uniform", "q_uniform")
    if low >= high:
        raise wrong(f"min must be below max (got {shown(low)} and {shown(high)})", "max")
    if kind == "int_uniform" and not whole:
        raise wrong("int_uniform needs whole numbers as min and max", "distribution")
    if kind == "q_uniform" and step is None:
        raise wrong("q_uniform needs q, the step", "distribution")
    if kind == "log_uniform_values" and low <= 0:
        raise wrong(f"min must be above 0 for log_uniform_values (got {shown(low)})", "min")
    if step is not None and (not _is_number(step) or not 0 < step <= high - low):
        raise wrong(f"q must be a step above 0 and within max - min (got {shown(step)})", "q")
    if whole and step is not None and not isinstance(step, int):
        raise wrong(f"q must be a whole number between whole bounds (got {shown(step)})", "q")
    return Interval(low, high, whole, kind == "log_uniform_values", step)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_values(space: Space, document: Document) -> None:
    """Hold every value, and the bounds of every range, against what its config key takes.

    Raises
    ------
    ConfigError
        A key is no config key, or a value is not allowed for it.
    """
    for key, parameter in space.parameters.items():
        place = f"parameters.{key}"
        if isinstance(parameter, Interval):
            samples: list[Any] = [parameter.low, parameter.high]
            if not parameter.whole:
                samples = [float(sample) for sample in samples]
        else:
            samples = list(parameter.values)
        for value in samples:
            if words := problem_with(key, value):
                prefix = "" if words.startswith("unknown key") else f"{shown_key(key)}: "
                raise ConfigError(f"{document.where(place)}: {prefix}{words}")
