"""The workflow of ``docs/ci.md``: its steps run as a shell script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.readme import ROOT, blocks


def test_the_steps_of_the_workflow_run(tmp_path):
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
