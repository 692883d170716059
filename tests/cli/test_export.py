from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_export_writes_the_chosen_format(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    mlptrain("train", tiny, "--run", "a", "-q")
    result = mlptrain("export", "a", "--format", "json")
    assert result.code == 0 and result.out.startswith("runs/a/model.json: json, ")
    accuracy = json.loads((tmp_path / "runs/a/metrics.json").read_text())["test_accuracy"]
    assert json.loads((tmp_path / "runs/a/model.json").read_text())["test_accuracy"] == accuracy
    found = json.loads(mlptrain("export", "a", "--format", "npz", "--output", "b.npz", "--json", "-q").out)
    assert found == {"output": "b.npz", "format": "npz", "bytes": (tmp_path / "b.npz").stat().st_size}
    refused = mlptrain("export", "a", "--format", "pickle")
    assert refused.code == 2 and "onnx, npz, json or html" in refused.err
