from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlptrain.errors import UsageError
from mlptrain.models import onnx as onnx_module
from mlptrain.models.formats import describe_model
from mlptrain.models.onnx import FUNCTIONS, onnx_model, write_onnx
from tests.models.made import CASES, DIGITS, moderate_model

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize(("activation", "loss", "output", "dtype"), CASES)
def test_onnx_gives_the_probabilities_of_the_model(activation: str, loss: str, output: str, dtype: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = moderate_model(activation, loss, output, dtype)
    proto = onnx_model(model, describe_model(model, 0.98))
    onnx.checker.check_model(proto, full_check=True)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = DIGITS / np.float32(255)
    expected = model.probabilities(DIGITS)
    for some in (slice(None), slice(0, 1)):
        (found,) = session.run(["probabilities"], {"pixels": rows[some]})
        np.testing.assert_allclose(found, expected[some], atol=1e-5)


def test_functions_that_can_be_exported() -> None:
    activations = {"sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "linear"}
    assert FUNCTIONS.keys() >= activations | {"softmax"}


def test_versions_and_metadata(tmp_path: Path) -> None:
    model = moderate_model()
    write_onnx(tmp_path / "a.onnx", model, describe_model(model, 0.98))
    proto = onnx.load(tmp_path / "a.onnx")
    assert proto.opset_import[0].version == 11 and proto.ir_version == 6
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(metadata["class_names"]) == list("0123456789") and metadata["test_accuracy"] == "0.98"
    assert metadata["pixel_scale"] == "255" and metadata["dataset"] == "sample"
    assert "test_accuracy" not in {entry.key for entry in onnx_model(model, describe_model(model, None)).metadata_props}


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(tmp_path / name, moderate_model(), {})
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_missing_library_is_reported_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlptrain\[onnx\]'"):
        write_onnx(tmp_path / "a.onnx", moderate_model(), {})


def test_models_that_onnx_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = moderate_model()
    unknown = replace(model, architecture=replace(model.architecture, activation="made_up"))
    with pytest.raises(UsageError, match="made_up"):
        write_onnx(tmp_path / "a.onnx", unknown, {})
    monkeypatch.setattr(onnx_module, "MAX_PARAMETERS", 100)
    with pytest.raises(UsageError, match="at most 100"):
        write_onnx(tmp_path / "a.onnx", model, {})
    assert not list(tmp_path.iterdir())
