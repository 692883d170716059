from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from mlptrain.config.registry import DATASETS
from mlptrain.datasets.download import Arriving, Event, TryFailed
from mlptrain.datasets.verify import FileState, Status
from mlptrain.reporting import download as transfers
from mlptrain.reporting.download import Pace, make_transfers
from tests.reporting import made

IMAGES, LABELS = DATASETS["mnist"].files[:2]

FASHION = DATASETS["fashion-mnist"].files[0]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def state(status: Status, size: int | None = 9_912_422, fault: str = "") -> FileState:
    return FileState("mnist", IMAGES, Path("x"), status, size, fault)


def arriving(received: int, size: int | None = 9_912_422) -> Arriving:
    return Arriving("mnist", IMAGES, received, size)


def failed(wait: float = 0.5, following: str = "http://127.0.0.1:80/") -> TryFailed:
    return TryFailed("mnist", IMAGES, "http://127.0.0.1:80/", "answers 503 Service Unavailable", following, wait)


def plain(*events: Event) -> list[str]:
    stream = io.StringIO()
    reporter = make_transfers(stream, quiet=False, no_color=False)
    for event in events:
        reporter.show(event)
    reporter.close()
    assert "\x1b" not in stream.getvalue()
    return stream.getvalue().splitlines()


def test_a_plain_line_a_file() -> None:
    lines = plain(
        arriving(0),
        arriving(5_000_000),
        arriving(9_912_422),
        state("fetched"),
        state("verified"),
        state("missing", None),
        state("damaged", 17, "17 bytes, expected 9,912,422"),
    )
    name = "mnist/train-images-idx3-ubyte.gz"
    assert re.fullmatch(rf"{name}: 9\.9 MB in \d+ms \(\d+\.\d [MGT]B/s\), verified", lines[0])
    assert lines[1:] == [
        f"{name}: 9.9 MB, there and verified",
        f"{name}: missing",
        f"{name}: damaged (17 bytes, expected 9,912,422)",
    ]


def test_a_plain_line_a_failed_try() -> None:
    assert plain(failed(), failed(0, "https://example.org/mnist/"), failed(2, "https://example.org/mnist/")) == [
        "  127.0.0.1:80: answers 503 Service Unavailable; trying again in 0.5 s",
        "  127.0.0.1:80: answers 503 Service Unavailable; trying example.org",
        "  127.0.0.1:80: answers 503 Service Unavailable; trying example.org in 2 s",
    ]


def test_a_copied_file_has_no_pace() -> None:
    assert plain(state("fetched"))[0].endswith(": 9.9 MB, verified")


def test_control_characters_of_a_server_are_escaped() -> None:
    told = TryFailed("mnist", IMAGES, "http://x/", "wrong Content-Range '\x1b[2J'", "http://x/", 0)
    assert r"\x1b[2J" in plain(told)[0]


def test_quiet() -> None:
    stream = io.StringIO()
    reporter = make_transfers(stream, quiet=True, no_color=False)
    for event in (arriving(1), failed(), state("fetched")):
        reporter.show(event)
    reporter.say(["done"])
    reporter.close()
    assert stream.getvalue() == ""


def test_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(100.0)
    assert pace.rate() == 0
    pace.add(101.0, 1000)
    assert pace.rate() == 1000
    for second in range(2, 12):
        pace.add(100.0 + second, 1000 + 500 * (second - 1))
    assert pace.rate() == 500
    assert pace.stalled(114.0) == 3.0
    pace.add(112.0, 100)  # started again
    assert pace.rate() == 0
    pace.add(114.0, 4100)
    assert pace.rate() == 2000


@pytest.mark.parametrize(
    ("current", "seconds", "fields"),
    [
        (arriving(4_956_211), 2.0, ["5.0/9.9 MB", "  2.5 MB/s", "ETA 2s   "]),
        (arriving(0), 0.0, ["0.0/9.9 MB"]),
        (arriving(4_956_211, None), 2.0, ["5.0 MB", "  2.5 MB/s"]),
        (Arriving("mnist", LABELS, 900, 28_881), 0.001, [" 0.9/28.9 kB", "900.0 kB/s", "ETA 0s   "]),
        (Arriving("mnist", LABELS, 90, 542), 1.0, [" 90/542 bytes", "90 bytes/s", "ETA 5s   "]),
    ],
)
def test_fields(current: Arriving, seconds: float, fields: list[str]) -> None:
    pace = Pace(10.0)
    pace.add(10.0 + seconds, current.received)
    assert transfers._fields(current, pace, 10.5 + seconds) == fields


