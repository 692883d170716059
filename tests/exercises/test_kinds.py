"""Every kind of exercises for many seeds; ``python -m tests.stress.exercises`` makes 1,000 of each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.errors import UsageError
from mlptrain.exercises.kinds import KINDS, make_exercise
from mlptrain.reporting.exercise import sheet
from tests.exercises.made import ORACLES, check_numbers, check_program_text, check_short
from tests.readme import README, blocks

SEEDS = [str(number) for number in range(1, 101)]

PROGRAMS = [name for name in KINDS if name not in ORACLES]


@pytest.mark.parametrize("kind", ORACLES)
def test_solutions_are_right_and_short_and_hints_do_not_contain_them(kind: str) -> None:
    for seed in SEEDS:
        exercise = make_exercise(kind, seed)
        check_numbers(exercise)
        check_short(exercise)
        ORACLES[kind](exercise)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_solutions_of_programs_pass_and_changed_ones_do_not(kind: str, tmp_path: Path) -> None:
    exercises = {}
    for seed in SEEDS:
        exercise = make_exercise(kind, seed)
        assert exercise.program is not None
        exercises[exercise.program.case[:3]] = exercise
    for exercise in exercises.values():
        check_program_text(exercise, tmp_path / "program.py")
    assert len(exercises) >= 5


@pytest.mark.parametrize("kind", ORACLES)
def test_a_seed_always_gives_the_same_numbers_and_another_seed_others(kind: str) -> None:
    seeds = ["7", "s123456", "S123456", "mary-ann.2026"]
    made = [make_exercise(kind, seed) for seed in seeds]
    assert made == [make_exercise(kind, seed) for seed in seeds]
    assert len({(item.given, item.answer) for exercise in made for item in exercise.items[:1]}) == len(seeds)


def test_ids_are_names_that_differ_and_that_yaml_reads_as_text() -> None:
    for kind in KINDS:
        ids = [item.id for item in make_exercise(kind, "1").items]
        assert len(set(ids)) == len(ids) and all(re.fullmatch("[a-zA-Z][a-zA-Z0-9_]*", name) for name in ids)
        assert not {"y", "n", "yes", "no", "on", "off", "true", "false", "null"} & {name.lower() for name in ids}


@pytest.mark.parametrize("seed", ["", "-1", "a b", "../x", "x" * 41, "ü", "a\n"])
def test_seeds_are_simple_text(seed: str) -> None:
    with pytest.raises(UsageError, match="--seed"):
        make_exercise("neuron", seed)


def test_questions_need_no_numpy() -> None:
    code = (
        "import sys; from mlptrain.exercises.kinds import KINDS, make_exercise\n"
        "for kind in KINDS: make_exercise(kind, '1')\n"
        "sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_examples_of_the_documentation_are_those_of_seed_7() -> None:
    page = README.parent / "docs" / "exercises.md"
    printed = {line for kind in ORACLES for line in sheet(make_exercise(kind, "7"), solution=True)}
    shown = [block.code.splitlines() for block in blocks(page) if block.language == "yaml"]
    examples = [lines for lines in shown if lines[0].startswith("#")]
    assert len(examples) == len(ORACLES)
    assert [line for lines in examples for line in lines if line not in printed] == []
