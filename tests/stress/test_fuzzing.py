from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError
from tests.stress.fuzzing import __main__ as loop
from tests.stress.fuzzing.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]


def test_each_target_has_seeds_of_its_own_that_it_reads() -> None:
    for name, target in TARGETS.items():
        read = 0
        for path in (ROOT / "tests" / "stress" / "corpus" / name).iterdir():
            target.read(path.read_bytes(), path)
            read += 1
        assert read >= 2, name


def test_nothing_is_found_in_the_first_inputs() -> None:
    command = [sys.executable, "-m", "tests.stress.fuzzing", "--count", "50", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("50 inputs") == len(TARGETS)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise KeyError('surprise')", "KeyError: 'surprise'"),
        ("end = time.process_time() + 0.06\nwhile time.process_time() < end: pass", "it took 0.1 s"),
        ("held.append(bytes(2000))", "the process has taken 2000 MB"),
        ("warnings.warn('careful')", "it warns: careful"),
        ("raise DataError('a\\nb\\nc\\nd')", "not three printable lines"),
        ("raise DataError('\\x1b[2J')", "not three printable lines"),
        ("raise DataError('a\\nb\\nc')", "None"),
    ],
    ids=["exception", "time", "memory", "warning", "long message", "control characters", "refusal"],
)
def test_faults_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str) -> None:
    held: list[bytes] = []
    monkeypatch.setattr(loop, "SECONDS", 0.05)
    monkeypatch.setattr(loop, "peak", lambda: sum(map(len, held)) * 1_000_000)
    names = {"time": time, "warnings": warnings, "held": held, "DataError": DataError}
    target = Target(lambda data, path: exec(code, names))
    assert words in str(loop.fault(target, b"data", tmp_path / "input"))
    assert (tmp_path / "input").read_bytes() == b"data"


def test_a_finding_is_kept_and_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(data: Any, path: Path) -> None:
        if data not in seeds:
            raise KeyError(len(data))

    seeds = [path.read_bytes() for path in sorted((loop.CORPUS / "idx").iterdir())]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "peak", lambda: 0)  # other tests have filled this process before
    monkeypatch.setitem(TARGETS, "idx", Target(read))
    assert loop.fuzz("idx", 3, 50, None) == 1
    said = capsys.readouterr().out
    assert f"input {len(seeds)} of seed 3" in said and "KeyError" in said
    kept = tmp_path / "findings" / f"idx-3-{len(seeds)}"
    monkeypatch.setattr("sys.argv", ["fuzzing", "--replay", str(kept), "idx"])
    assert loop.main() == 1
    assert f"KeyError: {len(kept.read_bytes())}" in capsys.readouterr().out


def test_the_peak_is_that_of_this_process() -> None:
    assert 10_000_000 < loop.peak() < 100_000_000_000
