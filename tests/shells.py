"""Shells that read commands for the tests, and the words that they pass to ``mlptrain``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlptrain.cli.program import load_command
from mlptrain.cli.setup import split_arguments
from mlptrain.config.config import LIST_KEYS, config_from
from mlptrain.config.overrides import merge, parse_overrides
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import Trial

_POSIX = """
mlptrain() { printf '%s\\n' "$@"; }
while IFS= read -r line; do eval "$line"; printf '%s\\n' '# end'; done
"""

_FISH = """
function mlptrain; printf '%s\\n' $argv; end
while read -l line; eval $line; printf '%s\\n' '# end'; end
"""

READERS = {
    "sh": ("sh", "-c", _POSIX),
    "bash": ("bash", "--norc", "-c", _POSIX),
    "zsh": ("zsh", "-f", "-o", "extendedglob", "-o", "magicequalsubst", "-c", _POSIX),
    "fish": ("fish", "--no-config", "-c", _FISH),
}
"""By name of the shell, a command that evaluates its input line by line; zsh with the options that expand most."""

INSTALLED = [name for name in READERS if shutil.which(name)]

AROUND = ("hidden=2", "hidden=6", "-rf.yaml", "--resume", "~", "a", "x=[1]", "learning_rate=0.1", "mlptrain", "train")
"""Names of files that a careless command line would match or take for its own."""


class Shell:
    """A shell in ``folder`` that evaluates one line after another."""

    def __init__(self, name: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            READERS[name],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def words(self, line: str) -> list[str]:
        """Return the words after ``mlptrain`` in a line; if the shell runs something else, what that prints."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        words: list[str] = []
        for word in self._process.stdout:
            if word == "# end\n":
                return words
            words.append(word.removesuffix("\n"))
        raise AssertionError(f"the shell has ended at {line!r}")

    def close(self) -> None:
        """End the shell."""
        self._process.communicate()


@contextmanager
def shell(name: str, folder: Path) -> Iterator[Shell]:
    """Start a shell in a folder with files of the names `AROUND`, and end it afterwards."""
    for other in AROUND:
        (folder / other).touch()
    found = Shell(name, folder)
    try:
        yield found
    finally:
        found.close()


def named(sweep: Spec, path: str) -> Spec:
    """Return the sweep with another path of its base config."""
    return replace(sweep, base=replace(sweep.base, source=path))


def check_line(line: str, sweep: Spec, trial: Trial, *, run: str, runs_dir: str) -> None:
    """Check that ``mlptrain train`` reads a line of ``mlptrain sweep --list`` as the config of a trial."""
    assert not set(line) & set("[]{}()'\"\\*?~$&;|<>!#`^")
    name, command, *words = line.split(" ")
    given = load_command(command).make_context("mlptrain train", words).params
    config, overrides = split_arguments(given["arguments"])
    assert name == "mlptrain" and Path(config or "") == Path(sweep.base_path)
    assert (given["run"], given["resume"]) == (f"{run}/trials/{trial.name}", True)
    assert Path(given["runs_dir"]) == Path(runs_dir)
    assert config_from(merge(sweep.base, parse_overrides(overrides, LIST_KEYS))).resolve() == trial.config
