from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from mlptrain.system.failures import failure_message


def os_error(number: int, *path: str) -> OSError:
    return OSError(number, os.strerror(number), *path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "ulimit -v"),
        (os_error(errno.ENOMEM), "ulimit -v"),
        (ImportError("libx.so: failed to map segment from shared object"), "ulimit -v"),
        (os_error(errno.EMFILE, "a"), "ulimit -n"),
        (os_error(errno.ENFILE, "a"), "ulimit -n"),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (os_error(errno.EAGAIN), "ulimit -u"),
        (os_error(errno.ENAMETOOLONG, "x" * 300), "shorter"),
    ],
)
def test_limits_have_a_hint(error: Any, words: str) -> None:
    message = failure_message(error)
    assert message is not None and words in message.partition("\nhint: ")[2]


def test_other_errors_of_the_system_name_the_file() -> None:
    assert failure_message(os_error(errno.EIO, "a/b")) == "a/b: input/output error"
    assert failure_message(os_error(errno.EIO)) == "input/output error"


@pytest.mark.parametrize("error", [ValueError("x"), ImportError("no module"), RuntimeError("a bug"), KeyError("x")])
def test_bugs_have_no_message(error: Any) -> None:
    assert failure_message(error) is None
