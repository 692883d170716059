"""``KEY=VALUE`` arguments: grammar, refusals, and what they do to a document."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlptrain.config.overrides import merge, parse_overrides
from mlptrain.config.yaml import Document, parse_yaml
from mlptrain.errors import ConfigError


def merged(text: str, *arguments: str) -> Document:
    return merge(parse_yaml(text, "x.yaml"), parse_overrides(arguments))


def refusal(*arguments: str, text: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        merged(text, *arguments)
    return str(caught.value)


def test_values_stay_flat_and_in_order() -> None:
    overrides = parse_overrides(["hidden=[15,30]", "learning_rate=1e-3", "schedule.name=step", "subset=null"])
    assert overrides.values == {
        "hidden": [15, 30],
        "learning_rate": 0.001,
        "schedule.name": "step",
        "subset": None,
    }
    assert overrides.source == "command line"


@pytest.mark.parametrize(
    ("text", "value"),
    [("64,32", [64, 32]), ("64,", [64]), (",", []), (" 1e-3 , x ", [0.001, "x"]), ("[4]", [4]), ("4", 4)],
)
def test_lists_need_no_brackets(text: str, value: Any) -> None:
    assert parse_overrides([f"hidden={text}", "dataset=a,b"], ["hidden"]).values == {"hidden": value, "dataset": "a,b"}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["hidden=[64,", "32]"], "write hidden=64,32"),
        (["epochs=5", "hidden=64,", "32", "seed=1"], "write hidden=64,32"),
        (["augment={shift:", "2,", "rotate:", "15}"], "put it in quotes: 'augment={shift: 2, rotate: 15}'"),
        (["hidden=[64,", "'32']"], "put the argument in quotes"),
        (["dataset=[a,", "b]"], "put it in quotes: 'dataset=[a, b]'"),
    ],
)
def test_an_argument_that_spaces_divide_gets_a_hint(arguments: list[str], hint: str) -> None:
    with pytest.raises(ConfigError, match=f"\nhint: {re.escape(hint)}$"):
        parse_overrides(arguments, ["hidden"])


def test_only_the_first_equals_sign_divides() -> None:
    assert parse_overrides(["dataset=a=b"]).values == {"dataset": "a=b"}


EXAMPLE = "is not KEY=VALUE"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learning_rate"], f"command line: 'learning_rate' {EXAMPLE}"),
        (["=3"], f"command line: '=3' {EXAMPLE}"),
        ([""], f"command line: '' {EXAMPLE}"),
        (["="], f"command line: '=' {EXAMPLE}"),
        ([".a=3"], f"command line: '.a=3' {EXAMPLE}"),
        (["a..b=3"], f"command line: 'a..b=3' {EXAMPLE}"),
        (["a\x1b=3"], f"command line: 'a\\x1b=3' {EXAMPLE}"),
        (["seed="], "command line: 'seed=' has no value"),
        (["seed=1", "seed=2"], "command line: duplicate key 'seed'"),
        (["a={b: 1}", "a.b=2"], "command line: duplicate key 'a.b'"),
        (["a.b=2", "a={b: 1}"], "command line: duplicate key 'a.b'"),
        (["a=cosine", "a.name=step"], "command line: duplicate key 'a.name'"),
        (["a=3", "a.b=1"], "command line: a.b: a is 3"),
        (["hidden=[15,30"], "command line: hidden: '[15,30': not valid YAML: "),
        (["a={b: 1, b: 2}"], "command line: a: '{b: 1, b: 2}': duplicate key 'b' (first on line 1)"),
        (["a b\n=[1"], "command line: 'a b': '[1': not valid YAML: "),
        (["a={name:cosine}"], "command line: a: '{name:cosine}': the key 'name:cosine' contains a ':'"),
    ],
)
def test_refusals(arguments: list[str], message: str) -> None:
    assert refusal(*arguments).startswith(message)


def test_an_override_replaces_the_whole_value() -> None:
    document = merged("hidden: [30, 20]\nschedule: {name: step, every: 9}\n", "hidden=[5]", "schedule=cosine")
    assert document.values == {"hidden": [5], "schedule": "cosine"}
    assert document.where("schedule.every") == "command line"


@pytest.mark.parametrize("text", ["", "a: null\n", "a:\n", "a: {}\n"])
def test_a_dotted_key_creates_its_parents(text: str) -> None:
    assert merged(text, "a.b.c=1", "a.d=2").values == {"a": {"b": {"c": 1}, "d": 2}}


def test_a_dotted_key_joins_a_name() -> None:
    expected = {"schedule": {"name": "cosine", "warmup": 0.1}}
    assert merged("schedule: cosine\n", "schedule.warmup=0.1").values == expected
    assert merged("", "schedule=cosine", "schedule.warmup=0.1").values == expected
    assert merged("", "schedule.warmup=0.1", "schedule=cosine").values == expected
    assert merged("schedule: cosine\n", "schedule.name=step").values == {"schedule": {"name": "step"}}


def test_a_list_has_no_keys() -> None:
    message = refusal("hidden.x=1", text="hidden: [30]\n")
    assert message.startswith("command line: hidden.x: hidden is [30]")


def test_each_key_has_its_source() -> None:
    document = merged("a: 1\nb: {c: 2, d: 3}\n", "b.c=5", "e.f=6")
    assert document.values == {"a": 1, "b": {"c": 5, "d": 3}, "e": {"f": 6}}
    assert [document.where(key) for key in ("a", "b", "b.c", "b.d", "b.x", "e", "e.f", "e.x")] == [
        "x.yaml:1",
        "x.yaml:2",
        "command line",
        "x.yaml:2",
        "x.yaml:2",
        "command line",
        "command line",
        "command line",
    ]


def test_merging_changes_neither_side() -> None:
    document = parse_yaml("a: {b: [1]}\n", "x.yaml")
    overrides = parse_overrides(["c=[2]", "a.d=3"])
    result = merge(document, overrides)
    result.values["c"].append(9)
    result.values["a"]["b"].append(9)
    assert document == parse_yaml("a: {b: [1]}\n", "x.yaml")
    assert overrides.values == {"c": [2], "a.d": 3}
