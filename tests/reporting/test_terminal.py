from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.reporting.terminal import (
    is_terminal,
    line_chart,
    make_console,
    print_line,
    print_phrases,
    progress_bar,
    sparkline,
)
from tests.reporting import made

FORCED = {
    "FORCE_COLOR": "1",
    "TTY_COMPATIBLE": "1",
    "TTY_INTERACTIVE": "1",
    "CLICOLOR_FORCE": "1",
    "TERM": "xterm",
}


def test_no_escape_code_in_a_pipe_even_if_colour_is_forced() -> None:
    code = (
        "import sys; from mlptrain.reporting.terminal import *; make_console(sys.stdout).print('x', style='bold red')"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **FORCED}, cwd=root, capture_output=True, check=True)
    assert done.stdout == b"x" + os.linesep.encode()


@pytest.mark.parametrize(
    ("term", "pager", "moves"),
    [
        ("xterm", "cat", True),
        ("xterm-color", "less", True),
        ("dumb", "", False),
        ("DUMB", "", False),
        ("unknown", "", False),
        ("xterm-color", "cat", False),  # as a notebook sets them
    ],
)
def test_a_terminal_can_move_its_cursor(term: str, pager: str, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pty")
    with made.terminal(80) as terminal:
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("GIT_PAGER", pager)
        assert is_terminal(terminal.stream) == moves


def test_a_closed_stream_and_none_are_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not is_terminal(stream) and not is_terminal(None)


def test_a_closed_pipe_raises_an_error_for_the_caller() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        make_console(Closed()).print("x")


def test_the_window_cannot_be_resized() -> None:
    with pytest.raises(AttributeError, match="cannot be set"):
        make_console(io.StringIO()).size = (10, 10)


@pytest.mark.parametrize(("encoding", "ending"), [("utf-8", "…"), ("ascii", "x")])
def test_lines_are_cut_at_the_window_and_phrases_wrapped(encoding: str, ending: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = make_console(stream)
    print_line(console, "x" * 200)
    print_line(console, "y" * 200, cut=False)
    print_phrases(console, ["p" * 50] * 3)
    stream.seek(0)
    lines = stream.read().splitlines()
    assert len(lines[0]) == 80 and lines[0].endswith(ending)
    assert lines[1] == "y" * 200
    assert [line.strip(" ,") for line in lines[2:]] == ["p" * 50] * 3


def test_progress_bars() -> None:
    assert progress_bar(1, 4, 8, "utf-8").plain == "━━──────"
    assert progress_bar(5, 4, 4, "ascii").plain == "===="
    assert progress_bar(0, 4, 4, "ascii").plain == "...."


def test_a_falling_line_in_ascii() -> None:
    assert line_chart([0, 1, 2], [2, 1, 0], 3, 3, braille=False) == ["*  ", " * ", "  *"]


def test_points_are_joined() -> None:
    assert line_chart([0, 2], [0, 4], 3, 5, braille=False) == ["  *", "  *", " * ", "*  ", "*  "]


def test_a_character_holds_two_by_four_dots() -> None:
    # A line from the lower left to the upper right of one cell: dots 7, 3, 5, 4 of braille.
    assert line_chart([0, 1], [0, 3], 1, 1) == ["⡜"]


def test_flat_and_single() -> None:
    assert line_chart([1, 2], [5, 5], 4, 2, braille=False)[0] == "****"
    assert line_chart([1], [5], 2, 1, braille=False) == ["* "]


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([5.0, float("nan"), 5.0], 9) == "▁ ▁"
    assert sparkline([float("inf")], 9) == " "


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_only_styles_of_the_console_become_escape_codes(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    with made.terminal(80) as terminal:
        make_console(terminal.stream).print("[red]x[/red]\x1b[2J\x9b31m\u202e", style="red")
    assert b"[red]x[/red]\\x1b[2J\\x9b31m\\u202e" in terminal.data
    assert terminal.data.count(b"\x1b") == (0 if term == "dumb" else 2)
