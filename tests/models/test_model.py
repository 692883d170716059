from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlptrain.engine.network import Network
from mlptrain.errors import DataError
from mlptrain.models.model import FORMAT, Model, load_model_file, make_model, save_model
from tests.made import dataset, model, random_model

LAYERS = (6, 5, 4, 3)

BYTES = dataset(20).images


def saved(path: Path, **changes: object) -> Path:
    """Write a model file in which some arrays are replaced, or removed if their value is None."""
    save_model(path, random_model(*LAYERS))
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [(6, 3), LAYERS], ids=str)
def test_a_saved_model_is_loaded_unchanged(tmp_path: Path, layers: tuple[int, ...], dtype: str) -> None:
    config = {"seed": 3, "hidden": list(layers[1:-1]), "split": [0.7, 0.2, 0.1]}
    made = random_model(*layers, activation="tanh", output="sigmoid", loss="mse", names=("o", "η", "tsu"), dtype=dtype)
    made = replace(made, config=config)
    save_model(tmp_path / "model.npz", made)
    found = load_model_file(tmp_path / "model.npz")
    assert (found.architecture, found.class_names, found.config) == (made.architecture, made.class_names, config)
    for written, read in zip(made.weights + made.biases, found.weights + found.biases, strict=True):
        assert read.dtype == dtype
        np.testing.assert_array_equal(written, read)
    np.testing.assert_array_equal(found.probabilities(BYTES), made.probabilities(BYTES))


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_model(tmp_path / name, random_model(*LAYERS))
    save_model(tmp_path / "c.npz", random_model(*LAYERS, seed=1))
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.npz", "b.npz", "c.npz"))
    assert a == b != c


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize(
    ("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "mse"), ("linear", "mse"), ("softmax", "mse")]
)
def test_the_file_can_be_used_with_numpy_alone(tmp_path: Path, activation: str, output: str, loss: str) -> None:
    made = random_model(*LAYERS, activation=activation, output=output, loss=loss)
    save_model(tmp_path / "model.npz", made)

    functions: dict[str, Any] = {
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "linear": lambda z: z,
        "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    }
    with np.load(tmp_path / "model.npz") as file:
        a = BYTES / file["pixel_scale"]
        a = functions[str(file["activation"])](a @ file["W1"].T + file["b1"])
        a = functions[str(file["activation"])](a @ file["W2"].T + file["b2"])
        a = functions[str(file["output"])](a @ file["W3"].T + file["b3"])
        names = file["class_names"][a.argmax(axis=1)]

    np.testing.assert_allclose(made.probabilities(BYTES), a, rtol=0, atol=1e-12)
    assert [made.class_names[label] for label in made.predict(BYTES)] == names.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [np.array(1.0), np.array(512), np.array(0.5, np.float32), np.array(255.0)])
def test_the_bytes_are_divided_by_the_pixel_scale_of_the_file(tmp_path: Path, scale: NDArray[Any], dtype: str) -> None:
    path = tmp_path / "model.npz"
    made = random_model(6, 3, dtype=dtype)
    save_model(path, made)
    with np.load(path) as file:
        np.savez(path, **{**file, "pixel_scale": scale})
    z = BYTES / scale.astype("float64") @ made.weights[0].T.astype("float64") + made.biases[0]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    found = load_model_file(path)
    np.testing.assert_allclose(found.probabilities(BYTES), e / e.sum(axis=1, keepdims=True), rtol=0, atol=2e-4)
    save_model(path, found)
    np.testing.assert_array_equal(load_model_file(path).probabilities(BYTES), found.probabilities(BYTES))


def test_a_model_without_a_pixel_scale_takes_bytes_divided_by_255(tmp_path: Path) -> None:
    found = load_model_file(saved(tmp_path / "model.npz", pixel_scale=None))
    np.testing.assert_array_equal(found.probabilities(BYTES), random_model(*LAYERS).probabilities(BYTES))


def test_names_shapes_and_types_of_the_arrays(tmp_path: Path) -> None:
    save_model(tmp_path / "model.npz", random_model(*LAYERS, dtype="float32"))
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file}
        assert json.loads(str(file["config"])) == {"seed": 0}
        assert file["W1"].dtype == file["b3"].dtype == np.float32
    texts = dict.fromkeys(("format", "activation", "output", "loss", "pixel_scale", "config"), ())
    weights = {"W1": (5, 6), "b1": (5,), "W2": (4, 5), "b2": (4,), "W3": (3, 4), "b3": (3,)}
    assert shapes == {**weights, **texts, "class_names": (3,)}


