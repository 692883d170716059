"""Matrix products of training: those of NumPy or, on request, of Intel's MKL.

NumPy has no product that adds to an array, which its BLAS library has: C ← α A·B + β C. `Descent` calls that function
for the step W ← W − δ·aᵀ of gradient descent, which saves an array for the gradient and a pass over the weights. If
the function is not found, NumPy computes the same in two passes.

With ``MLPTRAIN_PRODUCTS=mkl`` in the environment `multiplication` and `Descent` use MKL (extra ``mkl``).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from mlptrain.engine.arrays import Floats

VARIABLE = "MLPTRAIN_PRODUCTS"
"""Environment variable with the library that multiplies matrices: ``numpy`` (default) or ``mkl``."""

_ROW_MAJOR, _AS_IS, _TRANSPOSED = 101, 111, 112  # constants of CBLAS
_NUMBERS: dict[str, tuple[str, Any]] = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}  # by dtype.char
# Names of C ← α A·B + β C in NumPy 2, NumPy 1 and NumPy of Linux distributions, and the type of sizes.
_NAMES: tuple[tuple[str, Any], ...] = (
    ("scipy_cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm", ctypes.c_int),
)

Gemm = Callable[..., object]
"""The function C ← α A·B + β C of a BLAS library for one dtype."""


def _layout(matrix: Floats) -> tuple[int, int]:
    """Return how a matrix lies in memory, by rows or transposed, and the distance between its rows or columns."""
    rows, columns = (stride // matrix.itemsize for stride in matrix.strides)
    return (_AS_IS, rows) if columns == 1 and rows >= matrix.shape[1] else (_TRANSPOSED, columns)


def _arguments(a: Floats, b: Floats, out: Floats, alpha: float, beta: float) -> list[Any]:
    """Return the arguments of `Gemm` for matrices whose rows or columns are contiguous."""
    (a_order, a_step), (b_order, b_step) = _layout(a), _layout(b)
    (rows, inner), (_, columns) = a.shape, b.shape
    return [
        *(_ROW_MAJOR, a_order, b_order, rows, columns, inner),
        *(alpha, a.ctypes.data, a_step, b.ctypes.data, b_step),
        *(beta, out.ctypes.data, columns),
    ]


_B = 9  # position of the address of b


def mkl_version() -> str | None:
    """Return the version of MKL if it multiplies the matrices, otherwise None."""
    return metadata.version("mkl") if products_library() == "mkl" else None


def products_library() -> str:
    """Return the library that the environment selects, ``numpy`` or ``mkl``.

    Raises
    ------
    ValueError
        The variable has another value.
    """
    name = os.environ.get(VARIABLE) or "numpy"
    if name not in ("numpy", "mkl"):
        raise ValueError(f"{VARIABLE}: expected numpy or mkl (got {name!r})")
    return name


@cache
def _mkl() -> ctypes.CDLL:
    """Load MKL.

    Raises
    ------
    ValueError
        It is not installed, or cannot be loaded.
    """
    try:
        files = [file for file in metadata.files("mkl") or () if "mkl_rt" in file.name]
        return ctypes.CDLL(str(files[0].locate()))
    except (metadata.PackageNotFoundError, IndexError, OSError) as error:
        message = f"{VARIABLE}=mkl: MKL is not installed ({error})\nhint: pip install 'mlptrain[mkl]'"
        raise ValueError(message) from error


@cache
def _gemm(char: str, library: str) -> Gemm | None:
    """Return the function of a library for a dtype, given as its ``char``, or None if it is not found."""
    letter, number = _NUMBERS[char]
    if library == "mkl":
        return _declared(getattr(_mkl(), f"cblas_{letter}gemm"), ctypes.c_int, number)
    modules = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
    numpy = ctypes.CDLL(next(str(sys.modules[name].__file__) for name in modules if name in sys.modules))
    for name, size in _NAMES:
        function = getattr(numpy, name.format(letter), None)
        if function is not None:
            return _declared(function, size, number)
    return None


def _declared(function: Any, size: Any, number: Any) -> Gemm:
    """Declare the types of the arguments in `_arguments`, and return the function."""
    address = ctypes.c_void_p
    sizes, numbers = [size] * 3, [number, address, size, address, size, number, address, size]
    function.argtypes = [*[ctypes.c_int] * 3, *sizes, *numbers]
    function.restype = None
    declared: Gemm = function
    return declared


def multiplication() -> Callable[..., object]:
    """Return the function ``multiply(a, b, out)`` of the selected library: out ← a·b for matrices.

    Raises
    ------
    ValueError
        It is not installed.
    """
    if products_library() == "numpy":
        return np.dot
    _mkl()
    return _mkl_multiply


def _mkl_multiply(a: Floats, b: Floats, out: Floats) -> None:
    gemm = _gemm(a.dtype.char, "mkl")
    assert gemm is not None
    gemm(*_arguments(a, b, out, 1.0, 0.0))


class Descent:
    """The step ``out`` ← out − a·b for arrays ``a`` and ``out`` that stay where they are, called with b.

    All b have the same layout. Arrays are matrices or stacks of them; ``scratch`` has the shape of ``out`` and is used
    where NumPy computes the step.
    """

    def __init__(self, a: Floats, out: Floats, scratch: Floats) -> None:
        self._a, self._out, self._scratch = a, out, scratch
        self._b: Floats | None = None
        self._product = np.dot if out.ndim == 2 else np.matmul
        self._gemm = _gemm(out.dtype.char, products_library()) if out.ndim == 2 else None
        self._arguments: list[Any] = []

    def __call__(self, b: Floats) -> None:
        """Make the step."""
        if self._gemm is None:
            self._product(self._a, b, out=self._scratch)
            self._out -= self._scratch
            return
        if self._b is None:
            self._arguments = _arguments(self._a, b, self._out, -1.0, 1.0)
        elif b is not self._b:
            self._arguments[_B] = b.ctypes.data
        self._b = b
        self._gemm(*self._arguments)
