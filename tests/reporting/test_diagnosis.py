from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlptrain.reporting.diagnosis import diagnosis_lines, render_diagnosis
from mlptrain.reporting.terminal import make_console
from mlptrain.runs.diagnosis import Diagnosis
from mlptrain.runs.finished import RunView


def rendered(view: RunView, encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n", write_through=True)
    render_diagnosis(view, make_console(stream))
    return raw.getvalue().decode(encoding).splitlines()


def viewed(tmp_path: Path, *found: Any) -> RunView:
    """Return the view of a run with a diagnosis of these fields."""
    view = SimpleNamespace(path=tmp_path, config_file=f"{tmp_path}/config.yaml", diagnosis=Diagnosis(*found))
    return cast(RunView, view)


LOW = ("rate_too_low", None, ("the loss fell by 0.1 → 0.09", "and still falls"), ("learning_rate=0.01",))


def test_the_case_its_evidence_and_the_command(tmp_path: Path) -> None:
    view = viewed(tmp_path, *LOW)
    lines = rendered(view)
    assert lines[0] == f"{view.path}: {view.diagnosis.title}"
    assert lines[1:3] == ["  • the loss fell by 0.1 → 0.09", "  • and still falls"]
    # one line however long the path, to be copied
    assert lines[3:] == ["try", f"  mlptrain train {view.path}/config.yaml learning_rate=0.01"]


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    lines = rendered(viewed(tmp_path, *LOW), "ascii")
    assert lines[2] == "  - and still falls" and all(line.isascii() for line in lines)


def test_nothing_to_change(tmp_path: Path) -> None:
    assert rendered(viewed(tmp_path, "healthy", None, ("both fall",), ()))[1:] == [
        "  • both fall",
        "nothing needs to change",
    ]


@pytest.mark.parametrize(
    ("case", "ending"),
    [("healthy", []), ("not_enough_epochs", []), ("overfitting", ["  mlptrain diagnose 'a b'"])],
)
def test_the_lines_at_the_end_of_training(case: str, ending: list[str]) -> None:
    found = Diagnosis(case, 3, (), ())
    assert diagnosis_lines(found, "a b") == [f"diagnosis: {found.title}", *ending]
