"""Each command with its standard streams closed, full, or a pipe without a reader.

The commands are forked from a process that has imported them; ``tests.stress.streams`` starts each by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import numpy as np
import pytest

from mlptrain.cli.commands import COMMANDS
from mlptrain.runs.files import load_metrics
from mlptrain.runs.folder import load_run_model
from mlptrain.runs.job import load_dataset
from tests.datasets.fault_server import CONTENTS
from tests.reporting.made_runs import run

ROOT = Path(__file__).parents[2]

STATES = ("no stdin", "no stdout", "no stderr", "full stdout", "closed pipe")


class Case(NamedTuple):
    """A command in a new folder beside ``runs/a``, the files that it writes, and whether it is asked for output."""

    arguments: Sequence[str]
    files: Sequence[str] = ()
    prints: bool = True

    def code(self, state: str) -> int:
        """Return the documented exit code."""
        if state == "closed pipe":
            return 141
        return 3 if self.prints and state in ("no stdout", "full stdout") else 0


TRAINED = [f"runs/b/{name}" for name in ("config.yaml", "history.csv", "layers.csv", "metrics.json", "model.npz")]
TRAIN = ["train", "../tiny.yaml", "--run", "b"]
PLOT = ["plot", "../runs/a", "--only", "curves", "--output", "curves.svg"]
REPORT = ["report", "../unfinished", "--output", "page.html"]
EXPORT = ["export", "../runs/a", "--format", "npz", "--output", "model.npz"]
DOWNLOAD = ["download", "--from", "../source", "--data-dir", "data"]
COLLECT = ["sweep", "--collect", "../runs"]
DOWNLOADED = [f"data/mnist/{name}" for name in CONTENTS]

CASES = {
    "download": Case(DOWNLOAD, DOWNLOADED, prints=False),
    "init": Case(["init"], ["quickstart.yaml"], prints=False),
    "train": Case(TRAIN, TRAINED, prints=False),
    "eval": Case(["eval", "../runs/a"]),
    "sweep": Case(COLLECT, prints=False),
    "plot": Case(PLOT, ["curves.svg"], prints=False),
    "report": Case(REPORT, ["page.html"], prints=False),
    "runs": Case(["runs", "../runs"]),
    "compare": Case(["compare", "../runs/a", "../unfinished"]),
    "watch": Case(["watch", "../runs/a"], prints=False),
    "diagnose": Case(["diagnose", "../runs/a"]),
    "predict": Case(["predict", "../runs/a", "../digits.npy"]),
    "export": Case(EXPORT, ["model.npz"], prints=False),
    "lr-find": Case(["lr-find", "../tiny.yaml", "--steps", "5"]),
    "config": Case(["config", "../tiny.yaml"]),
    "backprop": Case(["backprop", "x * y", "x=2", "y=3"]),
    "exercise": Case(["exercise", "counting"]),
}

RESULTS = {
    "download --json": Case([*DOWNLOAD, "--json"], DOWNLOADED),
    "train --json": Case([*TRAIN, "--json"], TRAINED),
    "eval --json": Case(["eval", "../runs/a", "--json", "-q"]),
    "sweep --json": Case([*COLLECT, "--json"]),
    "sweep --print": Case([*COLLECT, "--print", "trials"]),
    "sweep --list": Case(["sweep", "../tiny.yaml", "seed=1,2", "--list"]),
    "export --json": Case([*EXPORT, "--json"], ["model.npz"]),
    "compare --json": Case(["compare", "../runs/a", "../unfinished", "--json"]),
    "runs --csv": Case(["runs", "../runs", "--csv"]),
    "runs --json": Case(["runs", "../runs", "--json"]),
    "diagnose --json": Case(["diagnose", "../runs/a", "--json"]),
    "predict --csv": Case(["predict", "../runs/a", "../digits.npy", "--csv"]),
    "exercise --json": Case(["exercise", "--json"]),
    "lr-find --json": Case(["lr-find", "../tiny.yaml", "--steps", "5", "--json"]),
    "config --list": Case(["config", "--list"]),
    "init --json": Case(["init", "--json"], ["quickstart.yaml"]),
    "config --schema": Case(["config", "--schema"]),
}
"""Results that are printed besides the files, or in another form."""

OTHERS = {
    "help": (["--help"], "closed pipe"),
    "help of a command": (["train", "--help"], "closed pipe"),
    "help for a full device": (["--help"], "full stdout"),
    "error": (["eval", "nowhere", "--json"], "no stderr"),
    "input": (["predict", "../runs/a", "-"], "no stdin"),
    "workers": (["sweep", "../tiny.yaml", "seed=1,2", "--run", "s", "--keep", "all", "--workers", "1"], "nothing open"),
}

PREPARATION = """
import sys
from mlptrain.cli import entry
from mlptrain.config import registry
from tests.datasets.fault_server import dataset
registry.DATASETS = {"mnist": dataset("http://127.0.0.1:1/", name="mnist")}
"""
"""A process with a small dataset."""

FORKS = (
    PREPARATION
    + """
