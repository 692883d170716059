from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.models.formats import FORMATS, write_model
from mlptrain.models.model import save_model
from tests.models.made import CASES, DIGITS, moderate_model

DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"

SNIPPETS = dict(re.findall(r"<!-- runs: (\w+) -->\n```\w+\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_json_reproduces_every_number_exactly(tmp_path: Path, dtype: str) -> None:
    model = moderate_model(dtype=dtype)
    write_model(tmp_path / "model.json", "json", model)
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["format"] == "mlptrain json 1" and found["inputs"] == 784
    for layer, weights, biases in zip(found["layers"], model.weights, model.biases, strict=True):
        np.testing.assert_array_equal(np.array(layer["weights"], dtype), weights)
        np.testing.assert_array_equal(np.array(layer["biases"], dtype), biases)


@pytest.mark.parametrize("accuracy", [None, 0.5])
def test_json_contains_the_metadata(tmp_path: Path, accuracy: float | None) -> None:
    write_model(tmp_path / "model.json", "json", moderate_model("gelu"), accuracy)
    found = json.loads((tmp_path / "model.json").read_text())
    assert (found["activation"], found["output"], found["loss"]) == ("gelu", "softmax", "cross_entropy")
    assert (found["test_accuracy"], found["dataset"], found["pixel_scale"]) == (accuracy, "sample", 255)
    assert found["class_names"] == list("0123456789") and found["made_by"].startswith("mlptrain ")


def test_npz_is_the_file_of_a_run(tmp_path: Path) -> None:
    save_model(tmp_path / "model.npz", moderate_model())
    write_model(tmp_path / "exported.npz", "npz", moderate_model(), 0.5)
    assert (tmp_path / "exported.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"onnx, npz or json .*'jsn'.*'json'"):
        write_model(tmp_path / "model.jsn", "jsn", moderate_model())


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_cannot_be_written(tmp_path: Path, format: str) -> None:
    if format == "onnx":
        pytest.importorskip("onnx")
    with pytest.raises(DataError, match="cannot be written"):
        write_model(tmp_path / "nowhere" / "model", format, moderate_model())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_javascript_in_the_documentation(tmp_path: Path) -> None:
    assert len(SNIPPETS["json"].splitlines()) == 20
    models = [moderate_model(*case) for case in CASES]
    for index, model in enumerate(models):
        write_model(tmp_path / f"{index}.json", "json", model)
    (tmp_path / "digits.json").write_text(json.dumps(DIGITS[:20].tolist()))
    script = (
        SNIPPETS["json"]
        + f"""
const read = name => JSON.parse(require("fs").readFileSync(name));
const digits = read("digits.json");
const results = [...Array({len(models)}).keys()].map(index => {{
  const model = read(`${{index}}.json`);
  return digits.map(pixels => probabilities(model, pixels));
}});
console.log(JSON.stringify(results));
"""
    )
    (tmp_path / "run.js").write_text(script)
    done = subprocess.run(["node", "run.js"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for model, found in zip(models, json.loads(done.stdout), strict=True):
        np.testing.assert_allclose(found, model.probabilities(DIGITS[:20]), atol=1e-5)


@pytest.mark.parametrize("format", ["npz", "onnx"])
def test_the_python_in_the_documentation(tmp_path: Path, format: str) -> None:
    if format == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    model = moderate_model()
    write_model(tmp_path / f"model.{format}", format, model)
    np.save(tmp_path / "digits.npy", DIGITS)
    code = SNIPPETS[format] + "\nnp.save('found.npy', probabilities)\n"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), model.probabilities(DIGITS), atol=1e-5)
