from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.reporting.plain import PlainReporter
from mlptrain.reporting.run import QuietReporter, make_reporter, render_profile, show
from mlptrain.reporting.terminal import make_console
from mlptrain.training.reports import Profile
from tests.reporting import made

RUN = """
import sys
from mlptrain.reporting.terminal import make_console; from mlptrain.reporting.run import make_reporter
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
    assert shown == ["start RunStart", "progress Progress", "epoch EpochReport", "end Outcome"]


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert isinstance(make_reporter(stream, quiet=False, no_color=False), PlainReporter)
    assert isinstance(make_reporter(stream, quiet=True, no_color=False), QuietReporter)


def test_the_window_cannot_be_resized() -> None:
    with pytest.raises(AttributeError, match="the size that it has"):
        make_console(io.StringIO()).size = (10, 10)


def shown(profile: Profile) -> str:
    stream = io.StringIO()
    render_profile(profile, stream)
    return stream.getvalue()


def test_a_line_a_phase_and_the_share_of_the_peak():
    # 3e9 operations in 0.5 s of products, 6e9 a second; 2 s in all, so 1.5e9 of 12e9 a second.
    text = shown(Profile({"products": 0.5, "gather": 1.25, "the rest": 0.25}, 2.0, 3_000_000_000, 12e9))
    assert text.splitlines() == [
        "",
        "where 2.00 s of training went:",
        "  products          0.500 s   25%  ########",
        "  gather            1.250 s   62%  ###################",
        "  the rest          0.250 s   12%  ####",
        "matrix products ran at 6.0 GFLOP/s, 50% of the 12.0 of large ones",
        "on these threads; training as a whole reached 12% of that peak",
    ]


def test_nothing_trained():
    text = shown(Profile({"the rest": 0.0}, 0.0, 0, 1e9))
    assert "0%" in text and "GFLOP" not in text
    assert Profile({}, 0.0, 0, 1e9).share_of_peak == 0 == Profile({}, 0.0, 0, 1e9).speed
