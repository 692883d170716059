"""YAML text as plain values: accepted text, refused text with its line, and the bounds."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mlptrain.config import yaml as yamlfile
from mlptrain.config.values import flow
from mlptrain.config.yaml import Document, parse_value, parse_yaml, read_yaml
from mlptrain.errors import ConfigError
from tests.made import processor_seconds_below


@pytest.fixture(params=["C", "Python"])
def either_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with libyaml and again with PyYAML's own parser."""
    if request.param == "C" and not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    if request.param == "Python":
        python = type("Python", (yaml.BaseLoader,), {"resolve": yamlfile._Loader.resolve})
        monkeypatch.setattr(yamlfile, "_Loader", python)
    return str(request.param)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def values(text: str) -> object:
    return parse_yaml(text, "x.yaml").values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("012", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-05-01", "2024-05-01"),
        ("on", "on"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("-.inf", -math.inf),
        (".Inf", math.inf),
        ("'1'", "1"),
        ('"null"', "null"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
        ("!!int 3", 3),
        ("!!bool true", True),
        ("!!null null", None),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
        ("٣", "٣"),
    ],
)
def test_scalars_follow_the_core_schema(either_loader: str, text: str, value: object) -> None:
    read = values(f"key: {text}\n")
    assert read == {"key": value}
    assert type(read["key"]) is type(value)


def test_nan() -> None:
    assert math.isnan(parse_value(".nan"))


def test_lines_of_all_keys(either_loader: str) -> None:
    document = parse_yaml("# comment\na: 1\n\nb:\n  c: {d: 2,\n      e: [1, 2]}\nf.g: 3\n", "x.yaml")
    assert document.values == {"a": 1, "b": {"c": {"d": 2, "e": [1, 2]}}, "f": {"g": 3}}
    assert document.lines == {"a": 2, "b": 4, "b.c": 5, "b.c.d": 5, "b.c.e": 6, "f": 7, "f.g": 7}
    assert document.where("b.c.e") == "x.yaml:6"
    assert document.where("b.c.missing.x") == "x.yaml:5"
    assert document.where("missing") == "x.yaml"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n", "null\n", "\ufeff"])
def test_an_empty_file_has_no_keys(either_loader: str, text: str) -> None:
    assert parse_yaml(text, "x.yaml") == Document("x.yaml", {}, {})


def test_anchors_and_aliases_give_separate_copies(either_loader: str) -> None:
    document = parse_yaml("a: &x {b: [1]}\nc: *x\nd: &y 2\ne: *y\n", "x.yaml")
    assert document.values == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 2, "e": 2}
    assert document.values["a"] is not document.values["c"]
    assert document.values["a"]["b"] is not document.values["c"]["b"]
    assert document.lines["c.b"] == 1


@pytest.mark.parametrize(
    "text", ["schedule: cosine\nschedule.warmup: 0.1\n", "schedule.warmup: 0.1\nschedule: cosine\n"]
)
def test_dotted_keys_join_a_name_in_either_order(text: str) -> None:
    assert values(text) == {"schedule": {"name": "cosine", "warmup": 0.1}}