def test_fields_where_nothing_comes() -> None:
    pace = Pace(10.0)
    pace.add(11.0, 4_956_211)
    assert transfers._fields(arriving(4_956_211), pace, 23.4) == ["no data for 12s", "5.0/9.9 MB"]


def live(columns: int, *events: Event, pause: float = 0.0, close: bool = True) -> made.Terminal:
    with made.terminal(columns, 10) as terminal:
        reporter = make_transfers(terminal.stream, quiet=False, no_color=False)
        for event in events:
            reporter.show(event)
            if isinstance(event, Arriving):
                time.sleep(pause)
        if close:
            reporter.say(["MNIST: 4 files verified"])
        reporter.close()
        reporter.close()
    return terminal


def test_what_stands_on_the_terminal_in_the_end() -> None:
    terminal = live(
        80,
        arriving(0),
        arriving(4_000_000),
        failed(),
        arriving(9_000_000),
        state("fetched"),
        state("verified"),
        pause=0.2,
    )
    lines = terminal.screen()
    assert lines[0] == "  127.0.0.1:80: answers 503 Service Unavailable; trying again in 0.5 s"
    assert re.fullmatch(r"mnist/train-images-idx3-ubyte\.gz: 9\.9 MB in \d+ms \(\d+\.\d MB/s\), verified", lines[1])
    assert lines[2:] == [
        "mnist/train-images-idx3-ubyte.gz: 9.9 MB, there and verified",
        "MNIST: 4 files verified",
        "",
    ]
    assert terminal.cursor


@pytest.mark.parametrize("columns", [20, 40, 50, 80, 200])
def test_the_moving_line_fits_the_window(columns: int) -> None:
    terminal = live(columns, arriving(1), arriving(4_000_000), arriving(5_000_000), pause=0.2, close=False)
    drawn = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", terminal.data.decode())
    moving = [part for part in re.split(r"[\r\n]+", drawn) if part.startswith("mnist/")]
    assert len(moving) >= 2
    assert max(map(len, moving)) <= columns
    assert ("━" in drawn) == (columns >= 80)
    assert ("ETA" in drawn) == (columns >= 80)
    assert ("MB/s" in drawn) == (columns >= 80)
    assert ("/9.9 MB" in drawn) == (columns >= 50)
    assert not any(terminal.screen()), "it is gone in the end"
    assert terminal.cursor


def test_the_bar_and_the_times_at_80_columns() -> None:
    terminal = live(80, arriving(0), arriving(4_956_211), pause=0.3, close=False)
    drawn = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", terminal.data.decode())
    line = next(part for part in re.split(r"[\r\n]+", drawn) if "ETA" in part)
    assert re.fullmatch(
        r"mnist/train-images-idx3-ubyte\.gz  ━{4,7}─{4,7}  5\.0/9\.9 MB +\d+\.\d MB/s  ETA \ds +", line
    ), line


def test_a_long_name_without_known_size() -> None:
    events = [Arriving("fashion-mnist", FASHION, received, None) for received in (0, 10**6, 2 * 10**6)]
    drawn = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", live(80, *events, pause=0.2, close=False).data.decode())
    assert re.search(r"fashion-mnist/train-images-idx3-ubyte\.gz  2\.0 MB  +\d+\.\d MB/s\s", drawn)


def test_the_terminal_is_given_back_after_an_exception() -> None:
    with made.terminal(80, 10) as terminal:
        reporter = make_transfers(terminal.stream, quiet=False, no_color=False)
        with pytest.raises(KeyboardInterrupt):
            try:
                reporter.show(arriving(1000))
                raise KeyboardInterrupt
            finally:
                reporter.close()
    assert not any(terminal.screen())
    assert terminal.cursor