def test_bytes_and_floats_give_equal_probabilities() -> None:
    for dtype in ("float32", "float64"):
        made = random_model(*LAYERS, dtype=dtype)
        floats = made.probabilities((BYTES / 255).astype(dtype))
        np.testing.assert_array_equal(made.probabilities(BYTES), floats)
        np.testing.assert_array_equal(made.predict(BYTES), floats.argmax(axis=1))
        assert floats.dtype == dtype


def test_images_may_have_two_dimensions() -> None:
    made = random_model(*LAYERS)
    np.testing.assert_array_equal(made.probabilities(BYTES.reshape(-1, 2, 3)), made.probabilities(BYTES))
    assert made.probabilities(BYTES[:1]).shape == (1, 3)


def test_probabilities_by_hand() -> None:
    # The pixels 255 and 51 give x = (1, 0.2) and z = (2·1, 5·0.2 + 1) = (2, 2): equal probabilities.
    made = model([[[2, 0], [0, 5]]], [[0, 1]])
    np.testing.assert_allclose(made.probabilities(np.array([[255, 51]], np.uint8)), [[0.5, 0.5]], atol=1e-12)
    assert made.predict(np.array([[255, 0], [0, 255]], np.uint8)).tolist() == [0, 1]


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "selu", "gelu", "silu", "softplus", "linear"])
def test_finite_weights_with_infinite_sums_are_refused(activation: str) -> None:
    made = model(
        [np.full((3, 2), -1e308), np.full((3, 3), 1e308), np.full((2, 3), 1e308)],
        [[0] * 3, [1e308] * 3, [0] * 2],
        activation=activation,
        output="linear",
        loss="mse",
    )
    with pytest.raises(DataError, match="not finite"):
        made.predict(np.array([[255, 255]], np.uint8))


def test_the_given_images_are_not_changed() -> None:
    floats = BYTES / 255
    random_model(*LAYERS).probabilities(floats)
    np.testing.assert_array_equal(floats, BYTES / 255)


