from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.errors import UsageError
from mlptrain.exercises.call import MAX_PRINTED, call_file
from mlptrain.exercises.checking import Verdict, central_differences, check_program, expected_results, judge
from mlptrain.exercises.kinds import make_exercise

EXERCISE = make_exercise("loss", "1")


def check(tmp_path: Path, text: str, seconds: Any = 10.0) -> Verdict:
    path = tmp_path / "loss-1.py"
    path.write_text(text, encoding="utf-8")
    return check_program(EXERCISE, path, seconds)


def test_a_solution_passes_in_a_process_and_what_it_prints_is_kept(tmp_path: Path) -> None:
    assert EXERCISE.program is not None
    text = EXERCISE.program.finished.replace("    return ", "    print('shape', z.shape)\n    return ")
    verdict = check(tmp_path, text)
    assert set(verdict.reasons.values()) == {None}
    assert verdict.printed.startswith("shape (")


REASONS = [
    ("raise ValueError('no idea')", "line 2: ValueError: no idea"),
    ("return 0.0", "results"),
    ("return 0.0, z[0]", "shape"),
    ("return 0.0, z * float('nan')", "nan"),
    ("return 'a', z", "ValueError"),
    ("return 0.0, [[1], [2, 3]]", "ValueError"),
    ("return 0.0, __import__('numpy').zeros(20_000)", "20,000 entries"),
    ("raise SystemExit", "SystemExit"),
    ("return loss(z, y)", "RecursionError"),
]


@pytest.mark.parametrize(("line", "part"), REASONS)
def test_wrong_programs_get_a_reason(tmp_path: Path, line: str, part: str) -> None:
    path = tmp_path / "loss-1.py"
    path.write_text(f"def loss(z, y):\n    {line}\n")
    calls, expected = expected_results(EXERCISE)
    reasons = judge(EXERCISE, path, call_file(str(path), "loss", calls), expected).reasons
    assert all(reasons.values())
    assert part in " ".join(map(str, reasons.values()))


def test_much_that_is_printed_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "loss-1.py"
    path.write_text("for _ in range(100):\n    print('x' * 1000)\ndef loss(z, y):\n    raise ValueError('y' * 1000)\n")
    answer = call_file(str(path), "loss", [{"start": [], "steps": [[1, 2]]}])
    assert len(answer["printed"]) == MAX_PRINTED and len(answer["results"][0]["error"]) <= MAX_PRINTED


def test_a_program_that_ends_its_process_fails(tmp_path: Path) -> None:
    reasons = check(tmp_path, "import os\nos._exit(0)").reasons
    assert all(reason and "without a result" in reason for reason in reasons.values())


def test_a_program_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    late = tmp_path / "late"
    text = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2); open({str(late)!r}, \"w\")'])\n"
        "import time\ndef loss(z, y):\n    time.sleep(60)\n"
    ).replace(repr(str(late)), f"\\'{late}\\'")
    start = time.monotonic()
    reasons = check(tmp_path, text, 1.0).reasons
    assert time.monotonic() - start < 10
    assert all(reason and "1 seconds" in reason for reason in reasons.values())
    time.sleep(1.5)
    assert not late.exists()


@pytest.mark.parametrize(
    ("text", "where"),
    [("x = (\n", ":1: invalid syntax"), ("\nimport not_there\n", ":2: ModuleNotFoundError"), ("loss = 3", "loss")],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(UsageError) as error:
        check(tmp_path, text)
    assert where in str(error.value).replace(str(tmp_path), "")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        check_program(EXERCISE, tmp_path / "nowhere.py")


def test_central_differences() -> None:
    at = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.allclose(central_differences(lambda x: float((x**3).sum()), at), 3 * at**2)
