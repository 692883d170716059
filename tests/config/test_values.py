"""Plain values: set by dotted key, compared, written as YAML and shown in messages."""

from __future__ import annotations

import pytest

from mlptrain.config.values import described, difference, differing, flat, flow, put, shown
from mlptrain.errors import ConfigError


def test_nested_keys_become_dotted() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


def test_the_difference_of_two_mappings() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 2}) == {}
    changed = difference({"a": 1, "b": [1], "d": 4}, {"a": 2, "b": [1], "c": None, "e": 5})
    assert changed == {"a": [1, 2], "e": [None, 5], "d": [4, None]}


def test_keys_that_differ_among_several_stay_in_order() -> None:
    assert differing([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 4}, {"a": 1, "b": 3, "c": 3, "d": 5}]) == [
        "b",
        "c",
        "d",
    ]
    assert differing([{"a": 1}]) == []


def test_a_difference_in_words_is_short() -> None:
    assert described({"a": [1, 2]}) == "a was 1 and is 2"
    assert described({key: [0, 1] for key in "abcde"}).endswith("c was 0 and is 1 (and 2 more)")


def test_put_refuses_a_number_as_parent() -> None:
    values: dict[str, object] = {"a": 3}
    with pytest.raises(ConfigError, match=r"^a\.b: a is 3"):
        put(values, "a.b", 1)


def test_flow_is_short() -> None:
    assert flow((30, 15)) == "[30, 15]"
    assert flow({"name": "cosine", "every": None}) == "{name: cosine, every: null}"


def test_shown_values_are_bounded_lines() -> None:
    vast = ["x\n" * 100_000] * 10_000
    assert shown([vast, {"a": vast}]).count("x") < 1000
    assert "\n" not in shown(vast)
    assert shown(list(range(9))) == "[0, 1, 2, 3, 4, 5, …]"
    assert shown({"a": {"b": {"c": 1}}}) == "{a: {b: {…}}}"
