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


def test_the_tour(workplace):
    """One test, because each block goes on where those before it ended; the Python comes last."""
    for block in TOUR:
        if not block.needs or (block.needs == "mnist" and "MLPTRAIN_DATA_DIR" in os.environ):
            run(["bash", "-euo", "pipefail", "-c", block.code], workplace)
    for block in blocks("python"):
        output = run([sys.executable, "-c", block.code], workplace)
        assert "print" not in block.code or output
