"""The expected errors, each with its exit code.

    MlptrainError
    ├── UsageError      2   the command line, an existing run, a missing extra
    │   └── ConfigError 2   a config file or an override
    ├── DataError       3   data, model or run files: missing, damaged, unwritable, not downloadable; unwritable output
    ├── DivergedError   4   training produced a non-finite loss
    ├── AccuracyError   5   --min-accuracy was not met; also the code of exercises with wrong answers
    └── TrialsError     6   some trials of a sweep failed

Limits of the system, such as too little memory, and its other failures have exit code 3, too (`failure_message`). Any
other exception is a bug and shows its traceback (exit code 1).
"""

from __future__ import annotations

from typing import ClassVar


class MlptrainError(Exception):
    """Base of all expected errors; ``str(error)`` is the message for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(MlptrainError):
    """An invalid argument, a folder that is in use or contains another run, or a missing extra."""

    exit_code = 2


class ConfigError(UsageError):
    """An invalid key or value in a config file or an override."""


class DataError(MlptrainError):
    """Data, models, runs or output that are missing, damaged, unreadable or unwritable, or a lost Dask scheduler."""

    exit_code = 3


class DivergedError(MlptrainError):
    """A non-finite loss in training."""

    exit_code = 4


class AccuracyError(MlptrainError):
    """An accuracy below ``--min-accuracy``."""

    exit_code = 5


class TrialsError(MlptrainError):
    """A sweep in which some trials diverged or could not be trained."""

    exit_code = 6
