"""The workflow of ``docs/ci.md``, whose steps run as a shell script, and those of the project."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.readme import ROOT, blocks


def test_the_steps_of_the_workflow_run(tmp_path: Path) -> None:
    """Run them as GitHub does, with a ``pip`` that only records; those that need MNIST if its files are there."""
    workflow = yaml.safe_load(next(block.code for block in blocks(ROOT / "docs/ci.md") if block.language == "yaml"))
    (job,) = workflow["jobs"].values()
    data = os.environ.get("MLPTRAIN_DATA_DIR")
    steps = [step["run"] for step in job["steps"] if "run" in step]
    script = "\n".join(step for step in steps if data or "mnist" not in step)
    assert "mlptrain train smoke" in script and "--min-accuracy" in script
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/pip").write_text('#!/bin/sh\necho "$@" >> pip.log\n')
    (tmp_path / "programs/pip").chmod(0o755)
    if data:
        (tmp_path / job["env"]["MLPTRAIN_DATA_DIR"]).symlink_to(Path(data).resolve())
    path = os.pathsep.join([str(tmp_path / "programs"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **job["env"], "PATH": path, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pip.log").read_text() == "install .\n"
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.count("passed") == script.count("mlptrain train") == summary.count("```text")
    artifact = next(step["with"] for step in job["steps"] if "upload-artifact" in step.get("uses", ""))
    assert json.loads((tmp_path / artifact["path"] / "smoke/metrics.json").read_text())["test_accuracy"] > 0.87


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflows_name_what_exists(path: Path) -> None:
    """Check modules, extras and actions; actionlint checks the rest."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            run = step.get("run", "")
            tests = job.get("strategy", {}).get("matrix", {}).get("test", [])
            for command in [run.replace("${{ matrix.test }}", test) for test in tests] or [run]:
                for module in re.findall(r"python -m (tests[.\w]+)", command):
                    assert importlib.util.find_spec(module), module
                for extra in re.findall(r"\.\[(\w+)\]", command):
                    assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
            assert bool(run) != ("uses" in step) and re.search(r"@[\w/.]+$", step.get("uses", "@v1"))
    assert workflow["permissions"] == {"contents": "read"}
