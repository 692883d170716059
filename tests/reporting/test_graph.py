from __future__ import annotations

import io
import re

import pytest

from mlptrain.graph.expression import MAX_DEPTH, parse
from mlptrain.graph.graph import GATES, backpropagate
from mlptrain.reporting.graph import render_passes
from mlptrain.reporting.terminal import make_console
from tests.reporting import made

NEURON = "1/(1 + exp(-(w0*x0 + w1*x1 + w2)))"


def rendered(expression: str, encoding: str = "utf-8", **values: float) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    render_passes(backpropagate(parse(expression), values), make_console(stream))
    stream.flush()
    return raw.getvalue().decode(encoding)


def neuron(encoding: str = "utf-8") -> str:
    return rendered(NEURON, encoding, w0=2, w1=-3, w2=-3, x0=-1, x1=-2)


def test_golden_page() -> None:
    assert neuron().splitlines() == [
        "node                                            value  gradient",
        "division  1/(1 + exp(-(w0*x0 + w1*x1 + w2)))   0.7311    1.0000",
        "├─ 1                                           1.0000    0.7311",
        "└─ sum  1 + exp(-(w0*x0 + w1*x1 + w2))         1.3679   -0.5344",
        "   ├─ 1                                        1.0000   -0.5344",
        "   └─ exp  exp(-(w0*x0 + w1*x1 + w2))          0.3679   -0.5344",
        "      └─ negation  -(w0*x0 + w1*x1 + w2)      -1.0000   -0.1966",
        "         └─ sum  w0*x0 + w1*x1 + w2            1.0000    0.1966",
        "            ├─ sum  w0*x0 + w1*x1              4.0000    0.1966",
        "            │  ├─ product  w0*x0              -2.0000    0.1966",
        "            │  │  ├─ w0                        2.0000   -0.1966",
        "            │  │  └─ x0                       -1.0000    0.3932",
        "            │  └─ product  w1*x1               6.0000    0.1966",
        "            │     ├─ w1                       -3.0000   -0.3932",
        "            │     └─ x1                       -2.0000   -0.5898",
        "            └─ w2                             -3.0000    0.1966",
        "",
        "the gradient is 1 at the output; from there back to the inputs:",
        "  division x/y gives x gradient / y, and y minus gradient * x / y**2",
        "  sum sends the gradient on, the same to each input",
        "  exp multiplies the gradient by its own output",
        "  negation changes the sign of the gradient",
        "  product swaps the inputs: each gets gradient * the other",
        "",
        "input  value  gradient",
        "w0         2   -0.1966",
        "x0        -1    0.3932",
        "w1        -3   -0.3932",
        "x1        -2   -0.5898",
        "w2        -3    0.1966",
    ]


def test_each_use_of_a_name_shows_its_share() -> None:
    assert rendered("x*x - 2*x", x=3).splitlines()[1:8] == [
        "difference  x*x - 2*x      3         1",
        "├─ product  x*x            9         1",
        "│  ├─ x                    3         3",
        "│  └─ x                    3         3",
        "└─ product  2*x            6        -1",
        "   ├─ 2                    2        -3",
        "   └─ x                    3        -2",
    ]
    assert rendered("x*x - 2*x", x=3).splitlines()[-3:] == [
        "input  value  gradient",
        "x          3         4  = 3 + 3 - 2",
        "a name is one node: its gradient is the sum over its uses",
    ]


def test_many_uses_are_counted() -> None:
    lines = rendered("+".join(["x*y"] * 12), x=0.123, y=1).splitlines()
    assert lines[-3:-1] == ["x      0.1230   12.0000  = 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1",
                            "y      1.0000    1.4760  (over 12 uses)"]  # fmt: skip
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_has_its_rule(gate: str) -> None:
    forms = {
        "sum": "a+b",
        "difference": "a-b",
        "product": "a*b",
        "division": "a/b",
        "power": "a**b",
        "negation": "-a+b",
    }
    lines = rendered(
        forms.get(gate, f"{gate}(a, b)" if gate in ("max", "min") else f"{gate}(a)+b"), a=2, b=3
    ).splitlines()
    assert f"  {gate} {GATES[gate].rule}" in lines
    assert max(map(len, lines)) <= 80


def test_numbers_of_every_size_stay_aligned() -> None:
    lines = rendered("x*y + z*1e-9", x=3e-7, y=1.5e12, z=0).splitlines()
    table = lines[: lines.index("")]
    assert len({len(line) for line in table}) == 1
    assert table[1].endswith("  450000.0000      1.0000")
    assert table[3].endswith("  3.0000e-07  1.5000e+12")
    assert table[6].endswith("       0.0000  1.0000e-09")


@pytest.mark.parametrize("levels", [13, 20, MAX_DEPTH - 1])
def test_deep_and_long_expressions_fit_80_columns(levels: int) -> None:
    deep = "x*123.456 + " * (levels - 1) + "x"
    lines = rendered(deep, x=-1234.5678).splitlines()
    table = lines[: lines.index("")]
    assert {len(line) for line in table} == {len(table[0])}
    assert max(map(len, lines)) <= 80
    assert table[1].startswith("sum  x*123.456 + x*123.456") and "…" in table[1]
    assert sum(bool(re.search(r"[ ├└─│]x   +", line)) for line in table) == levels


def test_without_unicode() -> None:
    page = neuron("ascii")
    assert page == neuron().replace("├─", "|-").replace("└─", "`-").replace("│", "|")
    page = rendered("σ" + " + 1.25" * 30, "ascii", σ=1)
    assert "..." in page and "\\u03c3" in page
    assert max(map(len, page.splitlines())) <= 80


def test_an_expression_without_gates() -> None:
    assert rendered("x", x=2).splitlines() == [
        "node  value  gradient",
        "x         2         1",
        "",
        "input  value  gradient",
        "x          2         1",
    ]
    assert rendered("2").splitlines() == ["node  value  gradient", "2         2         1"]


@pytest.mark.parametrize("no_color", [False, True])
def test_colour_can_be_turned_off(no_color: bool) -> None:
    pytest.importorskip("pty")
    with made.terminal(80, 24) as terminal:
        console = make_console(terminal.stream, no_color=no_color)
        render_passes(backpropagate(parse("x*y"), {"x": 1, "y": 2}), console)
    green, red = b"\x1b[32m", b"\x1b[31m"
    assert (green in terminal.data, red in terminal.data) == (not no_color, not no_color)


def test_a_narrow_window_cuts_expressions_but_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.reporting.terminal.window", lambda stream: (40, 24))
    table = neuron().split("\n\n")[0].splitlines()
    assert {len(line) for line in table} == {40}
    assert table[6].rstrip().endswith("-1.0000   -0.1966")
