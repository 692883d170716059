"""Conditions on listed runs, their order, and the keys in which they differ."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlptrain.config.values import differing, shown
from mlptrain.config.yaml import parse_value
from mlptrain.errors import ConfigError, UsageError
from mlptrain.runs.listing import RUN, Row

COLUMNS = ("name", "kind", "state", "started")
"""Columns of rows by which they can be selected and ordered, besides config keys and metrics."""

_RANGE = re.compile(r"(.*?)\.\.(.*)")


def select(rows: Sequence[Row], conditions: Iterable[str]) -> list[Row]:
    """Return the rows that meet all ``KEY=VALUE`` and ``KEY=LOW..HIGH`` conditions; a range contains its ends.

    Raises
    ------
    UsageError
        A condition is malformed, or no row has its key.
    """
    selected = list(rows)
    for condition in conditions:
        key, equals, text = (part.strip() for part in condition.partition("="))
        if not (key and equals and text):
            raise UsageError(
                f"--where: expected KEY=VALUE or KEY=LOW..HIGH (got {shown(condition)})\n"
                "hint: write for example --where val_accuracy=0.9..1"
            )
        _check_key("--where", key, rows)
        meets = _test(key, text)
        selected = [row for row in selected if any(map(meets, row.values(key)))]
    return selected


def _test(key: str, text: str) -> Callable[[Any], bool]:
    """Return the test of a value by the right-hand side of a condition."""
    items = text.strip("[]").removesuffix(",")
    try:
        if found := _RANGE.fullmatch(text):
            low, high = float(found[1] or -math.inf), float(found[2] or math.inf)
            return lambda value: low <= _number(value) <= high
        wanted, several = parse_value(text), [parse_value(item) for item in items.split(",")] if items else []
    except ConfigError as error:
        raise UsageError(f"--where {key}: {error}") from None
    except ValueError:
        raise UsageError(
            f"--where: the ends of a range must be numbers (got {shown(f'{key}={text}')})\n"
            f"hint: write for example --where {key}=0.1..0.5"
        ) from None
    return lambda value: value == several if isinstance(value, list) else _is_equal(value, wanted)


def _is_equal(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _number(value: Any) -> float:
    """Return a number, also that of a list such as ``[30]``, and NaN for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def order(rows: Sequence[Row], key: str, *, reverse: bool = False) -> list[Row]:
    """Return the rows in the order of a key: accuracies and ``started`` from the largest, others from the smallest.

    Numbers come before text, and rows without the key are last.

    Raises
    ------
    UsageError
        No row has the key.
    """
    _check_key("--sort", key, rows)
    known: list[tuple[Any, Row]] = []
    unknown: list[Row] = []
    for row in rows:
        value = next((value for value in row.values(key) if value is not None), None)
        if value is None:
            unknown.append(row)
        else:
            number = _number(value)
            known.append(((1, 0.0, str(value)) if math.isnan(number) else (0, number, ""), row))
    known.sort(key=lambda pair: pair[0], reverse=(key == "started" or key.endswith("accuracy")) != reverse)
    return [*(row for _, row in known), *unknown]


def _check_key(option: str, key: str, rows: Iterable[Row]) -> None:
    if key in COLUMNS or any(row.values(key) for row in rows):
        return
    from mlptrain.config.messages import hint  # imports pydantic

    names = dict.fromkeys(name for row in rows for name in (*COLUMNS, *row.config, *row.metrics))
    if names:
        raise UsageError(
            f"{option}: no run has the key {shown(key)}{hint(key, [*names])}\n"
            f"hint: use a config key, a metric of metrics.json, or {', '.join(COLUMNS)}"
        )


def differing_keys(rows: Iterable[Row]) -> list[str]:
    """Return the config keys in which the runs among the rows differ."""
    configs = [row.config for row in rows if row.kind == RUN and row.config]
    return differing(configs) if configs else []
