from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from mlptrain.config.registry import DATASETS
from mlptrain.datasets.download import AttemptFailed, Event, FileProgress
from mlptrain.datasets.verify import FileState, Status
from mlptrain.reporting import download
from mlptrain.reporting.download import make_download_reporter
from tests.reporting import made

IMAGES = DATASETS["mnist"].files[0]

NAME = f"mnist/{IMAGES.name}"


def state(status: Status, size: int | None = 9_912_422, fault: str = "") -> FileState:
    return FileState("mnist", IMAGES, Path("x"), status, size, fault)


def arriving(received: int, size: int | None = 9_912_422) -> FileProgress:
    return FileProgress("mnist", IMAGES, received, size)


def failed(wait: float = 0.5, following: str = "http://127.0.0.1:80/") -> AttemptFailed:
    return AttemptFailed("mnist", IMAGES, "http://127.0.0.1:80/", "answers 503 Service Unavailable", following, wait)


def plain(*events: Event, quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    reporter = make_download_reporter(stream, quiet=quiet, no_color=False)
    for event in events:
        reporter.show(event)
    reporter.close()
    assert "\x1b" not in stream.getvalue()
    return stream.getvalue().splitlines()


def test_a_plain_line_per_file() -> None:
    lines = plain(
        arriving(0),
        arriving(5_000_000),
        arriving(9_912_422),
        state("fetched"),
        state("verified"),
        state("missing", None),
        state("damaged", 17, "17 bytes, expected 9,912,422"),
    )
    assert re.fullmatch(rf"{NAME}: 9\.9 MB in [\d.]+m?s \(\d+\.\d [MGT]B/s\), verified", lines[0])
    assert lines[1:] == [
        f"{NAME}: 9.9 MB, already there, verified",
        f"{NAME}: missing",
        f"{NAME}: damaged (17 bytes, expected 9,912,422)",
    ]


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        (failed(), "; trying again in 0.5 s"),
        (failed(0, "https://example.org/mnist/"), "; trying example.org"),
        (failed(2, "https://example.org/mnist/"), "; trying example.org in 2 s"),
    ],
)
def test_a_failed_try_names_the_reason_and_the_next_mirror(event: AttemptFailed, ending: str) -> None:
    assert plain(event) == [f"  127.0.0.1:80: answers 503 Service Unavailable{ending}"]


def test_a_copied_file_has_no_speed() -> None:
    assert plain(state("fetched")) == [f"{NAME}: 9.9 MB, verified"]


def test_control_characters_of_a_server_are_escaped() -> None:
    [line] = plain(AttemptFailed("mnist", IMAGES, "http://x/", "wrong Content-Range '\x1b[2J'", "http://x/", 0))
    assert r"\x1b[2J" in line


def test_quiet() -> None:
    assert plain(arriving(1), failed(), state("fetched"), quiet=True) == []


def live(columns: int, *events: Event, frames: int = 2) -> made.Terminal:
    """Show events on a terminal, which draws ``frames`` times after each `FileProgress`."""
    with made.terminal(columns, 10) as terminal:
        reporter = make_download_reporter(terminal.stream, quiet=False, no_color=False)
        for event in events:
            reporter.show(event)
            if isinstance(event, FileProgress):
                # The first of two frames may have been drawn before the event.
                wanted, limit = terminal.data.count(b"mnist/") + frames, time.monotonic() + 30
                while terminal.data.count(b"mnist/") < wanted and time.monotonic() < limit:
                    time.sleep(0.01)
        reporter.close()
        reporter.close()
    return terminal


def drawn(terminal: made.Terminal) -> list[str]:
    """Return every state of every line."""
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", terminal.data.decode())
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_the_terminal_at_the_end() -> None:
    terminal = live(
        80,
        arriving(0),
        arriving(4_000_000),
        failed(),
        arriving(9_000_000),
        state("fetched"),
        state("verified"),
    )
    lines = terminal.screen()
    assert [line.split(": ")[0] for line in lines] == ["  127.0.0.1:80", NAME, NAME, ""]
    assert re.fullmatch(rf"{NAME}: 9\.9 MB in [\d.]+m?s \(\d+\.\d MB/s\), verified", lines[1])
    assert terminal.cursor


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_the_bar_fits_the_window_and_is_removed(columns: int) -> None:
    terminal = live(columns, arriving(1), arriving(4_956_211), arriving(6_000_000))
    lines = drawn(terminal)
    text = "".join(lines)
    assert all(line.startswith("mnist/") for line in lines)
    assert ("━" in text, "s left" in text) == ((columns >= 80,) * 2)
    assert ("MB/s" in text) == (columns >= 60)
    assert "5.0/9.9 MB" in text
    assert not any(terminal.screen())
    assert 0 < terminal.longest <= columns and terminal.cursor


def test_a_long_name_of_unknown_size() -> None:
    fashion = DATASETS["fashion-mnist"].files[0]
    terminal = live(80, *(FileProgress("fashion-mnist", fashion, received, None) for received in (0, 10**6, 2 * 10**6)))
    assert any(re.search(r"^fashion-mnist/train-images-idx3-ubyte\.gz .*2\.0/\? MB", line) for line in drawn(terminal))


def test_a_stalled_download_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALLED_SECONDS", 0.1)
    assert any("no data for" in line for line in drawn(live(80, arriving(1000), frames=5)))


def test_the_terminal_is_restored_after_an_exception() -> None:
    with made.terminal(80, 10) as terminal:
        reporter = make_download_reporter(terminal.stream, quiet=False, no_color=False)
        with pytest.raises(KeyboardInterrupt):
            try:
                reporter.show(arriving(1000))
                raise KeyboardInterrupt
            finally:
                reporter.close()
    assert not any(terminal.screen())
    assert terminal.cursor
