"""Candidates for command lines, and real shells in a pseudo-terminal that complete them."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from select import select

import pytest

from mlptrain.cli import completion
from mlptrain.cli.commands import COMMANDS
from mlptrain.cli.completion import LINE, SHELLS, TABLE, candidates, split
from tests.cli.conftest import Command
from tools.make_completion import text

ROOT = Path(__file__).parents[2]


def make_run(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "config.yaml").touch()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs, a config, and the command ``mlptrain`` in ``bin``."""
    for name in ("alpha-001", "alpha-002", "beta", "a b"):
        make_run(tmp_path / "runs" / name)
    (tmp_path / "runs/notes").mkdir()
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/mlptrain"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlptrain "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(line: str) -> list[str]:
    return [word for word, _ in candidates(split(line)[1:])]


def test_the_table_is_up_to_date() -> None:
    assert TABLE.read_text(encoding="utf-8") == text(), "run python tools/make_completion.py"


def test_candidates(folder: Path) -> None:
    assert words("mlptrain ") == list(COMMANDS) and words("mlptrain tr") == ["train"]
    assert words("mlptrain --v") == ["--version"] and words("mlptrain train --dry") == ["--dry-run"]
    assert words("mlptrain eval alpha") == ["alpha-001", "alpha-002"]
    assert words("mlptrain eval alpha-001 alpha") == ["alpha-002"], "a run is named once"
    assert words("mlptrain eval a\\ ") == words("mlptrain eval 'a b") == ["a b"]
    assert words("mlptrain eval lat") == ["latest"] and "best:val_loss" in words("mlptrain plot best:")
    assert words("mlptrain eval --runs-dir nowhere alpha") == []
    assert words("mlptrain train mi") == ["mine.yaml"] and "quickstart" in words("mlptrain train ")
    assert words("mlptrain train quickstart activ") == ["activation="]
    assert words("mlptrain train activation=re") == ["activation=relu"]
    assert words("mlptrain sweep activation=relu,ta") == ["activation=relu,tanh"]
    assert words("mlptrain train batch_norm=") == ["batch_norm=true", "batch_norm=false"]
    assert words("mlptrain train dataset=fash") == ["dataset=fashion-mnist"]
    assert words("mlptrain sweep hid") == ["hidden", "hidden="] and "hidden" not in words("mlptrain train hid")
    assert words("mlptrain eval --split va") == ["validation"] and words("mlptrain eval --split=va") == [
        "--split=validation"
    ]
    assert words("mlptrain runs --sort val_a") == ["val_accuracy"]
    assert words("mlptrain runs --where val_a") == ["val_accuracy="]
    for line in ("mlptrain nowhere ", "mlptrain eval --data-dir ", "mlptrain predict beta im", "mlptrain train x=1 y="):
        assert words(line) == [], f"{line}: names of files, or nothing"


@pytest.mark.parametrize(
    "line", ["", " ", "mlptrain", "'", '"\\', "mlptrain \x00", "mlptrain eval \\", "mlptrain runs/a\n "]
)
def test_any_line_is_split(line: str) -> None:
    assert split(line)
    candidates(split(line)[1:] or [""])


def test_an_answer_needs_neither_numpy_nor_typer_and_no_message(folder: Path) -> None:
    code = "import sys\nfrom mlptrain.cli import entry\ntry: entry()\nfinally: print(*sys.modules, file=sys.stderr)"
    make_run(folder / "runs/x\x1b[31m\ny")

    def answer(line: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), LINE: line}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    done = answer("mlptrain eval ")
    assert done.stdout.splitlines()[:2] == ["a b\trun", "alpha-001\trun"] and "\x1b" not in done.stdout
    assert not set(done.stderr.split()) & {"numpy", "pydantic", "typer", "yaml"}
    assert answer("mlptrain nowhere ").stdout == ""


def test_an_answer_takes_a_fifth_of_a_second(folder: Path) -> None:
    """Processor time of the process, because other tests run at the same time."""
    for number in range(200):
        make_run(folder / f"runs/many-{number}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), LINE: "mlptrain eval "}
    for _ in range(3):  # other processes can double the time
        with subprocess.Popen([folder / "bin/mlptrain"], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.read().count(b"many-") == 200
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = 0
        if used.ru_utime + used.ru_stime < 0.2:
            break
    assert used.ru_utime + used.ru_stime < 0.2


OWN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A program in a session of its own, which its terminal controls."""

STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}


TYPED = {
    "tr\tqui\tactiv\tre\t": "train|quickstart|activation=relu",
    "eval al\t2\t": "eval|alpha-002",
    "eval best:val_a\t": "eval|best:val_accuracy",
    "eval a\\ \t": "eval|a b",
}
"""Words as they are typed, with tabs, and as the command gets them."""


class Terminal:
    """An interactive shell in a pseudo-terminal."""

    def __init__(self, shell: str, folder: Path) -> None:
        import fcntl
        import pty
        import termios

        self._outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        environment = {"PATH": path, "TERM": "xterm", "HOME": str(folder), "PYTHONPATH": str(ROOT), "PS1": "> "}
        command = [sys.executable, "-c", OWN_TERMINAL, *STARTS[shell]]
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stdin=inner, stdout=inner, stderr=inner)
        os.close(inner)

    def type(self, text: str, until: str, seconds: float = 8) -> str:
        """Type a text, wait until another one has appeared after it, and return everything that was printed."""
        os.write(self._outer, text.encode())
        shown, end = "", time.monotonic() + seconds
        while until not in shown:
            assert time.monotonic() < end, f"{until!r} is not in {shown!r}"
            if select([self._outer], [], [], 0.1)[0]:
                shown += os.read(self._outer, 10_000).decode(errors="replace")
        return shown

    def close(self) -> None:
        """End the shell."""
        self._process.kill()
        self._process.wait()
        os.close(self._outer)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_shells_complete_a_run_and_a_key_with_its_value(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = folder / f"completion.{shell}"
    script.write_text(SHELLS[shell])
    terminal = Terminal(shell, folder)
    try:
        terminal.type(f". {script}; echo rea''dy\r", "ready")
        for typed, expected in TYPED.items():
            # What the line has become is printed, because what the shell draws depends on the shell.
            terminal.type(f"mlptrain {typed}\x01printf '%s|' \x05\r", f"mlptrain|{expected}|")
    finally:
        terminal.close()


@pytest.mark.parametrize(("shell", "start"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", None)])
def test_installing_completion_twice_adds_one_line(
    shell: str, start: str | None, mlptrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    monkeypatch.setattr(completion, "_parent", lambda: None)
    if start is not None:
        (tmp_path / start).write_text("alias l=ls")
    done = mlptrain("--install-completion")
    assert done.code == mlptrain("--install-completion").code == 0
    written = Path(done.out.splitlines()[0])
    assert written.is_relative_to(tmp_path)
    assert written.read_text() == SHELLS[shell].lstrip() == mlptrain("--show-completion", shell).out
    if start is not None:
        assert (tmp_path / start).read_text() == f"alias l=ls\n. {written}\n"


def test_completion_of_an_unknown_shell(mlptrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    monkeypatch.setattr(completion, "_parent", lambda: None)
    assert mlptrain("--install-completion").code == mlptrain("--show-completion", "tcsh").code == 2
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    refused = mlptrain("--install-completion")
    assert refused.code == 3 and "hint" in refused.err


def test_short_help(mlptrain: Command) -> None:
    assert mlptrain("-h").out == mlptrain("--help").out
    assert all(mlptrain(name, "-h").out == mlptrain(name, "--help").out for name in ("train", "backprop", "runs"))
