from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlptrain.cli import exercise as command
from mlptrain.exercises.kinds import KINDS, make_exercise
from mlptrain.exercises.progress import read_progress
from tests.cli.conftest import Command, Result

PROGRAMS = ("backward", "update-rule", "loss")
NUMBERS = [name for name in KINDS if name not in PROGRAMS]


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def at_terminal(mlptrain: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command in a terminal in which lines are typed."""
    monkeypatch.setattr(command, "is_terminal", lambda stream: True)

    def run(lines: Any, *arguments: Any) -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return mlptrain("exercise", *arguments)

    return run


def stated(kind: str, seed: str) -> list[str]:
    return [item.stated for item in make_exercise(kind, seed).items]


def test_the_kinds_are_listed_with_progress(mlptrain: Command, at_terminal: Callable[..., Result]) -> None:
    shown = mlptrain("exercise")
    assert shown.code == 0 and all(name in shown.out for name in KINDS)
    at_terminal(stated("neuron", "1"), "neuron")
    at_terminal(stated("neuron", "2")[:3], "neuron")
    assert "1 solved; seed 2: 3 of 8" in mlptrain("exercise").out
    assert max(map(len, mlptrain("exercise").out.splitlines())) <= 80
    entries = {each["exercise"]: each for each in json.loads(mlptrain("exercise", "--json").out)["exercises"]}
    assert list(entries) == list(KINDS) and entries["counting"]["last"] is None
    assert entries["neuron"]["solved"] == ["1"]
    assert entries["neuron"]["last"] == {"seed": "2", "correct": 3, "total": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_a_printed_solution_is_graded_as_correct(kind: str, mlptrain: Command) -> None:
    program = kind in PROGRAMS
    file = Path("answers.py" if program else "answers.yaml")
    file.write_text(mlptrain("exercise", kind, "--seed", "s1", "--solution", *["--hint"] * 3).out)
    result = mlptrain("exercise", kind, "--seed", "s1", "--answers", file, "--json")
    assert result.code == 0, result.err
    grade = json.loads(result.out)
    ids = [item.id for item in make_exercise(kind, "s1").items]
    assert grade == {
        "exercise": kind,
        "seed": "s1",
        "correct": len(ids),
        "total": len(ids),
        "passed": True,
        "items": [{"id": name, "correct": True} for name in ids],
    }
    assert read_progress() == {}, "grading the answers of others is no progress"


@pytest.mark.parametrize("kind", NUMBERS)
def test_the_printed_questions_are_a_file_without_answers(kind: str, mlptrain: Command) -> None:
    printed = mlptrain("exercise", kind, "--seed", "7")
    assert printed.code == 0 and printed.err == "" and "--answers" in printed.out
    Path("sheet.yaml").write_text(printed.out)
    result = mlptrain("exercise", kind, "--seed", "7", "--answers", "sheet.yaml", "--json")
    assert result.code == 5 and json.loads(result.out)["correct"] == 0


def test_wrong_and_missing_answers_are_exit_5(mlptrain: Command) -> None:
    right = stated("two-layer", "7")
    Path("a.yaml").write_text(f"z1: {right[0]}\nz2: 1000\n")
    result = mlptrain("exercise", "two-layer", "--seed", "7", "--answers", "a.yaml", "--json")
    grade = json.loads(result.out)
    assert (result.code, grade["correct"], grade["passed"]) == (5, 1, False)
    assert [item["correct"] for item in grade["items"]] == [True, *[False] * 12]
    shown = mlptrain("exercise", "two-layer", "--seed", "7", "--answers", "a.yaml")
    assert shown.code == 5 and "1 of 13 correct" in shown.out and "no answer" in shown.out


def test_fractions_are_answers(mlptrain: Command) -> None:
    Path("a.yaml").write_text("squared: 97/100\n")
    result = mlptrain("exercise", "counting", "--seed", "7", "--answers", "a.yaml", "--json")
    assert json.loads(result.out)["items"][0] == {"id": "squared", "correct": True}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("z: 1\ndbb: 2\n", ["a.yaml:2", "'dbb'", "did you mean 'db'?", "hint: "]),
        ("z: 0,5\n", ["a.yaml:1", "decimal point", "hint: write 0.5"]),
        ("\nz: about 3\n", ["a.yaml:2", "'about 3'"]),
        ("z: [1]\n", ["a.yaml:1", "number"]),
        ("z: true\n", ["a.yaml:1", "number"]),
        ("z: .inf\n", ["a.yaml:1", "number"]),
        ("z: 1\nz: 2\n", ["a.yaml:2", "duplicate"]),
        ("z: {\n", ["a.yaml:"]),
        ("- 1\n", ["a.yaml:1"]),
        ("z.a: 1\n", ["a.yaml:1"]),
    ],
)
def test_malformed_answers_are_exit_2(text: str, parts: list[str], mlptrain: Command) -> None:
    Path("a.yaml").write_text(text)
    result = mlptrain("exercise", "neuron", "--seed", "7", "--answers", "a.yaml", "--json")
    assert (result.code, result.out) == (2, "")
    assert all(part in result.err for part in parts), result.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["chainrule"], "did you mean 'chain-rule'?"),
        (["--hint"], "KIND"),
        (["neuron", "--seed", "a b"], "'a b'"),
        (["neuron", "--answers", "a.yaml"], "needs --seed"),
        (["neuron", "--seed", "1", "--solution", "--answers", "a.yaml"], "not together"),
        (["neuron", "--seed", "1", "--answers", "nowhere.yaml"], "nowhere.yaml"),
        (["loss", "--seed", "1", "--answers", "nowhere.py"], "nowhere.py"),
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str], part: str, mlptrain: Command) -> None:
    result = mlptrain("exercise", *arguments)
    assert (result.code, result.out) == (2, "") and part in result.err and "hint: " in result.err


def test_questions_as_json(mlptrain: Command) -> None:
    shown = json.loads(mlptrain("exercise", "neuron", "--seed", "7", "--json").out)
    assert shown.keys() == {"exercise", "seed", "items"}
    assert shown["items"][0].keys() == {"id", "given", "question"}
    shown = json.loads(mlptrain("exercise", "neuron", "--seed", "7", "--json", "--hint", "--solution").out)
    assert len(shown["items"][0]["hints"]) == 1 and shown["items"][0]["answer"] == stated("neuron", "7")[0]
    shown = json.loads(mlptrain("exercise", "loss", "--seed", "7", "--json").out)
    assert "NotImplementedError" in shown["program"] and not list(Path().glob("*.py"))


def test_more_hints_are_shown_when_the_option_is_repeated(mlptrain: Command) -> None:
    hints = [hint for item in make_exercise("counting", "7").items for hint in item.hints]
    for count in (1, 2, 3):
        shown = mlptrain("exercise", "counting", "--seed", "7", *["--hint"] * count).out
        assert shown.count("# hint: ") == sum(
            min(count, len(item.hints)) for item in make_exercise("counting", "7").items
        )
    assert len(hints) == shown.count("# hint: ")


def test_a_program_is_written_once_and_then_checked(mlptrain: Command) -> None:
    written = mlptrain("exercise", "loss")
    path = Path("loss-1.py")
    assert written.code == 0 and "loss-1.py" in written.out and "def loss(" in path.read_text()
    path.write_text("print('\\x1b[2J')\n" + path.read_text())
    checked = mlptrain("exercise", "loss")
    assert checked.code == 5 and "NotImplementedError" in checked.out and "\x1b" not in checked.out + checked.err
    assert "\\x1b[2J" in checked.err
    path.write_text(mlptrain("exercise", "loss", "--solution").out)
    assert mlptrain("exercise", "loss").code == 0
    assert "loss-2.py" in mlptrain("exercise", "loss").out


def test_the_questions_are_asked_one_by_one(at_terminal: Callable[..., Result]) -> None:
    right = stated("counting", "1")
    wrong = at_terminal(["1e6", "0,5", "x", "", "help", *["hint"] * 4, "solution", "skip", *right[2:]], "counting")
    assert wrong.code == 0 and "7 of 9 correct" in wrong.out
    for part in ("not correct", "decimal point", "not a number", "hint 2 of 2", "all hints", right[0], "9 of 9: "):
        assert part in wrong.out, part
    assert read_progress()["counting"]["1"].correct == tuple(
        item.id for item in make_exercise("counting", "1").items[2:]
    )
    again = at_terminal(right[:2], "counting")
    assert "7 answered before" in again.out and "9 of 9 correct" in again.out
    assert "seed 2" in at_terminal([], "counting").out
    assert "2 of 9 correct" in at_terminal([*right[:2], "quit"], "counting", "--seed", "1").out, "all are asked again"
    assert read_progress()["counting"]["1"].is_solved


def test_answers_are_kept_when_the_input_ends_or_is_interrupted(
    at_terminal: Callable[..., Result], mlptrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = stated("neuron", "1")
    ended = at_terminal(right[:2], "neuron")
    assert ended.code == 0 and "2 of 8 correct" in ended.out and "next: mlptrain exercise neuron --seed 1" in ended.out

    lines = [f"{right[2]}\n"]

    class Stream:
        def readline(self) -> str:
            if not lines:
                os.kill(os.getpid(), signal.SIGINT)
            return lines.pop()

    monkeypatch.setattr("sys.stdin", Stream())
    stopped = mlptrain("exercise", "neuron")
    assert stopped.code == 130 and "3 of 8 correct" in stopped.err and "Traceback" not in stopped.err
    assert len(read_progress()["neuron"]["1"].correct) == 3


def test_progress_that_cannot_be_saved_is_a_single_warning(
    at_terminal: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", os.devnull)
    result = at_terminal(stated("neuron", "1"), "neuron")
    assert result.code == 0 and "8 of 8 correct" in result.out
    assert result.err.count("warning: ") == 1
