"""Checks of completed programs: their results are compared with central differences or with the engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Floats
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.errors import UsageError
from mlptrain.exercises.exercise import Case, Exercise
from mlptrain.system.machine import thread_variables
from mlptrain.system.text import shell_word

LIMIT_SECONDS = 10.0
"""Time in which the calls of a program must be finished."""

STEP = 1e-5
"""Half the distance of the two points of a central difference."""

STEPS = 10
"""Number of steps of an update rule."""

Call = dict[str, Any]

Expected = dict[str, list[tuple[int, int, int, Floats]]]
"""For each item, its results: number of the call, of the step, of the result, and the value."""


@dataclass(frozen=True)
class Verdict:
    """The check of a program: for each item None if it is correct, otherwise the reason; and what was printed."""

    reasons: dict[str, str | None]
    printed: str = ""


def check_program(exercise: Exercise, path: Path, seconds: float = LIMIT_SECONDS) -> Verdict:
    """Run the program at ``path`` in a process of its own and check its results.

    Raises
    ------
    UsageError
        The file is missing, cannot be run, or has no function of the expected name.
    """
    assert exercise.program is not None
    if not path.is_file():
        raise UsageError(f"{path}: no such file\nhint: give the path of a Python file")
    calls, expected = expected_results(exercise)
    answer = _answer({"path": str(path), "function": exercise.program.function, "calls": calls}, seconds)
    return judge(exercise, path, answer, expected)


def expected_results(exercise: Exercise) -> tuple[list[Call], Expected]:
    """Return the calls of the program of an exercise and the results that they must have."""
    assert exercise.program is not None
    return _CASES[exercise.kind](exercise.program.case)


def judge(exercise: Exercise, path: Path, answer: dict[str, Any], expected: Expected) -> Verdict:
    """Compare what `call.call_file` returned with the expected results.

    Raises
    ------
    UsageError
        The file could not be used.
    """
    if "refused" in answer:
        where = path if answer["line"] is None else f"{path}:{answer['line']}"
        command = f"python {shell_word(str(path))}"
        raise UsageError(f"{where}: {answer['refused']}\nhint: mend the file; `{command}` shows errors, too")
    reasons: dict[str, str | None] = {}
    for item in exercise.items:
        found = (_reason(answer, *each) for each in expected[item.id])
        reasons[item.id] = next((reason for reason in found if reason), None)
    return Verdict(reasons, answer.get("printed", ""))


def _reason(answer: dict[str, Any], call: int, step: int, result: int, right: Floats) -> str | None:
    """Return why a result is incorrect, or None."""
    if "failed" in answer:
        return str(answer["failed"])
    made = answer["results"][call]
    if step >= len(made["values"]):
        where = "" if made["line"] is None else f"line {made['line']}: "
        return f"{where}{made['error']}"
    values = made["values"][step]
    if result >= len(values):
        return f"too few results (got {len(values)})"
    value = np.asarray(values[result])
    if value.shape != right.shape:
        return f"the shape must be {right.shape} (got {value.shape})"
    wrong = ~np.isclose(value, right, rtol=1e-5, atol=1e-7)
    if not wrong.any():
        return None
    at = np.unravel_index(
        int(np.argmax(np.where(wrong, np.nan_to_num(abs(value - right), nan=np.inf), 0))), right.shape
    )
    place = f" at {list(map(int, at))}" if at else ""
    return f"expected {right[at]:.6g}{place} (got {value[at]:.6g})"


def _answer(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the answer of the process, or the reason why there is none as ``failed``."""
    with thread_variables(1):
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("call.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        output, _ = process.communicate(json.dumps(request).encode(), timeout=seconds)
        answer: dict[str, Any] = json.loads(output)
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {seconds:g} seconds"}
    except (ValueError, BrokenPipeError):
        return {"failed": "the program ended without a result"}
    finally:
        _end(process)
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def central_differences(function: Callable[[Floats], float], at: Floats) -> Floats:
    """Return the gradient of ``function`` by (f(x + h) - f(x - h)) / 2h, entry by entry."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += STEP
        below[index] -= STEP
        gradient[index] = (function(above) - function(below)) / (2 * STEP)
    return gradient


def _backward_case(case: Case) -> tuple[list[Call], Expected]:
    """Compare with central differences of the sum of da * forward(x, W, b)."""
    rng = np.random.default_rng(0)
    inputs, units, batch = 3, 4, 5
    x, w, da = rng.normal(size=(inputs, batch)), rng.normal(size=(units, inputs)), rng.normal(size=(units, batch))
    b = rng.normal(size=(units, 1))

    def cost(x: Floats, w: Floats, b: Floats) -> float:
        z = w @ x + b
        ACTIVATIONS[case.name].apply(z, np.empty_like(z))
        return float((da * z).sum())

    gradients = [
        central_differences(lambda array: cost(x, array, b), w),
        central_differences(lambda array: cost(x, w, array), b),
        central_differences(lambda array: cost(array, w, b), x),
    ]
    arguments = [x, w, b, da]
    if case.rows:
        arguments = [array[:, 0] if array is b else array.T for array in arguments]
        gradients = [gradients[0].T, gradients[1][:, 0], gradients[2].T]
    calls = [{"start": [], "steps": [[array.tolist() for array in arguments]]}]
    return calls, {
        name: [(0, 0, n, right)] for n, (name, right) in enumerate(zip(("dW", "db", "dx"), gradients, strict=True))
    }


def _update_case(case: Case) -> tuple[list[Call], Expected]:
    """Compare with the update rule of the engine."""
    rng = np.random.default_rng(0)
    rule, h = OPTIMIZERS[case.name], dict(case.numbers)
    w = rng.normal(size=(2, 3))
    states = [np.zeros_like(w) for _ in range(rule.states)]
    start, gradients, weights = [w.tolist(), *(state.tolist() for state in states)], [], []
    for t in range(1, STEPS + 1):
        g = rng.normal(size=w.shape)
        gradients.append([g.tolist(), t])
        h |= rule.numbers(h, t) if rule.numbers else {}
        rule.update(w, g * h["rate"] if rule.linear else g, states, np.empty_like(w), h)
        weights.append(w.copy())
    steps = {"first": 0, "second": 1, "tenth": STEPS - 1}
    return [{"start": start, "steps": gradients}], {name: [(0, n, 0, weights[n])] for name, n in steps.items()}


def _loss_case(case: Case) -> tuple[list[Call], Expected]:
    """Compare the loss with that of the engine, its gradient with central differences."""
    rng = np.random.default_rng(0)
    classes, batch = 4, 3
    pairing = PAIRINGS[tuple(case.name.split())]  # type: ignore[index]
    y = np.eye(classes)[:, [0, 2, 3]]

    def cost(z: Floats) -> float:
        values = pairing.value(z, y)
        return float(values.mean() if case.mean else values.sum())

    z = rng.normal(size=(classes, batch))
    large = np.where(rng.random(z.shape) < 0.5, 1000.0, -1000.0)
    gradient = np.empty_like(large)
    with np.errstate(over="ignore"):  # of exp, in the sigmoid
        pairing.delta(large, y, gradient, np.empty_like(large), np.empty((1, batch)))
        large_cost = cost(large)
    if case.mean:
        gradient /= batch
    results = [np.array(cost(z)), central_differences(cost, z), np.array(large_cost), gradient]
    if case.rows:
        z, y_given, large, results = z.T, y.T, large.T, [array.T for array in results]
    else:
        y_given = y
    calls = [{"start": [], "steps": [[array.tolist(), y_given.tolist()]]} for array in (z, large)]
    value, slope, large_value, large_slope = results
    return calls, {
        "value": [(0, 0, 0, value)],
        "gradient": [(0, 0, 1, slope)],
        "large": [(1, 0, 0, large_value), (1, 0, 1, large_slope)],
    }


_CASES: dict[str, Callable[[Case], tuple[list[Call], Expected]]] = {
    "backward": _backward_case,
    "update-rule": _update_case,
    "loss": _loss_case,
}