def test_dotted_keys_join_a_mapping_and_keep_the_order() -> None:
    assert values("b.c: 1\na: 2\nb: {d: 3}\n") == {"a": 2, "b": {"c": 1, "d": 3}}
    assert list(values("b.c: 1\na: 2\n")) == ["b", "a"]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("learning_rate: 1\n\n\nlearning_rate: 2\n", 4, "duplicate key 'learning_rate' (first on line 1)"),
        ("a: {b: 1,\n b: 2}\n", 2, "duplicate key 'a.b' (first on line 1)"),
        ("a.b: 1\na: {b: 2}\n", 2, "duplicate key 'a.b' (first on line 1)"),
        ("a.b: 1\na.b: 2\n", 2, "duplicate key 'a.b' (first on line 1)"),
        ("'a': 1\na: 2\n", 2, "duplicate key 'a' (first on line 1)"),
        ("s: cosine\ns.name: step\n", 2, "duplicate key 's.name' (first on line 1)"),
        ("a: 3\na.b: 1\n", 2, "a.b: a is 3"),
        ("a: [3]\na.b: 1\n", 2, "a.b: a is [3]"),
        ("x: 1\n3: 2\n", 2, "a key must be text (got 3)"),
        ("~: 2\n", 1, "a key must be text (got null)"),
        ("[a]: 2\n", 1, "a key must be text (got a list)"),
        ("? {a: 1}\n: 2\n", 1, "a key must be text (got a mapping)"),
        ("'': 2\n", 1, "key is empty"),
        ("a..b: 2\n", 1, "'a..b' is empty before or after a dot"),
        ("a: {b:1}\n", 1, "'b:1' contains a ':'"),
        ("k" * 101 + ": 1\n", 1, "'" + "k" * 60 + "…' is longer than 100"),
        ("a: &x {b: 1}\n<<: *x\n", 2, "merge keys"),
        ("a: !!int x\n", 1, "'!!int'"),
        ("a: !!bool 'yes'\n", 1, "'!!bool'"),
        ("a:\n  !!python/name:os.system x\n", 2, "python/name:os.system"),
        ("a: ! 3\n", 1, "'!'"),
        ("a: !!map 3\n", 1, "'!!map'"),
        ("a: !mine [3]\n", 1, "'!mine'"),
        ("a: !!set {b}\n", 1, "'!!set'"),
        ("%TAG !x! y\n---\na: 1\n", 1, "'%TAG'"),
        ("a: 1\n---\nb: 1\n", 3, "second document"),
        ("- a\n", 1, "got a list"),
        ("# hm\nepochs 20\n", 2, "got 'epochs 20'"),
        ("a: &x [*x]\n", 1, "nested more than 50 levels"),
        ("a: *x\n", 1, "undefined alias"),
        ("a: &x 1\nb: &x 2\n", 2, "duplicate anchor"),
        ("a: 1\nb: \x07\n", 2, "U+0007"),
        ("a: 1\0\n", 1, "U+0000"),
        ("a: \udc80\n", 1, "U+DC80"),
        ('a: 1\nb: "\\0"\n', 2, "'\\x00'"),
        ("a: " + "9" * 5000, 1, "got 5000"),
    ],
)  # fmt: skip
def test_refused_text_is_named_with_its_line(either_loader: str, text: str, line: int, words: str) -> None:
    message = refusal(lambda: parse_yaml(text, "x.yaml"))
    assert message.startswith(f"x.yaml:{line}: ") and words in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: 'x\n", 1),
        ("a: 1\n b: 2\n", 2),
        ("a: b: c\n", 1),
        ("@a: 1", 1),
    ],
)
def test_syntax_errors_name_the_line(either_loader: str, text: str, line: int) -> None:
    message = refusal(lambda: parse_yaml(text, "x.yaml"))
    assert message.startswith(f"x.yaml:{line}: not valid YAML: ")
    assert "\n" not in message


def test_a_syntax_error_names_the_line_where_the_list_began() -> None:
    message = refusal(lambda: parse_yaml("a: 1\nb: [1,\n2\nc: 3\n", "x.yaml"))
    assert re.fullmatch(r"x.yaml:\d: not valid YAML: .* that begins on line 2\)", message)


def test_tabs_are_named(either_loader: str) -> None:
    message = refusal(lambda: parse_yaml("a:\n\tb: 1\n", "x.yaml"))
    assert message.startswith("x.yaml:2: not valid YAML: ")
    assert message.endswith("\nhint: indent with spaces, not tabs")


def test_escapes_beyond_unicode(either_loader: str) -> None:
    assert "not valid YAML" in refusal(lambda: parse_yaml('a: "\\UFFFFFFFF"', "x.yaml"))
    assert "not" in refusal(lambda: parse_yaml('a: "\\uD800"', "x.yaml"))


NINES = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(30))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested more than 50 levels deep"),
        ("a: " + "{a: " * 60_000, "nested more than 50 levels deep"),
        ("- " * 100_000, "nested more than 50 levels deep"),
        ("? " * 100_000, "nested more than 50 levels deep"),
        ("a0: &a0 []\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 9000)), "more than 10000 values"),
        (NINES, "more than 10000 values"),
        ("a: [" + "1," * 20_000 + "]", "more than 10000 values"),
        ("a: &a {" + ".".join("k" * 50) + ": 1}\nb: [" + "*a," * 9000 + "]", "nested more than 50"),
        ("a: &a {" + ".".join("k" * 40) + ": 1}\nb: [" + "*a," * 9000 + "]", "more than 10000 values"),
        ("".join(f"{'.'.join('k' * 45)}.k{i}: 1\n" for i in range(2000)), "more than 10000 values"),
        ("a: " + "x" * 300_000, "longer than 256 KiB"),
    ],
    ids=range(11),
)
def test_bombs_are_refused_at_once(either_loader: str, text: str, words: str) -> None:
    with processor_seconds_below(1):
        message = refusal(lambda: parse_yaml(text, "x.yaml"))
    assert words in message


def test_the_alias_bomb_takes_milliseconds() -> None:
    with processor_seconds_below(0.1):
        refusal(lambda: parse_yaml(NINES, "x.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "#" * 262_000,
        "a: " + "x" * 262_000,
        'a: "' + "\\x41" * 65_000 + '"',
        "a: |\n" + "  x\n" * 65_000,
        "a: >\n" + "  x\n" * 65_000,
        'a: "' + "x\n " * 80_000 + '"',
        "\n" * 262_000,
        "".join(f"k{i}: 1\n" for i in range(4_900)),
        "a: [" + "{a: 1}," * 3_000 + "]",
        "a: &a " + "x" * 200_000 + "\nb: [" + "*a," * 9_000 + "]",
    ],
    ids=range(10),
)
def test_large_texts_within_the_bounds_take_less_than_two_seconds(either_loader: str, text: str) -> None:
    with processor_seconds_below(2):
        parse_yaml(text, "x.yaml")