import json, os
from importlib import import_module
from mlptrain.cli.commands import COMMANDS
from mlptrain.runs.job import load_dataset
import mlptrain.reporting.report
from matplotlib.figure import Figure
for command in COMMANDS.values():
    import_module(f"mlptrain.cli.{command.module}")
Figure().subplots().figure.savefig(os.devnull, format="svg")  # loads the fonts
for folder, state, arguments in json.loads(sys.stdin.read()):
    if (child := os.fork()) == 0:
        os.chdir(folder)
        reader, writer = os.pipe()
        os.close(reader)
        output = os.open("/dev/full" if state == "full stdout" else "out", os.O_WRONLY | os.O_CREAT)
        os.dup2(writer if state == "closed pipe" else output, 1)
        os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT), 2)
        os.closerange(3, 50)
        for number, name in enumerate(STATES):
            if state in (name, "nothing open"):
                os.close(number)
        sys.argv[1:] = arguments
        try:
            entry()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)  # freeing the imported modules would take 0.3 s
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
).replace("STATES", repr(STATES[:3]))


def make_inputs(folder: Path) -> None:
    """Write what the commands read: a config, a run, images, and the files of a dataset."""
    (folder / "tiny.yaml").write_text("hidden: [6]\nsubset: 100\nepochs: 3\nbatch_size: 20\n")
    run(folder, "a")
    unfinished = folder / "unfinished"  # whose report has one plot, not six
    unfinished.mkdir()
    for name in ("config.yaml", "history.csv"):
        copy(folder / "runs/a" / name, unfinished)
    np.save(folder / "digits.npy", load_dataset("sample").images[:2].reshape(-1, 28, 28))
    (folder / "source").mkdir()
    for name, content in CONTENTS.items():
        (folder / "source" / name).write_bytes(content)


def check(case: Case, state: str, folder: Path, code: int) -> None:
    """Check the exit code of a command, its messages in ``out`` and ``err``, and its files in the same folder."""
    out, err = (path.read_text() if path.exists() else "" for path in (folder / "out", folder / "err"))
    assert code == case.code(state), f"{folder.name}: {err}"
    assert "Traceback" not in out + err and "Exception ignored" not in out + err, folder.name
    assert ("standard output: cannot be written" in err) == (code == 3)
    assert "mlptrain: " not in out, "errors go to stderr alone"
    assert state in ("no stdout", "full stdout", "closed pipe") or out
    assert not [path for path in folder.rglob("*") if path.name == ".lock" or path.name.endswith(".tmp")]
    if state != "closed pipe":
        assert [name for name in case.files if not (folder / name).is_file()] == []
        if case.files == TRAINED:
            assert load_metrics(folder / "runs/b") and load_run_model(folder / "runs/b")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_commands_without_working_streams(tmp_path: Path) -> None:
    """One test, so that only one process imports all commands."""
    assert list(CASES) == list(COMMANDS)
    make_inputs(tmp_path)
    cases = {f"{name}, {state}": (state, case.arguments) for name, case in CASES.items() for state in STATES}
    cases |= {name: ("full stdout", case.arguments) for name, case in RESULTS.items()}
    cases |= {name: (state, arguments) for name, (arguments, state) in OTHERS.items()}
    for name in cases:
        (tmp_path / name).mkdir()
    process = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps([(str(tmp_path / name), *case) for name, case in cases.items()]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    codes = dict(zip(cases, map(int, process.stdout.splitlines()), strict=True))
    for name, case in CASES.items():
        for state in STATES:
            check(case, state, tmp_path / f"{name}, {state}", codes[f"{name}, {state}"])
    for name, case in RESULTS.items():
        check(case, "full stdout", tmp_path / name, codes[name])
    for name in ("help", "help of a command"):
        assert codes[name] == 141 and (tmp_path / name / "err").read_text() == ""
    assert codes["help for a full device"] == 3
    assert codes["error"] == 3 and (tmp_path / "error/out").read_text() == "", "errors are not printed on stdout"
    assert codes["input"] == 3 and "standard input" in (tmp_path / "input/err").read_text()
    assert codes["workers"] == 0
    folder = tmp_path / "workers/runs/s"  # its files have had the numbers of the closed streams
    assert all(json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines())
    assert (folder / "leaderboard.csv").read_text().count("\n") == 3
    assert load_run_model(folder / "trials/0001") and load_metrics(folder / "best")


@pytest.mark.skipif(sys.platform == "win32", reason="needs terminals")
def test_a_run_continues_when_its_terminal_is_gone(tmp_path: Path) -> None:
    import pty

    (tmp_path / "tiny.yaml").write_text("hidden: [6]\nsubset: 100\nepochs: 200\nbatch_size: 5\n")
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "mlptrain", "train", "tiny.yaml", "--run", "a"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    while b"epoch" not in os.read(outer, 10_000):
        pass
    os.close(outer)
    assert process.wait(timeout=30) == 0
    assert load_metrics(tmp_path / "runs/a")["epochs"] == 200
