"""Steps of descent as one product against two passes of NumPy, and the products of MKL."""

from importlib import metadata
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Config
from mlptrain.engine import optimizers, products
from mlptrain.engine.products import Descent, mkl_version, multiplication
from mlptrain.training.stack import Stack

MKL = bool(list(metadata.distributions(name="mkl")))


@pytest.fixture(params=["numpy", pytest.param("mkl", marks=pytest.mark.skipif(not MKL, reason="MKL is missing"))])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(products.VARIABLE, request.param)
    return str(request.param)


def matrices(rng: np.random.Generator, rows: int, columns: int, dtype: str) -> list[np.ndarray]:
    """The same kind of matrix stored by rows, stored by columns, and as part of a wider one."""
    by_rows = rng.standard_normal((rows, columns)).astype(dtype)
    return [by_rows, np.asfortranarray(by_rows), np.pad(by_rows, ((0, 0), (0, 3)))[:, :columns]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (10, 64, 784), (30, 1, 784), (1, 7, 1), (128, 700, 40)])
def test_descent_and_multiplication(library: str, shape: tuple[int, int, int], dtype: str) -> None:
    rows, inner, columns = shape
    rng, tolerance = np.random.default_rng(0), 1e-4 if dtype == "float32" else 1e-12
    multiply = multiplication()
    for a in matrices(rng, rows, inner, dtype):
        for b in matrices(rng, inner, columns, dtype):
            expected = a.astype(np.float64) @ b.astype(np.float64)
            found = np.empty((rows, columns), dtype)
            multiply(a, b, out=found)
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
            out = rng.standard_normal((rows, columns)).astype(dtype)
            expected = out - expected
            Descent(a, out, np.empty_like(out))(b)
            np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)


def test_each_call_of_a_descent_reads_its_own_matrix(library: str) -> None:
    rng = np.random.default_rng(0)
    a, out = rng.standard_normal((2, 3)), np.zeros((2, 4))
    batches = rng.standard_normal((5, 3, 4))
    descent = Descent(a, out, np.empty_like(out))
    for b in batches:
        descent(b)
    np.testing.assert_allclose(out, -(a @ batches.sum(axis=0)), atol=1e-12)


def test_a_library_without_a_known_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy computes the step, which has the same bits where the library computes it."""
    rng = np.random.default_rng(0)
    a, b, start = (rng.standard_normal(shape).astype("float32") for shape in [(8, 16), (16, 9), (8, 9)])
    first, second = start.copy(), start.copy()
    Descent(a, first, np.empty_like(first))(b)
    monkeypatch.setattr(products, "_gemm", lambda char, library: None)
    Descent(a, second, np.empty_like(second))(b)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    np.testing.assert_array_equal(second, start - np.dot(a, b))


STACKS: list[Any] = [
    pytest.param([{"hidden": []}], id="no hidden layer"),
    pytest.param([{"hidden": [7, 5]}], id="two hidden layers"),
    pytest.param([{"hidden": [7], "batch_norm": True}], id="batch norm"),
    pytest.param([{"hidden": [7], "dropout": 0.5, "input_dropout": 0.2}], id="dropout"),
    pytest.param([{"hidden": [7], "max_norm": 0.5, "ema": 0.9}], id="max_norm, ema"),
    pytest.param([{"hidden": [7, 5]}, {"hidden": [4, 6], "learning_rate": 0.1}], id="stack"),
    pytest.param([{"hidden": [7], "input_dropout": 0.2}, {"hidden": [3], "input_dropout": 0.5}], id="stack, dropout"),
]


@pytest.mark.parametrize("values", STACKS)
def test_training_with_and_without_descent(
    library: str, monkeypatch: pytest.MonkeyPatch, values: list[dict[str, Any]]
) -> None:
    configs = [Config.model_validate({"dtype": "float64", "batch_size": 6, **each}).resolve() for each in values]
    rng = np.random.default_rng(0)
    found = []
    batches = [(rng.random((size, 12)), np.eye(3)[rng.integers(0, 3, size)].T) for size in (6, 6, 6, 2)]
    for limit in (0, 10**9):
        monkeypatch.setattr(optimizers, "DESCENT_WEIGHTS", limit)
        stack = Stack(configs, 12, 3, 100)
        assert stack.optimizer.descends == (limit == 0)
        for x, y in batches:
            stack.step(x, y, np.empty((len(configs), 3, len(x))))
        stack.refresh()
        found.append([stack.plain.flatten(member) for member in range(len(configs))])
    for descended, subtracted in zip(*found, strict=True):
        np.testing.assert_allclose(descended, subtracted, atol=1e-12)


@pytest.mark.parametrize("values", [{"l2": 0.1}, {"l1": 0.1}, {"clip_norm": 1.0}, {"optimizer": "momentum"}])
def test_steps_that_need_the_gradient(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    monkeypatch.setattr(optimizers, "DESCENT_WEIGHTS", 0)
    assert not Stack([Config.model_validate(values).resolve()], 12, 3, 10).optimizer.descends


def test_the_selected_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(products.VARIABLE, raising=False)
    assert multiplication() is np.dot
    assert mkl_version() is None
    monkeypatch.setenv(products.VARIABLE, "blis")
    with pytest.raises(ValueError, match=r"expected numpy or mkl .*'blis'"):
        multiplication()


def test_mkl_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error if it is selected, and not needed otherwise."""
    monkeypatch.setattr(products, "_mkl", products._mkl.__wrapped__)
    monkeypatch.setattr(products, "_gemm", products._gemm.__wrapped__)
    monkeypatch.setattr(metadata, "files", lambda name: None)
    monkeypatch.setenv(products.VARIABLE, "mkl")
    out = np.zeros((2, 2))
    for use in (multiplication, lambda: Descent(out, out, out)):
        with pytest.raises(ValueError, match=r"mlptrain\[mkl\]"):
            use()
    monkeypatch.setenv(products.VARIABLE, "numpy")
    Descent(np.eye(2), out, np.empty_like(out))(np.eye(2))
    np.testing.assert_array_equal(out, -np.eye(2))