def test_a_model_does_not_share_memory_with_its_stack() -> None:
    made = random_model(*LAYERS)
    stack = Network(made.architecture, 2, "float64")
    stack.assign(1, made.weights, made.biases)
    frozen = make_model(made.architecture, stack.member(1), made.class_names, {})
    stack.parameters.flat[:] = 0
    np.testing.assert_array_equal(frozen.probabilities(BYTES), made.probabilities(BYTES))
    assert frozen.network().parameters.flat.size == made.architecture.parameter_count


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"W1": None}, "W1 is missing", id="no weights"),
        pytest.param({"W2": None}, "class_names", id="no weights of the second layer"),
        pytest.param({"W3": None}, "class_names", id="no weights of the last layer"),
        pytest.param({"b2": None}, r"W2 \(4, 5\) and b2 \(0,\)", id="no biases"),
        pytest.param({"format": None}, "'format'", id="no format"),
        pytest.param({"format": np.array("mlptrain model 2")}, "mlptrain model 2", id="other format"),
        pytest.param({"format": np.array(1)}, "'format'", id="format that is a number"),
        pytest.param({"format": np.array([FORMAT])}, "'format'", id="format that is a list"),
        pytest.param({"activation": None}, "'activation'", id="no activation"),
        pytest.param({"activation": np.array("step")}, "step", id="unknown activation"),
        pytest.param({"output": np.array("relu")}, "relu", id="unknown output"),
        pytest.param({"loss": np.array("hinge")}, "hinge", id="unknown loss"),
        pytest.param({"output": np.array("linear")}, "linear", id="output that does not fit the loss"),
        pytest.param({"config": None}, "'config'", id="no config"),
        pytest.param({"config": np.array("{seed: 0")}, "not valid JSON", id="config that is not JSON"),
        pytest.param({"config": np.array("[" * 100_000)}, "not valid JSON", id="deeply nested config"),
        pytest.param({"config": np.array("[1]")}, "config", id="config that is a list"),
        pytest.param({"class_names": None}, "class_names", id="no names"),
        pytest.param({"class_names": np.array(["a", "b"])}, "3 texts", id="too few names"),
        pytest.param({"class_names": np.arange(3)}, "class_names", id="names that are numbers"),
        pytest.param({"class_names": np.array([["a"], ["b"], ["c"]])}, "class_names", id="names in a column"),
        pytest.param({"W2": np.ones((4, 6))}, "do not fit", id="layers that do not fit"),
        pytest.param({"W2": np.ones((5, 4))}, "do not fit", id="transposed weights"),
        pytest.param({"W1": np.ones(6)}, "do not fit", id="weights in one dimension"),
        pytest.param({"W1": np.ones((5, 6, 1))}, "do not fit", id="weights in three dimensions"),
        pytest.param({"W1": np.array(1.0)}, "do not fit", id="one weight"),
        pytest.param({"W1": np.ones((5, 0))}, "do not fit", id="no inputs"),
        pytest.param({"b1": np.ones((5, 1))}, "do not fit", id="biases in a column"),
        pytest.param({"W1": np.ones((5, 6), int)}, "float", id="integers"),
        pytest.param({"W1": np.ones((5, 6), bool)}, "float", id="booleans"),
        pytest.param({"W1": np.ones((5, 6), "float32")}, "float type", id="two types"),
        pytest.param({"b3": np.ones(3, "float32")}, "float type", id="two types in a layer"),
        pytest.param({"W3": np.full((3, 4), np.nan)}, "W3 or b3 .* not finite", id="nan"),
        pytest.param({"b1": np.full(5, np.inf)}, "not finite", id="inf"),
        pytest.param({"pixel_scale": np.array(0.0)}, r"pixel_scale .*got 0\.0", id="scale 0"),
        pytest.param({"pixel_scale": np.array(-255)}, r"pixel_scale .*got -255", id="negative scale"),
        pytest.param({"pixel_scale": np.array(np.nan)}, r"pixel_scale .*got nan", id="scale nan"),
        pytest.param({"pixel_scale": np.array(np.inf)}, r"pixel_scale .*got inf", id="infinite scale"),
        pytest.param({"pixel_scale": np.array("255")}, r"pixel_scale .*got <U3", id="scale that is a text"),
        pytest.param({"pixel_scale": np.ones(6)}, r"pixel_scale .*got float64 \(6,\)", id="a scale per pixel"),
        pytest.param({"pixel_scale": np.array(5e-324)}, "W1 / pixel_scale", id="scale too small"),
    ],
)
def test_damaged_models_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = saved(tmp_path / "model.npz", **changes)
    with pytest.raises(DataError, match=words) as caught:
        load_model_file(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).count("\n") < 3


@pytest.mark.parametrize("key", ["format", "activation", "config", "class_names"])
def test_invalid_characters_are_refused(tmp_path: Path, key: str) -> None:
    text = np.full(3 if key == "class_names" else (), 0x7FFFFFFF, np.uint32).view("<U1")
    with pytest.raises(DataError):
        load_model_file(saved(tmp_path / "model.npz", **{key: text}))


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(DataError, match=r"expected a model\.npz"):
        load_model_file(tmp_path / "other.npz")
    with pytest.raises(DataError, match="no such file"):
        load_model_file(tmp_path / "missing.npz")


def test_a_model_is_frozen() -> None:
    with pytest.raises(AttributeError):
        random_model(*LAYERS).class_names = ()  # type: ignore[misc]
    assert isinstance(random_model(*LAYERS), Model)
