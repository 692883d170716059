"""Exercises of every kind from many seeds, each checked like those of the suite.

    python -m tests.stress.exercises                    1,000 seeds
    python -m tests.stress.exercises --seeds 100000

For each seed the stated solution must be accepted, perturbed ones refused, no hint may contain the answer, the numbers
must be short, and the answers must be those of an independent computation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from mlptrain.exercises.kinds import KINDS, make_exercise
from tests.exercises.made import ORACLES, check_numbers, check_program_text, check_short


def main() -> None:
    """Check every kind and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            different: set[Any] = set()
            start = time.monotonic()
            for seed in range(seeds):
                exercise = make_exercise(kind, str(seed))
                if exercise.program is None:
                    check_numbers(exercise)
                    check_short(exercise)
                    ORACLES[kind](exercise)
                    different.add(tuple((item.given, item.answer) for item in exercise.items))
                else:
                    check_program_text(exercise, Path(folder) / "program.py")
                    different.add(exercise.program.case)
            seconds = time.monotonic() - start
            print(f"{kind:<12} {seeds} exercises, {len(different)} different ones, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
