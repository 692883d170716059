from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.reporting.plain import PlainReporter
from mlptrain.reporting.reporter import QuietReporter, make_console, make_reporter, show
from tests.reporting import made

RUN = """
import sys
from mlptrain.reporting.reporter import make_console, make_reporter
from tests.reporting import made
reporter = make_reporter(sys.stdout, quiet="quiet" in sys.argv, no_color=False)
reporter.start(made.start(2))
for number in (1, 2):
    reporter.progress(made.progress(number, 2))
    reporter.epoch(made.epoch(number, 2))
reporter.end(made.end(2))
reporter.close()
reporter.close()
if "console" in sys.argv:
    make_console(sys.stdout).print("plain", style="bold red")
"""


def piped(*arguments: str) -> bytes:
    forced = {
        **os.environ,
        "FORCE_COLOR": "1",
        "TTY_COMPATIBLE": "1",
        "TTY_INTERACTIVE": "1",
        "CLICOLOR_FORCE": "1",
        "TERM": "xterm",
    }
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.run(command, env=forced, cwd=root, capture_output=True, check=True).stdout


def test_no_escape_code_in_a_pipe_even_where_colour_is_forced() -> None:
    output = piped("console")
    assert b"Epoch 2/2" in output
    assert output.endswith(b"plain" + os.linesep.encode())
    assert b"\x1b" not in output
    assert b"\r" not in output.replace(b"\r\n", b"\n")


def test_quiet_prints_nothing() -> None:
    assert piped("quiet") == b""


@pytest.mark.parametrize("term", ["dumb", "DUMB", "unknown"])
def test_plain_on_a_dumb_terminal(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pty")
    monkeypatch.setenv("TERM", term)
    with made.terminal(80) as terminal:
        reporter = make_reporter(terminal.stream, quiet=False, no_color=False)
    assert isinstance(reporter, PlainReporter)


def test_plain_to_a_file() -> None:
    assert isinstance(make_reporter(io.StringIO(), quiet=False, no_color=False), PlainReporter)


def test_a_closed_pipe_is_the_callers_to_handle() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        make_console(Closed()).print("x")


def test_each_report_is_shown_by_the_method_of_its_kind() -> None:
    shown: list[str] = []

    class Noting(QuietReporter):
        def __getattribute__(self, name: str) -> object:
            return lambda report: shown.append(f"{name} {type(report).__name__}")

    for report in (made.start(2), made.progress(1, 2), made.epoch(1, 2), made.end(2)):
        show(Noting(), report)
    assert shown == ["start RunStart", "progress Progress", "epoch EpochReport", "end RunEnd"]


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert isinstance(make_reporter(stream, quiet=False, no_color=False), PlainReporter)
    assert isinstance(make_reporter(stream, quiet=True, no_color=False), QuietReporter)


def test_the_window_cannot_be_resized() -> None:
    with pytest.raises(AttributeError, match="the size that it has"):
        make_console(io.StringIO()).size = (10, 10)
