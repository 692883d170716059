"""Exercises for people: the list of kinds, question sheets, results, and questions that are asked in the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TextIO

from rich.console import Console
from rich.text import Text

from mlptrain.errors import UsageError
from mlptrain.exercises.exercise import Exercise, Item, read_number
from mlptrain.exercises.progress import Result
from mlptrain.reporting.terminal import print_line
from mlptrain.reporting.text import counted

HELP = "type a number such as -3, 0.5 or 1/3, or: hint, solution, skip, quit"

CORRECT, INCORRECT = "green", "red"


def command(exercise: Exercise) -> str:
    """Return the command that asks for an exercise."""
    return f"mlptrain exercise {exercise.kind} --seed {exercise.seed}"


def render_kinds(rows: Sequence[tuple[str, str, Mapping[str, Result]]], console: Console) -> None:
    """Print one line per kind, from its name, its summary and its results by seed."""
    names, summaries = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, summary, results in rows:
        print_line(console, f"{name:<{names}}  {summary:<{summaries}}  {_progress(results)}".rstrip())
    print_line(console, "")
    print_line(console, "next: mlptrain exercise KIND")


def _progress(results: Mapping[str, Result]) -> str:
    if not results:
        return ""
    seed, last = list(results.items())[-1]
    solved = sum(result.is_solved for result in results.values())
    return f"{solved} solved; seed {seed}: {len(last.correct)} of {last.total}"


def sheet(exercise: Exercise, hints: int = 0, solution: bool = False) -> list[str]:
    """Return the questions as lines of a YAML file to fill in, with the first hints and the solution as comments.

    For a program, the lines are the hints as comments, and the completed file as solution.
    """
    program = exercise.program
    if program is not None:
        lines = []
        for item in exercise.items if hints else ():
            lines += [*_comments(f"{item.id}, {item.question}"), *_hints(item, hints)]
        return lines + (program.finished.splitlines() if solution else [])
    lines = _comments(
        f"{_title(exercise)}. Write each answer after its name, then run",
        f"{command(exercise)} --answers FILE",
    )
    given = ""
    for item in exercise.items:
        if item.given != given or hints or solution:
            lines.append("")
        if item.given != given:
            given = item.given
            lines += [*_comments(*given.splitlines()), ""]
        lines += [*_comments(item.question), *_hints(item, hints)]
        lines += _comments(*item.solution) if solution else []
        lines.append(f"{item.id}: {item.stated}" if solution else f"{item.id}:")
    return lines


def _title(exercise: Exercise) -> str:
    return f"{exercise.kind}, seed {exercise.seed}: {counted(len(exercise.items), 'question')}"


def _hints(item: Item, count: int) -> list[str]:
    return _comments(*(f"hint: {hint}" for hint in item.hints[:count]))


def _comments(*lines: str) -> list[str]:
    wrapped = (textwrap.wrap(line, 80, initial_indent="# ", subsequent_indent="#   ") for line in lines)
    return [line for each in wrapped for line in each]


def render_results(exercise: Exercise, reasons: Mapping[str, str | None], console: Console) -> None:
    """Print one line per item and the number of correct ones; a ``reason`` is None for a correct item."""
    width = max(len(item.id) for item in exercise.items)
    for item in exercise.items:
        reason = reasons[item.id]
        print_line(console, f"{item.id:<{width}}  {reason or 'correct'}", INCORRECT if reason else CORRECT, cut=False)
    print_line(console, f"{list(reasons.values()).count(None)} of {len(reasons)} correct")


def ask(exercise: Exercise, done: Collection[str], console: Console, stdin: TextIO) -> Iterator[str]:
    """Ask for the items that are not in ``done`` until the input ends; yield the id of each one answered correctly."""
    console.print(Text(f"{_title(exercise)}{f', {len(done)} answered before' if done else ''}\n{HELP}"))
    for number, item in enumerate(exercise.items, 1):
        if item.id in done:
            continue
        answer = _ask_item(item, f"{number} of {len(exercise.items)}", console, stdin)
        if answer is None:
            return
        if answer:
            yield item.id


def _ask_item(item: Item, position: str, console: Console, stdin: TextIO) -> bool | None:
    """Ask until the answer is correct (True) or the item is given up (False); return None at the end of the input."""
    shown, question = 0, Text(f"\n{item.given}\n").append(f"{position}: {item.question}", "bold")
    console.print(question)
    while True:
        console.print("> ", end="")
        line = stdin.readline()
        word = line.strip()
        if not line:
            console.print()
        if not line or word == "quit":
            return None
        if word == "skip":
            return False
        if word == "solution":
            console.print(Text("\n".join(item.solution)))
            return False
        if word == "hint":
            if shown < len(item.hints):
                shown += 1
                console.print(Text(f"hint {shown} of {len(item.hints)}: {item.hints[shown - 1]}"))
            else:
                console.print(Text("these were all hints; type solution to see how it is done"))
        elif not word:
            console.print(question)
        elif word == "help":
            console.print(Text(HELP))
        else:
            number = _number(word, console)
            if number is not None and item.accepts(number):
                console.print(Text("correct", CORRECT))
                return True
            if number is not None:
                console.print(Text("not correct: try again, or type hint", INCORRECT))


def _number(word: str, console: Console) -> Fraction | None:
    """Return the number that was typed, or None after a message."""
    try:
        return read_number(word)
    except UsageError as error:
        console.print(Text(str(error)))
        return None
