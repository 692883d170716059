from __future__ import annotations

import io

import numpy as np
import pytest

from mlptrain.reporting.digit import draw
from mlptrain.reporting.terminal import make_console
from tests.reporting import made

IMAGE = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0.2, 0, 0]])


@pytest.mark.parametrize(("encoding", "lines"), [("utf-8", [" ▀█▄", "▀   "]), ("ascii", [" =@=", "=.  "])])
def test_half_blocks_and_ascii(encoding: str, lines: list[str]) -> None:
    console = make_console(io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert [line.plain for line in draw(IMAGE, console)] == lines


def test_shades_keep_the_digit_readable() -> None:
    pytest.importorskip("pty")
    with made.terminal(80) as terminal:
        console = make_console(terminal.stream)
        for line in draw(IMAGE, console):
            console.print(line)
    assert terminal.screen()[:2] == [" ▀█▄", "▀▀"]
    assert b"48;5;" in terminal.data
