"""A process that calls the function of a file; `checking` starts it by its path, so it imports nothing of mlptrain.

It reads one JSON object with ``path``, ``function`` and ``calls`` from standard input and writes one to standard
output: ``refused`` and ``line`` if the file cannot be used, otherwise ``results``, one for each call, and ``printed``,
the beginning of what the file printed.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

MAX_PRINTED = 2_000
"""Largest number of characters of ``printed``."""

MAX_REASON = 120
"""Largest number of characters of an error."""

MAX_ENTRIES = 10_000
"""Largest number of entries of a result."""

MAX_MEMORY = 4 * 2**30
"""Address space of the process in bytes."""


class _Beginning(io.TextIOBase):
    """A stream that keeps the first `MAX_PRINTED` characters."""

    text = ""

    def write(self, text: str, /) -> int:
        self.text += text[: MAX_PRINTED - len(self.text)]
        return len(text)


def call_file(path: str, function: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Run a file and make the calls of its function.

    A call has the first arguments ``start`` and a list ``steps`` of further arguments: the function is called once per
    step with the results of the step before, or ``start``, and the arguments of the step.
    """
    printed = _Beginning()
    with redirect_stdout(printed), redirect_stderr(printed):
        answer = _run(path, function, calls)
    return {**answer, "printed": printed.text}


def _run(path: str, function: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "exercise", "__file__": path}
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), namespace)
    except SyntaxError as error:
        return {"refused": f"invalid syntax: {error.msg}", "line": error.lineno}
    except BaseException as error:  # also SystemExit
        line, text = _describe(error, path)
        return {"refused": text, "line": line}
    if not callable(namespace.get(function)):
        return {"refused": f"the function {function} is missing", "line": None}
    return {"results": [_call(namespace[function], path, **each) for each in calls]}


def _call(function: Any, path: str, start: list[Any], steps: list[list[Any]]) -> dict[str, Any]:
    """Return the values of each step, each as a list of results, or the error."""
    import numpy as np

    def array(value: Any) -> Any:
        return np.array(value, float) if isinstance(value, list) else value

    values, results = [], tuple(map(array, start))
    try:
        for step in steps:
            result = function(*results, *map(array, step))
            results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
            values.append([_plain(np.asarray(entry, float)) for entry in results])
    except BaseException as error:
        line, text = _describe(error, path)
        return {"values": values, "error": text, "line": line}
    return {"values": values}


def _plain(result: Any) -> Any:
    if result.size > MAX_ENTRIES:
        raise ValueError(f"a result has {result.size:,} entries")
    return result.tolist()


def _describe(error: BaseException, path: str) -> tuple[int | None, str]:
    """Return the line of the file that raised an error, and the error in words."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return (frames[-1].lineno if frames else None), text[:MAX_REASON]


def main() -> None:
    """Answer the request on standard input; what the file writes to the descriptors 1 and 2 is dropped."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    request = json.load(sys.stdin)
    sys.path = [folder for folder in sys.path if Path(folder) != Path(__file__).parent]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        json.dump(call_file(**request), answer)


if __name__ == "__main__":
    main()
