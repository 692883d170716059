"""YAML text as plain Python values, with the source line of each key.

PyYAML parses and composes. The values are built here from its nodes, because its own constructors read ``1e-3`` as
text, ``on`` as true and ``1:30`` as 90, forget the lines, keep the last of two equal keys, and expand aliases without
bound. Scalars follow the core schema of YAML 1.2. Only mappings, lists and scalars exist.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mlptrain.config.values import UNPRINTABLE, WORDS, put, shown
from mlptrain.errors import ConfigError
from mlptrain.system.files import reason

MAX_BYTES = 256 * 1024

MAX_DEPTH = 50
"""Levels of nested lists and mappings."""

MAX_VALUES = 10_000
"""Keys, values, lists and mappings of a document, with each alias counted as a copy."""

MAX_KEY_LENGTH = 100
"""Characters of a dotted key."""

MAX_NUMBER_LENGTH = 400
"""Characters of a number."""

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_INTEGER = re.compile(r"[-+]?[0-9]+")

_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")

_TAG = "tag:yaml.org,2002:"

_TYPES: dict[str, tuple[type, ...]] = {
    f"{_TAG}str": (str,),
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
    f"{_TAG}seq": (list,),
    f"{_TAG}map": (dict,),
}
"""Supported tags, each with the types of the values that may have it."""


class _Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """PyYAML's composer without implicit tags, except ``!!str`` for text in quotes."""

    def resolve(self, kind: type, value: object, implicit: Any) -> str | None:
        return None if kind is not yaml.ScalarNode or implicit[0] else f"{_TAG}str"


@dataclass(frozen=True)
class Document:
    """The values of a YAML file and the lines of its keys.

    ``lines`` maps dotted keys to lines, counted from 1. ``overridden`` contains the dotted keys whose values came from
    the command line instead.
    """

    source: str
    values: dict[str, Any]
    lines: dict[str, int]
    overridden: frozenset[str] = frozenset()

    def locate(self, key: str) -> tuple[str, int | None]:
        """Return source and line of a dotted key, or of the nearest key around it that was written."""
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            outer = ".".join(parts[:end])
            if outer in self.overridden:
                return "command line", None
            if outer in self.lines:
                return self.source, self.lines[outer]
        return self.source, None

    def where(self, key: str) -> str:
        """Return source and line of a dotted key for messages: ``configs/x.yaml:7`` or ``command line``."""
        source, line = self.locate(key)
        return source if line is None else f"{source}:{line}"


def read_yaml(path: Path, source: str | None = None) -> Document:
    """Read a YAML file whose top level is a mapping; an empty file has no keys.

    ``source`` names the file in messages, instead of its path.

    Raises
    ------
    ConfigError
        The file is missing, unreadable, too large, not UTF-8, or not the YAML described in this module.
    """
    source = source or str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file\nhint: check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a folder\nhint: give the path of a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {reason(error)}\nhint: check its permissions") from None
    except ValueError:
        raise ConfigError(f"{source!r}: invalid file name") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_BYTES // 1024} KiB\nhint: give the path of a YAML file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}:{line}: not UTF-8 text\nhint: save the file as UTF-8") from None
    return parse_yaml(text, source)


def read_saved(path: Path) -> dict[str, Any]:
    """Return the values of a config as mlptrain writes it, one key per line; of any other YAML as `read_yaml` does.

    A line is parsed once, however many files contain it, so that a thousand configs of runs take 0.1 s. The values are
    shared by these files: they must not be changed.

    Raises
    ------
    ConfigError
        The errors of `read_yaml`.
    """
    with suppress(OSError, ValueError):
        with path.open("rb") as stream:
            lines = stream.read(MAX_BYTES).decode().split("\n")
        entries = [_entry(line) for line in lines if line and not line.startswith("#")]
        values = dict(entries)
        if len(values) == len(entries):
            return values
    return read_yaml(path).values


