"""Commands in processes that lack what Windows lacks: modules, signals and functions of POSIX, and UTF-8 output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.readme import ROOT

WITHOUT_POSIX = """
import os, signal, sys
for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, names in {
    os: ("fork", "forkpty", "getppid", "killpg", "sched_getaffinity", "sysconf"),
    signal: ("SIGHUP", "SIGKILL", "pthread_sigmask"),
}.items():
    for name in names:
        delattr(module, name)
"""
"""Imported by each Python process when it starts, also by workers."""

PROGRAM = """
import signal, sys
from mlptrain.cli import main
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="cp1252", errors="strict")
if __name__ == "__main__":
    assert sys.modules["fcntl"] is None and not hasattr(signal, "SIGHUP")
    for command in sys.argv[1:]:
        code = main(command.split())
        assert code == 0, (command, code)
"""

COMMANDS = (
    "train tiny.yaml --run é epochs=4",
    "train tiny.yaml --run é epochs=4 --resume",
    "eval é --confusion --mistakes 2",
    "sweep tiny.yaml learning_rate=0.1,0.5 --run s --workers 2 --no-stack",
    "sweep tiny.yaml learning_rate=0.1,0.5 --run s --workers 2 --no-stack --resume",
    "runs",
    "diagnose é",
    "lr-find tiny.yaml --steps 20",
    "config nielsen",
    "watch é",
    "predict é digit.npy",
)


def test_commands_without_posix_and_without_unicode(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_POSIX)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "tiny.yaml").write_text("hidden: [8]\nsubset: 200\nepochs: 2\nbatch_size: 20\n")
    write_digit(tmp_path / "digit.npy")
    done = subprocess.run(
        [sys.executable, "program.py", *COMMANDS],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
            "PYTHONUTF8": "1",  # for the arguments
            "PYTHONWARNDEFAULTENCODING": "1",
        },
        capture_output=True,
        timeout=120,
    )
    shown, errors = done.stdout.decode("cp1252"), done.stderr.decode("cp1252")
    assert done.returncode == 0 and "Traceback" not in errors, errors
    assert "runs/é" in shown
    unspecified = [line for line in errors.splitlines() if "EncodingWarning" in line and "/mlptrain/" in line]
    assert unspecified == [], "every text file states its encoding"
    assert len((tmp_path / "runs/s/leaderboard.csv").read_bytes().splitlines()) == 3
    assert not list((tmp_path / "runs").rglob(".lock"))
    events = (tmp_path / "runs/s/journal.jsonl").read_bytes().splitlines()
    assert all(json.loads(event) for event in events)


def write_digit(path: Path) -> None:
    import numpy as np

    import mlptrain

    np.save(path, mlptrain.load_dataset().images[0].reshape(28, 28))
