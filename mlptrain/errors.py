"""The errors that a user may meet, each with its exit code.

    MlptrainError
    ├── UsageError      2   the command line, an existing run, a missing extra
    │   └── ConfigError 2   a config file or an override
    ├── DataError       3   data, model or run files: missing, damaged, unwritable, not downloadable
    ├── DivergedError   4   training ran into non-finite numbers
    ├── AccuracyError   5   --min-accuracy was not met
    └── TrialsError     6   some trials of a sweep failed

Whatever is not in this tree is a bug and shows its traceback (exit 1).
"""

from __future__ import annotations

from typing import ClassVar


class MlptrainError(Exception):
    """Base of all expected errors; ``str(error)`` is the message for the user, at most three lines."""

    exit_code: ClassVar[int] = 1


class UsageError(MlptrainError):
    """The command line or a call asks for something that cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A config file or an override holds something that is not allowed there."""


class DataError(MlptrainError):
    """A data, model or run file is missing, damaged, unreadable or unwritable."""

    exit_code = 3


class DivergedError(MlptrainError):
    """Training produced a non-finite loss."""

    exit_code = 4


class AccuracyError(MlptrainError):
    """The accuracy that ``--min-accuracy`` demands was not reached."""

    exit_code = 5


class TrialsError(MlptrainError):
    """Some trials of a sweep diverged or could not be trained."""

    exit_code = 6