@cache
def _entry(line: str) -> tuple[str, Any]:
    """Return the key and value of a line of a config.

    Raises
    ------
    ValueError
        The line does not begin at its edge, or is no YAML by itself: the file has another form.
    """
    try:
        ((key, value),) = {} if line[0].isspace() else parse_yaml(line, "").values.items()
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return key, value


def parse_yaml(text: str, source: str) -> Document:
    """Parse YAML text whose top level is a mapping; ``source`` names it in messages.

    Dotted keys mean nested ones: ``a.b: 1`` is ``a: {b: 1}``.

    Raises
    ------
    ConfigError
        The text is not the YAML described in this module, or exceeds its bounds.
    """
    builder = _Builder()
    try:
        root = _compose(text)
        values = None if root is None else builder.build(root)
        if root is not None and not isinstance(values, dict | None):
            kind = "a list" if isinstance(values, list) else shown(values)
            raise _Problem(root.start_mark.line + 1, f"expected keys and values such as 'epochs: 20' (got {kind})")
    except _Problem as problem:
        raise ConfigError(f"{source}:{problem.line}: {problem}") from None
    return Document(source, values or {}, builder.lines)


def parse_value(text: str) -> Any:
    """Parse one value as typed on a command line: ``1e-3``, ``null``, ``[15, 30]``, ``{name: cosine}``, text.

    Only ``[``, ``{`` and quotes start YAML; anything else is one scalar, so that paths need no quotes.

    Raises
    ------
    ConfigError
        The text is not the YAML described in this module, or exceeds its bounds.
    """
    text = text.strip()
    try:
        if text[:1] in ("[", "{", '"', "'"):
            return _Builder().build(_compose(text))
        _check_characters(text)
        return _scalar(text, 1)
    except _Problem as problem:
        raise ConfigError(f"{shown(text)}: {problem}") from None


