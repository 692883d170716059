"""The same probabilities from every format, in the code of docs/export.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.losses import PAIRINGS
from mlptrain.errors import DataError, UsageError
from mlptrain.models import onnx as onnxfile
from mlptrain.models.formats import about, write_json
from mlptrain.models.model import Model, load_model_file, save_model
from mlptrain.models.onnx import FUNCTIONS, onnx_model, write_onnx
from mlptrain.runs.finished import export_run
from tests.made import random_model, sample

DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"

SNIPPETS = dict(re.findall(r"<!-- runs: (\w+) -->\n```\w+\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))

DIGITS = sample().images[:1000]

CASES = [
    *((activation, "cross_entropy", "softmax", "float32") for activation in ACTIVATIONS),
    *(("relu", loss, output, "float32") for loss, output in PAIRINGS),
    ("gelu", "cross_entropy", "softmax", "float64"),
]


def made(activation="relu", loss="cross_entropy", output="softmax", dtype="float32", layers=(784, 12, 9, 10)) -> Model:
    """A network of moderate weights, in whose outputs every class has a part."""
    model = random_model(*layers, activation=activation, loss=loss, output=output, dtype=dtype)
    return Model(
        model.architecture,
        tuple(w / np.sqrt(w.shape[1]).astype(w.dtype) for w in model.weights),
        model.biases,
        model.class_names,
        {"dataset": "sample"},
    )


@pytest.mark.parametrize(("activation", "loss", "output", "dtype"), CASES)
def test_onnx(activation, loss, output, dtype):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = made(activation, loss, output, dtype)
    proto = onnx_model(model, about(model, 0.98))
    onnx.checker.check_model(proto, full_check=True)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = DIGITS / np.float32(255)
    expected = model.probabilities(DIGITS)
    for part in (slice(None), slice(0, 1)):
        (found,) = session.run(["probabilities"], {"pixels": rows[part]})
        np.testing.assert_allclose(found, expected[part], atol=1e-5)


def test_onnx_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = made()
    write_onnx(tmp_path / "a.onnx", model, about(model, 0.98))
    write_onnx(tmp_path / "b.onnx", model, about(model, 0.98))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    proto = onnx.load(tmp_path / "a.onnx")
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(facts["class_names"]) == list("0123456789") and facts["test_accuracy"] == "0.98"
    assert facts["pixel_scale"] == "255" and facts["dataset"] == "sample"
    assert proto.opset_import[0].version == 11 and proto.ir_version == 6
    assert FUNCTIONS.keys() == ACTIVATIONS.keys() | {"softmax"}


def test_onnx_that_is_missing_or_too_small(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(UsageError, match=r"pip install 'mlptrain\[onnx\]'"):
        patch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
        write_onnx(tmp_path / "a.onnx", made(), about(made(), None))
    monkeypatch.setattr(onnxfile, "LARGEST", 100)
    pytest.importorskip("onnx")
    with pytest.raises(UsageError, match="at most 100"):
        write_onnx(tmp_path / "a.onnx", made(), about(made(), None))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_json_holds_every_number_exactly(tmp_path, dtype):
    model = made(dtype=dtype)
    write_json(tmp_path / "model.json", model, about(model, None))
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["format"] == "mlptrain json 1" and found["inputs"] == 784 and found["test_accuracy"] is None
    for layer, weights, biases in zip(found["layers"], model.weights, model.biases, strict=True):
        np.testing.assert_array_equal(np.array(layer["weights"], dtype), weights)
        np.testing.assert_array_equal(np.array(layer["biases"], dtype), biases)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_javascript_of_the_documentation(tmp_path):
    assert len(SNIPPETS["json"].splitlines()) == 20
    models = [made(*case) for case in CASES]
    for index, model in enumerate(models):
        write_json(tmp_path / f"{index}.json", model, about(model, None))
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


@pytest.mark.parametrize("form", ["npz", "onnx"])
def test_the_python_of_the_documentation(tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    model = made()
    save_model(tmp_path / "model.npz", model)
    np.save(tmp_path / "digits.npy", DIGITS)
    export_run(tmp_path / "model.npz", form)
    code = SNIPPETS[form] + "\nnp.save('found.npy', probabilities)\n"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), model.probabilities(DIGITS), atol=1e-5)


def test_a_run_is_exported_with_its_accuracy(tmp_path):
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    save_model(folder / "model.npz", made())
    for metrics, accuracy in [("", None), ('{"test_accuracy": 0.5}', 0.5), ('{"test_accuracy": null}', None)]:
        (folder / "metrics.json").write_text(metrics)
        path = export_run("a", "json", runs_dir=tmp_path / "runs")
        assert path == folder / "model.json"
        assert json.loads(path.read_text())["test_accuracy"] == accuracy
    assert export_run(folder, "npz", output=tmp_path) == tmp_path / "model.npz"
    assert load_model_file(tmp_path / "model.npz").architecture == made().architecture
    assert (tmp_path / "model.npz").read_bytes() == (folder / "model.npz").read_bytes()


def test_what_cannot_be_exported(tmp_path):
    save_model(tmp_path / "model.npz", made())
    with pytest.raises(UsageError, match="expected onnx, npz or json; did you mean 'json'"):
        export_run(tmp_path / "model.npz", "jsn")
    with pytest.raises(DataError, match="no run there"):
        export_run("nowhere", runs_dir=tmp_path)
    with pytest.raises(DataError, match="cannot be written"):
        export_run(tmp_path / "model.npz", "json", output=tmp_path / "nowhere" / "model.json")