def test_fifty_levels_are_read(either_loader: str) -> None:
    text = "a: " + "[" * 49 + "1" + "]" * 49
    assert values(text)
    assert "nested more" in refusal(lambda: values("a: " + "[" * 50 + "]" * 50))


def test_read_yaml(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\nb: 2\r\n")
    assert read_yaml(path) == Document(str(path), {"a": "é", "b": 2}, {"a": 1, "b": 2})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    assert refusal(lambda: read_yaml(path)).startswith(f"{path}: no such file")
    assert refusal(lambda: read_yaml(tmp_path)).startswith(f"{tmp_path}: is a folder")
    path.write_bytes(b"a: 1\nb: \xff\n")
    assert refusal(lambda: read_yaml(path)).startswith(f"{path}:2: not UTF-8 text")
    path.write_bytes("a: 1".encode("utf-16"))
    assert "not UTF-8 text" in refusal(lambda: read_yaml(path))
    path.write_bytes(b"#" * 262_145)
    assert refusal(lambda: read_yaml(path)).startswith(f"{path}: larger than 256 KiB")
    assert refusal(lambda: read_yaml(path / "y.yaml")).startswith(f"{path}/y.yaml: cannot be read")
    assert "cannot be read" in refusal(lambda: read_yaml(tmp_path / ("x" * 500)))
    assert "invalid file name" in refusal(lambda: read_yaml(Path("a\0b")))


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refusal(lambda: read_yaml(Path("x.yaml"))).startswith("x.yaml: cannot be read: permission denied")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[15,30]", [15, 30]),
        ("1e-3", 0.001),
        ("null", None),
        (" relu ", "relu"),
        ("{name: cosine}", {"name": "cosine"}),
        ("{a.b: 1}", {"a": {"b": 1}}),
        ("[&x 1, *x]", [1, 1]),
        ("'1'", "1"),
        ("C: \\digits #1", "C: \\digits #1"),
        ("- 3", "- 3"),
        ("*a", "*a"),
        ("!!int 3", "!!int 3"),
        ("a: b", "a: b"),
        ("", None),
    ],
)
def test_values_on_the_command_line(either_loader: str, text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1,", "'[1,': not valid YAML: "),
        ("{a: 1, a: 2}", "'{a: 1, a: 2}': duplicate key 'a' (first on line 1)"),
        ("[1] 2", "'[1] 2': not valid YAML: "),
        ("[" * 500, "nested more than 50 levels deep"),
        ("a\x1b[31m", "'a\\x1b[31m': not valid YAML: the character U+001B"),
        ("9" * 401, "(got 401)"),
    ],
)
def test_values_refused_on_the_command_line(either_loader: str, text: str, words: str) -> None:
    message = refusal(lambda: parse_value(text))
    assert words in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "value",
    [
        [30, 15], {"name": "cosine", "warmup": 0.1}, [], {}, None, True,
        "null", "1", "on", "a b", "a: b", "#x", "é\u2028x\t\n\"'\\", "😀", "", " x ", "/a/b.c",
        1e-7, 1e300, 5e-324, 0.1 + 0.2, 10**20, -0.0, math.inf, -math.inf,
    ],
)  # fmt: skip
def test_flow_reads_back_equal(either_loader: str, value: object) -> None:
    read = parse_yaml(f"key: {flow(value)}\n", "x.yaml").values["key"]
    assert read == value
    assert type(read) is type(value)
    assert repr(read) == repr(value)


def test_random_text_raises_only_config_errors(either_loader: str) -> None:
    pick = random.Random(1)
    pieces = [
        *"[]{},:-?&*!|>'\"%@`#~<.=\n\t \\", "a", "a: ", "- ", "&x ", "*x", "!!int ", "\n  ", "1e-3", "...\n",
        "---\n", "<<: ", "\\u", "\\x41", "%YAML 1.1\n", "!<x>", "é", "\x85", "\u2028", "\ufeff", "😀",
    ]  # fmt: skip
    read = 0
    for _ in range(3000):
        text = "".join(pick.choices(pieces, k=pick.randrange(1, 30)))
        try:
            parse_yaml(text, "x.yaml")
            read += 1
        except ConfigError as error:
            assert str(error).count("\n") <= 1
            assert re.match(r"x\.yaml:\d+: ", str(error))
        try:
            parse_value(text)
        except ConfigError as error:
            assert str(error).count("\n") <= 1
    assert read
