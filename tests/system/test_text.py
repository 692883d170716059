from __future__ import annotations

import ast
import io
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import mlptrain
from mlptrain.system.text import (
    can_print,
    csv_cell,
    csv_text,
    printable,
    printable_lines,
    shell_line,
    without_credentials,
    write_lines,
)

HOME = Path(mlptrain.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("runs/wide", "runs/wide"),
        ("Größe 漢字 😀 −η", "Größe 漢字 😀 −η"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\nb\r\tc\x7f", r"a\nb\r\tc\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("txt.\u202egnp", r"txt.\u202egnp"),
        ("\u2066\u200f\u200b\ufeff\u00a0\u2028", r"\u2066\u200f\u200b\ufeff\xa0\u2028"),
        ("\udcff\ue000\U000e0041", r"\udcff\ue000\U000e0041"),
    ],
    ids=["plain", "letters", "escape", "controls", "C1", "bidi", "invisible", "no character"],
)
def test_only_printable_characters_are_printed_as_they_are(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_lines_stay_lines_and_a_narrow_encoding_is_no_error() -> None:
    assert printable_lines("a\x1b\n\x85b\r\n", "ascii") == "a\\x1b\n\\x85b\\r\n"
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    write_lines(stream, "é\x1b[31m\nrun\udc80", "b")
    written = stream.buffer.getvalue()
    assert written == b"\\xe9\\x1b[31m\\nrun\\udc80\nb\n", "and the stream is flushed"
    assert can_print("é", None) and can_print("é", "latin-1") and not can_print("é", "ascii")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:word@host/a/: answers 503", "http://host/a/: answers 503"),
        ("http://user:w@r/d@host:80/", "http://host:80/"),
        ("https://token@host\nhttp://host/", "https://host\nhttp://host/"),
        ("a@b: no such file", "a@b: no such file"),
    ],
)
def test_addresses_are_shown_without_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "'=x", "''-", "'x", "x=1", "", "'", "a\nb"])
def test_cells_are_no_formulas_and_read_back_equal(text: str) -> None:
    cell = csv_cell(text)
    assert cell[:1] not in ("=", "+", "-", "@", "\t")
    assert csv_text(cell) == text
    assert (cell == text) == (text.lstrip("'")[:1] not in ("=", "+", "-", "@", "\t") or not text.lstrip("'"))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets that keep writes apart")
def test_a_message_of_several_lines_is_one_write() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        command = [sys.executable, "-m", "mlptrain", "config", "nowhere.yaml"]
        done = subprocess.run(command, stderr=theirs.fileno(), cwd=HOME.parent, check=False)
        ours.settimeout(5)
        message = ours.recv(1 << 16).decode()
    assert done.returncode == 2
    assert message.startswith("mlptrain: nowhere.yaml") and "\nhint: " in message and message.endswith("\n")


def test_nothing_else_writes_to_the_terminal() -> None:
    """Only `write_lines`, and the console that `reporting.terminal` makes safe, write to the standard streams."""
    found = set()
    for path in HOME.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name, arguments = ast.unparse(node.func), set(map(ast.unparse, node.args))
                unsafe = name in ("print", "Console") or name.endswith((".echo", "stdout.write", "stderr.write"))
                if unsafe or (name == "csv.writer" and arguments & {"sys.stdout", "sys.stderr"}):
                    found.add(f"{path.relative_to(HOME)}: {name}")
    assert found == set()


def test_commands_have_the_quotes_of_the_shells_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["mlptrain", "train", "runs\\a b\\config.yaml", "hidden=[30,10]", "lr=0.1", ""]
    assert shell_line(words) == shlex.join(words)
    monkeypatch.setattr("mlptrain.system.text.WINDOWS", True)
    assert shell_line(words) == r'mlptrain train "runs\a b\config.yaml" "hidden=[30,10]" lr=0.1 ""'
