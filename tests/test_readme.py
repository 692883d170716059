"""Every command and every piece of Python in the README runs, in the order in which it stands there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import README, blocks

INSTALL, TEST, *TOUR = blocks("bash")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the configs, where the tour's runs collect; ``mlptrain`` and ``python`` are this environment's."""
    folder = tmp_path_factory.mktemp("tour")
    shutil.copytree(README.parent / "configs", folder / "configs")
    shutil.copytree(README.parent / "docs", folder / "docs")
    return folder


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_first_two_commands_are_what_ci_runs():
    assert INSTALL.code.strip().endswith("pip install -e . && mlptrain train configs/quickstart.yaml")
    assert TEST.code.strip() == "pip install -e '.[test]' && python -m pytest"


@pytest.mark.parametrize("index", range(len(TOUR)), ids=lambda index: TOUR[index].code.split("\n")[0][:60])
def test_the_tour(index, workplace):
    if TOUR[index].needs and "MLPTRAIN_DATA_DIR" not in os.environ:
        pytest.skip("needs the official MNIST files in MLPTRAIN_DATA_DIR")
    run(["bash", "-euo", "pipefail", "-c", TOUR[index].code], workplace)


@pytest.mark.parametrize("index", range(len(blocks("python"))))
def test_the_python(index, workplace):
    if not (workplace / "runs" / "wide").exists():
        run(
            ["mlptrain", "train", "configs/quickstart.yaml", "hidden=[64,32]", "activation=relu", "--run=wide"],
            workplace,
        )
    output = run([sys.executable, "-c", blocks("python")[index].code], workplace)
    assert "print" not in blocks("python")[index].code or output