class _Problem(Exception):
    """A message and its line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def _compose(text: str) -> Any:
    """Return the root node of the one document in ``text``, or None if it is empty; aliases are shared nodes."""
    if len(text) > MAX_BYTES:
        raise _Problem(1, f"longer than {MAX_BYTES // 1024} KiB")
    _check_characters(text)
    if directive := re.search("^%TAG", text, re.MULTILINE):
        raise _Problem(_line_at(text, directive.start()), "tag directives are not supported\nhint: remove '%TAG'")
    try:
        _check_events(text)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(error, text) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as chr() in the Python parser
        raise _Problem(1, f"not valid YAML: {error}".splitlines()[0]) from None


def _check_events(text: str) -> None:
    """Check the syntax that nodes no longer show, and the bounds before the document is composed, which recurses."""
    event: Any
    depth = count = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif documents > 1:
            raise _Problem(line, "a second document begins here\nhint: put each into a file of its own")
        if getattr(event, "tag", None) == "!":
            raise _Problem(line, "the tag '!' is not supported here\nhint: remove it")
        if isinstance(event, yaml.ScalarEvent) and UNPRINTABLE.search(event.value):  # written as an escape in quotes
            raise _Problem(
                line, f"the text {shown(event.value)} contains a character that is not allowed\nhint: remove it"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.NodeEvent)
        _check_bounds(depth, count, line)


def _check_bounds(depth: int, count: int, line: int) -> None:
    if depth > MAX_DEPTH:
        raise _Problem(line, f"nested more than {MAX_DEPTH} levels deep")
    if count > MAX_VALUES:
        raise _Problem(line, f"more than {MAX_VALUES} values, aliases expanded")


def _check_characters(text: str) -> None:
    if found := UNPRINTABLE.search(text):
        line = _line_at(text, found.start())
        raise _Problem(
            line, f"not valid YAML: the character U+{ord(found.group()):04X} is not allowed\nhint: remove it"
        )


def _line_at(text: str, position: int) -> int:
    return len(_LINE_BREAK.findall(text, 0, position)) + 1


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> _Problem:
    rows = _LINE_BREAK.split(text.rstrip())
    at = error.problem_mark or error.context_mark
    line = min(at.line + 1 if at else 1, len(rows))
    if "nesting depth" in (error.problem or ""):  # libyaml looks ahead and reaches its own bound first
        return _Problem(line, f"nested more than {MAX_DEPTH} levels deep")
    words = f"not valid YAML: {error.problem or 'cannot be read'}"
    if error.context and error.context_mark and error.context_mark.line + 1 < line:
        words += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    row = rows[line - 1]
    if "\t" in row[: len(row) - len(row.lstrip())]:
        words += "\nhint: indent with spaces, not tabs"
    return _Problem(line, words)


class _Builder:
    """A builder of plain values from nodes; ``lines`` are those of the keys so far. Every alias becomes a copy."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.count = 0

    def build(self, node: Any, path: str = "", depth: int = 1) -> Any:
        """Return the value of a node at ``path``, a dotted key with a dot at its end."""
        line = node.start_mark.line + 1
        self.count += 1
        # Again, because here aliases become copies and the dots of keys mappings.
        _check_bounds(depth - isinstance(node, yaml.ScalarNode), self.count, line)
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self.build(item, f"{path}{i}.", depth + 1) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            value = self.mapping(node, path, depth)
        else:
            value = node.value if node.tag == f"{_TAG}str" else _scalar(node.value, line)
        if node.tag is not None and type(value) not in _TYPES.get(node.tag, ()):
            raise _Problem(
                line, f"the tag {shown(node.tag.replace(_TAG, '!!'))} is not supported here\nhint: remove it"
            )
        return float(value) if node.tag == f"{_TAG}float" else value

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        entries = [(self.key(key), key.start_mark.line + 1, value) for key, value in node.value]
        values: dict[str, Any] = {key.partition(".")[0]: None for key, _, _ in entries}
        names: dict[str, int] = {}
        # Outer keys first, so that "schedule: cosine" may come before or after "schedule.warmup: 0.1".
        for key, line, item in sorted(entries, key=lambda entry: entry[0].count(".")):
            full, dots = path + key, key.count(".")
            if full in self.lines or key in names:
                first, second = sorted((line, self.lines.get(full) or names[key]))
                raise _Problem(second, f"duplicate key {shown(full)} (first on line {first})")
            self.lines[full] = line
            for end in range(1, dots + 1):
                self.lines.setdefault(path + key.rsplit(".", end)[0], line)
            self.count += dots  # each dot is a mapping
            value = self.build(item, f"{full}.", depth + 1 + dots)
            try:
                put(values, key, value)
            except ConfigError as error:
                raise _Problem(line, str(error)) from None
            if isinstance(value, str):
                names[f"{key}.name"] = line  # text with keys below it becomes {name: text}
        return values

    def key(self, node: Any) -> str:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            kind = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
            raise _Problem(line, f"a key must be text (got a {kind})")
        key = self.build(node, depth=0)
        if key == "<<" and node.tag is None:
            raise _Problem(line, "merge keys '<<' are not supported\nhint: write the keys out")
        if not isinstance(key, str):
            raise _Problem(line, f"a key must be text (got {shown(key)})\nhint: quote it")
        if ":" in key:
            raise _Problem(line, f"the key {shown(key)} contains a ':'\nhint: put a space after the ':'")
        if not all(key.split(".")):
            raise _Problem(line, f"the key {shown(key)} is empty before or after a dot" if key else "the key is empty")
        if len(key) > MAX_KEY_LENGTH:
            raise _Problem(line, f"the key {shown(key)} is longer than {MAX_KEY_LENGTH} characters")
        return key


def _scalar(text: str, line: int) -> Any:
    """Return the value of a plain scalar by the core schema of YAML 1.2 (section 10.3.2)."""
    if text in WORDS:
        return WORDS[text]
    if found := _INFINITY.fullmatch(text):
        return -math.inf if found.group(1) == "-" else math.inf
    integer, based, decimal = (kind.fullmatch(text) for kind in (_INTEGER, _BASED, _FLOAT))
    if not (based or decimal):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        raise _Problem(line, f"a number has more than {MAX_NUMBER_LENGTH} characters (got {len(text)})")
    if based:
        return int(text, 0)
    return int(text) if integer else float(text)
