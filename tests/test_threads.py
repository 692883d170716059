from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlptrain.threads import VARIABLES, available_cores, configured_threads, threads_for, use_threads


@pytest.fixture(autouse=True)
def no_threads_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("layers", "batch", "cores", "threads"),
    [
        ((784, 30, 10), 10, 16, 1),  # 235,200 multiply-adds: too few to share
        ((784, 128, 10), 64, 16, 1),  # 6,422,528: not worth the waiting
        ((784, 512, 512, 10), 128, 2, 2),  # 51,380,224
        ((784, 512, 512, 10), 128, 16, 2),
        ((784, 1024, 1024, 1024, 10), 256, 16, 13),  # 268,435,456 in the middle
        ((784, 1024, 1024, 1024, 10), 256, 0, 1),
        ((784, 10), 1, 16, 1),
    ],
)
def test_threads_for(layers, batch, cores, threads):
    assert threads_for(layers, batch, cores) == threads


def test_cores_are_at_most_the_machines():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    assert threads_for((784, 1000, 10), 1000) == available_cores()


def test_the_first_variable_that_holds_a_count(monkeypatch):
    assert configured_threads() is None
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert configured_threads() == 3
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert configured_threads() == 2


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "4,2", "1.5", "²"])
def test_a_variable_that_holds_no_count_is_passed_over(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert configured_threads() is None


def test_too_late_for_a_loaded_numpy():
    import numpy  # noqa: F401

    use_threads(3)
    assert configured_threads() is None


def test_in_time_for_numpy():
    code = (
        "import os, sys; from mlptrain.threads import *; use_threads(3); assert 'numpy' not in sys.modules;"
        "print(configured_threads(), *(os.environ[name] for name in VARIABLES))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3"] * (1 + len(VARIABLES))
