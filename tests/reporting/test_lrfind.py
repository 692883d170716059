from __future__ import annotations

import io
from typing import Any

import pytest

from mlptrain.reporting.lrfind import render_range_test
from mlptrain.reporting.terminal import make_console
from mlptrain.training.lrfind import RangeTest

RATES = tuple(10.0**power for power in range(-6, 2))

FALLING = RangeTest(RATES, (2.3,) * 8, (2.3, 2.3, 2.3, 2.2, 2.0, 1.0, 0.5, 3.0), 0.1, True)


def drawn(result: RangeTest, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render_range_test(result, make_console(stream))
    stream.seek(0)
    return stream.read().splitlines()


def test_the_chart_has_axes_a_mark_and_the_suggestion() -> None:
    lines = drawn(FALLING)
    assert all(len(line) <= 80 for line in lines)
    ticks = next(line for line in lines if "1e-6" in line)
    assert [tick for tick in ticks.split() if tick.startswith("1e")] == [f"1e{power}" for power in range(-6, 1)]
    mark = next(line for line in lines if "▲" in line)
    assert mark.index("▲") == ticks.index("1e-1")
    assert "suggested learning_rate=0.1" in lines
    assert lines[-1].startswith("stopped at 10:")


def test_a_terminal_without_unicode() -> None:
    lines = drawn(FALLING, "ascii")
    assert any("^" in line for line in lines) and any("|" in line for line in lines)


@pytest.mark.parametrize("result", [RangeTest((1e-6,), (2.3,), (2.3,), None, True), RangeTest((), (), (), None, True)])
def test_a_loss_that_never_fell(result: Any) -> None:
    assert any("did not fall at any rate" in line for line in drawn(result))
