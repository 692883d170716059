from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from mlptrain.cli import main


class Result:
    """Exit code, standard output and standard error of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Command = Callable[..., Result]


@pytest.fixture
def mlptrain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run commands in this process, in a temporary folder, without MLPTRAIN_DATA_DIR; restore the BLAS threads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLPTRAIN_DATA_DIR", raising=False)

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    with threadpool_limits():
        yield run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A config that trains in a few milliseconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text("hidden: [8]\nsubset: 200\nepochs: 2\nbatch_size: 20\n")
    return path
