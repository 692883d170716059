"""The exercises that a student has solved, in a file in the user data folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.exercises.exercise import Exercise
from mlptrain.system.files import make_folder, write_text_atomic

MAX_BYTES = 2**20
"""Largest size of the file; a larger one is not read."""


@dataclass(frozen=True)
class Result:
    """The items of an exercise that were answered correctly, and the number of all its items."""

    correct: tuple[str, ...]
    total: int

    @property
    def is_solved(self) -> bool:
        """True if all items were answered correctly."""
        return len(self.correct) >= self.total


Progress = dict[str, dict[str, Result]]
"""For each kind the results by seed, the latest last."""


def progress_file() -> Path:
    """Return the path of the file, such as ``~/.local/share/mlptrain/exercises.json``."""
    from platformdirs import user_data_path  # takes 5 ms

    return user_data_path("mlptrain", appauthor=False) / "exercises.json"


def read_progress() -> Progress:
    """Return the progress so far; a file that is missing or damaged is none."""
    try:
        with progress_file().open("rb") as stream:
            kinds = json.loads(stream.read(MAX_BYTES))
        return {kind: {seed: _result(entry) for seed, entry in seeds.items()} for kind, seeds in kinds.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def _result(entry: Any) -> Result:
    return Result(tuple(map(str, entry["correct"])), int(entry["total"]))


def add_result(exercise: Exercise, correct: list[str]) -> None:
    """Add the items that were answered correctly to the progress.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    progress = read_progress()  # another session may have written it
    seeds = progress.setdefault(exercise.kind, {})
    before = seeds.pop(exercise.seed, Result((), 0))
    ids = [item.id for item in exercise.items if item.id in (*correct, *before.correct)]
    seeds[exercise.seed] = Result(tuple(ids), len(exercise.items))
    path = progress_file()
    make_folder(path.parent, "check the permissions of the folder")
    write_text_atomic(
        path,
        json.dumps({kind: {seed: vars(result) for seed, result in each.items()} for kind, each in progress.items()}),
    )


def unsolved_seed(results: dict[str, Result]) -> str:
    """Return the smallest number from 1 on that is not the seed of a solved exercise."""
    number = 1
    while (result := results.get(str(number))) is not None and result.is_solved:
        number += 1
    return str(number)
