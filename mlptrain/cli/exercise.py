"""Command ``mlptrain exercise``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Any

import typer

from mlptrain.cli.options import Json, NoColor
from mlptrain.config.values import shown
from mlptrain.errors import AccuracyError, ConfigError, MlptrainError, UsageError
from mlptrain.exercises.exercise import Exercise, read_number
from mlptrain.exercises.kinds import KINDS, make_exercise
from mlptrain.exercises.progress import Result, add_result, read_progress, unsolved_seed
from mlptrain.reporting.exercise import ask, command, render_kinds, render_results, sheet
from mlptrain.reporting.terminal import is_terminal, make_console
from mlptrain.system.files import write_text_atomic
from mlptrain.system.signals import Interrupted
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines, write_message


def exercise(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Kind of exercise.", show_default="list the kinds")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed",
            metavar="SEED",
            help="Number or short text that the numbers are drawn from.",
            show_default="the first number that is not solved",
        ),
    ] = None,
    hint: Annotated[
        int,
        typer.Option(
            "--hint", count=True, show_default=False, help="Show a hint for each question; repeat it for more."
        ),
    ] = 0,
    solution: Annotated[bool, typer.Option("--solution", help="Show the answers and how to find them.")] = False,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            metavar="FILE",
            help="Grade a YAML file of answers, or a Python file; exit with 5 if any is wrong.",
        ),
    ] = None,
    json_output: Json = False,
    no_color: NoColor = False,
) -> None:
    """Practise backpropagation by hand and in code.

    Each seed gives other numbers. In a terminal the questions are asked one by one, otherwise they are printed.

    Example: mlptrain exercise chain-rule --seed 7
    """
    console = make_console(sys.stderr if json_output else sys.stdout, no_color=no_color)
    progress = read_progress()
    if kind is None:
        if seed or hint or solution or answers:
            raise UsageError("KIND: missing\nhint: choose one from `mlptrain exercise`")
        _list(progress, json_output, console)
        return
    if kind not in KINDS:
        raise UsageError(f"{_unknown('exercise', kind, KINDS)}\nhint: run `mlptrain exercise`")
    if answers is not None and (seed is None or hint or solution):
        problem = "needs --seed" if seed is None else "not together with --hint or --solution"
        raise UsageError(f"--answers: {problem}\nhint: write `mlptrain exercise {kind} --seed SEED --answers FILE`")
    results = progress.get(kind, {})
    chosen = make_exercise(kind, unsolved_seed(results) if seed is None else seed)
    passed = True
    if answers is not None:
        passed = _show_grade(chosen, _grade(chosen, answers), json_output, console)
    elif json_output or hint or solution:
        _print(chosen, json_output, hint, solution)
    elif chosen.program is not None:
        passed = _write_or_check(chosen, console)
    elif is_terminal(sys.stdin) and is_terminal(sys.stdout):
        _ask(chosen, results.get(chosen.seed), console)
    else:
        _print(chosen, json_output)
    if not passed:
        raise typer.Exit(AccuracyError.exit_code)


def _unknown(noun: str, name: str, names: Iterable[str]) -> str:
    from mlptrain.config.messages import hint  # imports pydantic

    return f"{shown(name)}: unknown {noun}{hint(name, list(names))}"


def _list(progress: dict[str, dict[str, Result]], json_output: bool, console: Any) -> None:
    if not json_output:
        render_kinds([(name, each.summary, progress.get(name, {})) for name, each in KINDS.items()], console)
        check_written()
        return
    entries = []
    for name, each in KINDS.items():
        results = progress.get(name, {})
        last = {seed: {"seed": seed, "correct": len(r.correct), "total": r.total} for seed, r in results.items()}
        solved = [seed for seed, result in results.items() if result.is_solved]
        entries.append(
            {"exercise": name, "summary": each.summary, "solved": solved, "last": list(last.values() or [None])[-1]}
        )
    _print_json({"exercises": entries})


def _print_json(value: dict[str, Any]) -> None:
    write_lines(sys.stdout, json.dumps(value))
    check_written()


def _print(exercise: Exercise, json_output: bool, hints: int = 0, solution: bool = False) -> None:
    if not json_output:
        write_lines(sys.stdout, *sheet(exercise, hints, solution))
        check_written()
        return
    items = []
    for item in exercise.items:
        entry: dict[str, Any] = {"id": item.id, "given": item.given, "question": item.question}
        if hints:
            entry["hints"] = item.hints[:hints]
        if solution and exercise.program is None:
            entry |= {"answer": item.stated, "solution": item.solution}
        items.append(entry)
    whole: dict[str, Any] = {"exercise": exercise.kind, "seed": exercise.seed, "items": items}
    if exercise.program is not None:
        whole["program"] = exercise.program.finished if solution else exercise.program.unfinished
    _print_json(whole)


def _grade(exercise: Exercise, path: Path) -> dict[str, str | None]:
    """Return for each item None if its answer is correct, otherwise the reason."""
    if exercise.program is not None:
        return _check(exercise, path)
    from mlptrain.config.yaml import read_yaml  # takes 30 ms

    document, ids = read_yaml(path), [item.id for item in exercise.items]
    numbers = {}
    for key, value in document.values.items():
        if key not in ids:
            raise ConfigError(
                f"{document.where(key)}: {_unknown('question', key, ids)}\n"
                f"hint: the questions of {exercise.kind} with seed {exercise.seed} are {', '.join(ids)}"
            )
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ConfigError(f"{document.where(key)}: {key} must be a number (got {shown(value)})")
        try:
            numbers[key] = read_number(str(value))
        except UsageError as error:
            raise ConfigError(f"{document.where(key)}: {key}: {error}") from None
    return {
        item.id: "no answer" if item.id not in numbers else None if item.accepts(numbers[item.id]) else "not correct"
        for item in exercise.items
    }


def _check(exercise: Exercise, path: Path) -> dict[str, str | None]:
    """Check a program; show on stderr what it printed."""
    from mlptrain.exercises.checking import check_program  # imports NumPy

    verdict = check_program(exercise, path)
    if verdict.printed:
        write_lines(sys.stderr, f"printed by {path}:", *verdict.printed.rstrip("\n").split("\n"))
    return verdict.reasons


def _show_grade(exercise: Exercise, reasons: dict[str, str | None], json_output: bool, console: Any) -> bool:
    """Print the result; return True if all items are correct."""
    correct = [name for name, reason in reasons.items() if reason is None]
    passed = len(correct) == len(reasons)
    if exercise.program is not None or not json_output:  # the JSON object lacks the reasons, such as errors
        render_results(exercise, reasons, console)
    if json_output:
        grade = {"exercise": exercise.kind, "seed": exercise.seed, "correct": len(correct), "total": len(reasons)}
        items = [{"id": name, "correct": reason is None} for name, reason in reasons.items()]
        _print_json({**grade, "passed": passed, "items": items})
    check_written()
    return passed


def _write_or_check(exercise: Exercise, console: Any) -> bool:
    """Write the file to complete, or check it if it exists; return False if it is not correct."""
    assert exercise.program is not None
    path = Path(f"{exercise.kind}-{exercise.seed}.py")
    if not path.exists():
        write_text_atomic(path, exercise.program.unfinished)
        write_lines(sys.stdout, f"{path}: complete the function {exercise.program.function} in this file")
        write_lines(sys.stdout, f"next: {command(exercise)}")
        return True
    reasons = _check(exercise, path)
    _record(exercise, [name for name, reason in reasons.items() if reason is None])
    passed = _show_grade(exercise, reasons, False, console)
    write_lines(
        sys.stdout, f"next: mlptrain exercise {exercise.kind}" if passed else f"next: {command(exercise)} --hint"
    )
    return passed


def _ask(exercise: Exercise, before: Result | None, console: Any) -> None:
    """Ask the questions that were not answered before; ask all of a solved exercise again."""
    correct = [] if before is None or before.is_solved else list(before.correct)
    is_saved = True
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a wrong key is a wrong answer
    try:
        for name in ask(exercise, tuple(correct), console, sys.stdin):
            correct.append(name)
            is_saved = is_saved and _record(exercise, correct)
    except KeyboardInterrupt as error:
        console.print()
        raise Interrupted(getattr(error, "signal", SIGINT), _summary(exercise, correct)) from None
    write_lines(sys.stdout, "", *_summary(exercise, correct).split("\n"))


def _summary(exercise: Exercise, correct: list[str]) -> str:
    total = len(exercise.items)
    following = f"mlptrain exercise {exercise.kind}" if len(correct) == total else command(exercise)
    return f"{len(correct)} of {total} correct\nnext: {following}"


def _record(exercise: Exercise, correct: list[str]) -> bool:
    """Save the progress; warn and return False if that fails."""
    try:
        add_result(exercise, correct)
    except MlptrainError as error:
        write_message(f"warning: {str(error).splitlines()[0]}; your progress is not saved")
        return False
    return True
