"""YAML text to plain Python values, with the source line of each key.

PyYAML does the parsing; the values are built here from its events, because its own constructors read
``1e-3`` as text, ``on`` as true and ``1:30`` as 90, forget the lines, keep the last of two equal keys,
and recurse without bound. Scalars follow the core schema of YAML 1.2. Only maps, lists and scalars exist.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mlptrain.config.values import UNPRINTABLE, WORDS, put, shown
from mlptrain.errors import ConfigError
from mlptrain.system.files import reason

MAX_BYTES = 256 * 1024

MAX_DEPTH = 50

MAX_VALUES = 10_000

MAX_KEY = 100

MAX_NUMBER = 400

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_INTEGER = re.compile(r"[-+]?[0-9]+")

_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")

_TAG = "tag:yaml.org,2002:"

_SCALAR_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class Document:
    """The values of a YAML file and where its keys stand.

    ``lines`` maps dotted keys to lines, counted from 1; ``overridden`` holds the dotted keys whose value
    came from the command line instead.
    """

    source: str
    values: dict[str, Any]
    lines: dict[str, int]
    overridden: frozenset[str] = frozenset()

    def place(self, key: str) -> tuple[str, int | None]:
        """Source and line of a dotted key, or of the nearest key around it that was written down."""
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            outer = ".".join(parts[:end])
            if outer in self.overridden:
                return "command line", None
            if outer in self.lines:
                return self.source, self.lines[outer]
        return self.source, None

    def where(self, key: str) -> str:
        """The place of a dotted key as messages show it: ``configs/x.yaml:7`` or ``command line``."""
        source, line = self.place(key)
        return source if line is None else f"{source}:{line}"


def read_yaml(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping (an empty file holds no keys).

    Raises
    ------
    ConfigError
        The file is missing, unreadable, too large, not UTF-8, or not the YAML described in this module.
    """
    source = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{source}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a folder; name a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {reason(error)}") from None
    except ValueError:
        raise ConfigError(f"{source!r}: is not a file name") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source}: is larger than {MAX_BYTES // 1024} KiB; this is no config file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}:{line}: is not UTF-8 text; save the file as UTF-8") from None
    return parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> Document:
    """Parse YAML text whose top level is a mapping; ``source`` names it in messages.

    Dotted keys mean nested ones: ``a.b: 1`` is ``a: {b: 1}``.

    Raises
    ------
    ConfigError
        The text is not the YAML described in this module, or exceeds its bounds.
    """
    try:
        root = _compose(text)
        if root.kind == "list" or root.value is not None:
            what = "a list" if root.kind == "list" else shown(root.value)
            _refuse(root.line, f"expected keys and values such as 'epochs: 20', got {what}")
        lines: dict[str, int] = {}
        values = _build(root, "", 1, lines)
    except _Problem as problem:
        raise ConfigError(f"{source}:{problem.line}: {problem}") from None
    return Document(source, values or {}, lines)


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
            return _build(_compose(text), "", 1, {})
        _check_characters(text)
        return _resolve(text, 1)
    except _Problem as problem:
        raise ConfigError(f"{shown(text)}: {problem}") from None


class _Problem(Exception):
    """What is wrong, and on which line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def _refuse(line: int, text: str) -> NoReturn:
    raise _Problem(line, text)


@dataclass
class _Node:
    """A value with its line; ``size`` counts the values in it, ``height`` its levels, aliases expanded."""

    kind: str
    line: int
    value: Any = None
    items: list[_Node] = field(default_factory=list)
    keys: list[tuple[str, int]] = field(default_factory=list)
    size: int = 1
    height: int = 0


def _compose(text: str) -> _Node:
    """The one document in ``text`` as a tree of bounded depth and size, whose aliases are shared nodes."""
    if len(text) > MAX_BYTES:
        _refuse(1, f"the text is longer than {MAX_BYTES // 1024} KiB")
    _check_characters(text)
    if directive := re.search("^%TAG", text, re.MULTILINE):
        _refuse(_line_at(text, directive.start()), "tag directives are not supported; remove '%TAG'")
    composer = _Composer(_events(text))
    root = _Node("scalar", 1)
    for count, event in enumerate(composer.events):
        if count:
            _refuse(event.start_mark.line + 1, "a second document begins here; put one into each file")
        root = composer.node(event, 1)
    return root


def _check_characters(text: str) -> None:
    if found := UNPRINTABLE.search(text):
        line = _line_at(text, found.start())
        _refuse(line, f"not valid YAML: the character U+{ord(found.group()):04X} is not allowed; remove it")


def _line_at(text: str, position: int) -> int:
    return len(_LINE_BREAK.findall(text, 0, position)) + 1


def _events(text: str) -> Iterator[Any]:
    """PyYAML's events that carry values; they come as they are parsed, so the bounds act while reading."""
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
                yield event
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(error, text) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as chr() in the Python parser
        raise _Problem(1, f"not valid YAML: {error}".splitlines()[0]) from None


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> _Problem:
    rows = _LINE_BREAK.split(text.rstrip())
    at = error.problem_mark or error.context_mark
    line = min(at.line + 1 if at else 1, len(rows))
    if "nesting depth" in (error.problem or ""):  # libyaml looks ahead, and meets a bound of its own before ours
        return _Problem(line, f"nested more than {MAX_DEPTH} levels deep")
    words = f"not valid YAML: {error.problem or 'cannot be read'}"
    if error.context and error.context_mark and error.context_mark.line + 1 < line:
        words += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    row = rows[line - 1]
    if "\t" in row[: len(row) - len(row.lstrip())]:
        words += "; indent with spaces, not tabs"
    return _Problem(line, words)


class _Composer:
    """Builds nodes from events. PyYAML's own composer recurses before anybody can look at the depth."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.anchors: dict[str, _Node | None] = {}
        self.count = 0

    def node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self.alias(str(event.anchor), line, depth)
        self.descend(depth, 0 if isinstance(event, yaml.ScalarEvent) else 1, line)
        self.grow(1, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # open: an alias to it from inside would never end
        if isinstance(event, yaml.ScalarEvent):
            node = _Node("scalar", line, _scalar(event, line))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, line, depth)
        else:
            node = self.mapping(event, line, depth)
        node.size += sum(item.size for item in node.items)
        node.height += max((item.height for item in node.items), default=0)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, name: str, line: int, depth: int) -> _Node:
        if name not in self.anchors:
            _refuse(line, f"the alias {shown('*' + name)} has no anchor before it")
        node = self.anchors[name]
        if node is None:
            _refuse(line, f"the alias {shown('*' + name)} stands inside its own anchor")
        self.grow(node.size, line)
        self.descend(depth, node.height, line)
        return node

    def sequence(self, event: Any, line: int, depth: int) -> _Node:
        _check_tag(event.tag, "seq", line)
        node = _Node("list", line, height=1)
        while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
            node.items.append(self.node(inner, depth + 1))
        return node

    def mapping(self, event: Any, line: int, depth: int) -> _Node:
        _check_tag(event.tag, "map", line)
        node = _Node("map", line, height=1)
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            at = inner.start_mark.line + 1
            key = _checked_key(self.node(inner, depth + 1), inner, at)
            dots = key.count(".")
            node.keys.append((key, at))
            node.items.append(self.node(next(self.events), depth + 1 + dots))
            node.size += 1 + dots  # the key is a value too, and each dot stands for a mapping
            node.height = max(node.height, 1 + dots)
            self.grow(dots, at)
        return node

    def descend(self, depth: int, height: int, line: int) -> None:
        if depth + height - 1 > MAX_DEPTH:
            _refuse(line, f"nested more than {MAX_DEPTH} levels deep")

    def grow(self, size: int, line: int) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            _refuse(line, f"more than {MAX_VALUES} values, aliases expanded")


def _check_tag(tag: str | None, kind: str, line: int) -> None:
    if tag not in (None, "!", _TAG + kind):
        _refuse(line, f"the tag {shown(tag)} is not supported here; remove it")


def _scalar(event: Any, line: int) -> Any:
    tag, text = event.tag, event.value
    if UNPRINTABLE.search(text):  # written as an escape within quotes
        _refuse(line, f"the text {shown(text)} holds a character that is not allowed; remove it")
    if tag is None:
        return _resolve(text, line) if event.style in (None, "") else text
    name = tag.removeprefix(_TAG)
    if tag in ("!", _TAG + "str"):
        return text
    if name not in _SCALAR_TYPES or not tag.startswith(_TAG):
        _refuse(line, f"the tag {shown(tag)} is not supported here; remove it")
    value = _resolve(text, line)
    if type(value) not in _SCALAR_TYPES[name]:
        _refuse(line, f"{shown(text)} is not of the type that its tag !!{name} claims")
    return float(value) if name == "float" else value


def _resolve(text: str, line: int) -> Any:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2)."""
    if text in WORDS:
        return WORDS[text]
    if found := _INFINITY.fullmatch(text):
        return -math.inf if found.group(1) == "-" else math.inf
    integer, based, decimal = (kind.fullmatch(text) for kind in (_INTEGER, _BASED, _FLOAT))
    if not (based or decimal):
        return text
    if len(text) > MAX_NUMBER:
        _refuse(line, f"a number of {len(text)} characters; at most {MAX_NUMBER} are read")
    if based:
        return int(text, 0)
    return int(text) if integer else float(text)


def _checked_key(node: _Node, event: Any, line: int) -> str:
    key = node.value
    if node.kind == "scalar" and key == "<<" and getattr(event, "style", None) in (None, ""):
        _refuse(line, "merge keys '<<' are not supported; write the keys out")
    if not isinstance(key, str):
        what = f"got {shown(key)}" if node.kind == "scalar" else f"got a {node.kind}"
        _refuse(line, f"a key must be text ({what}); quote it if it is meant")
    if ":" in key:
        _refuse(line, f"the key {shown(key)} holds a ':'; put a space after the ':'")
    if not all(key.split(".")):
        _refuse(line, f"the key {shown(key)} is empty before or after a dot" if key else "the key is empty")
    if len(key) > MAX_KEY:
        _refuse(line, f"the key {shown(key)} is longer than {MAX_KEY} characters")
    return key


def _build(node: _Node, path: str, depth: int, lines: dict[str, int]) -> Any:
    """The plain value of a node; every alias becomes a copy. Adds the lines of the keys below ``path``."""
    if node.kind == "scalar":
        return node.value
    if node.kind == "list":
        return [_build(item, f"{path}{i}.", depth + 1, lines) for i, item in enumerate(node.items)]
    values: dict[str, Any] = {key.partition(".")[0]: None for key, _ in node.keys}
    names: dict[str, int] = {}
    entries = zip(node.keys, node.items, strict=True)
    # outer keys first, so that "schedule: cosine" may stand before or after "schedule.warmup: 0.1"
    for (key, line), item in sorted(entries, key=lambda entry: entry[0][0].count(".")):
        full = path + key
        if full in lines or key in names:
            first, second = sorted((line, lines.get(full) or names[key]))
            _refuse(second, f"duplicate key {shown(full)} (first on line {first})")
        lines[full] = line
        for end in range(1, key.count(".") + 1):
            lines.setdefault(path + key.rsplit(".", end)[0], line)
        value = _build(item, f"{full}.", depth + 1 + key.count("."), lines)
        try:
            put(values, key, value)
        except ConfigError as error:
            raise _Problem(line, str(error)) from None
        if isinstance(value, str):
            names[f"{key}.name"] = line  # text with keys below it becomes {name: text}
    return values
