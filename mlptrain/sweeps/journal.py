"""The journal of a sweep: one JSON object a line, only ever appended to, each line on the disk before work goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.errors import DataError
from mlptrain.files import reason, sync_folder

JOURNAL = "journal.jsonl"

Event = dict[str, Any]


class Journal:
    """Appends to a journal; whoever holds the sweep folder's lock may make one."""

    def __init__(self, path: Path) -> None:
        """Open or begin the journal; the torn last line of a process that was killed is cut off.

        Raises
        ------
        DataError
            It cannot be written.
        """
        self.path = path
        try:
            new = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            if new:
                sync_folder(path.parent)
            else:
                self._cut_torn_line()
        except OSError as error:
            raise self._unwritable(error) from error

    def _cut_torn_line(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._descriptor, whole)
            os.fsync(self._descriptor)

    def append(self, *events: Mapping[str, Any]) -> None:
        """Add events, in one write, and wait until they are on the disk.

        Raises
        ------
        DataError
            They cannot be written; what was written of them is a torn line, which the next reader cuts off.
        """
        data = "".join(json.dumps(event, allow_nan=False) + "\n" for event in events).encode()
        try:
            if os.write(self._descriptor, data) < len(data):
                raise OSError(28, os.strerror(28))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be written: {reason(error)}; free space, then go on with --resume")


def read_journal(path: Path) -> list[Event]:
    """The events of a journal; a torn last line is left out.

    Raises
    ------
    DataError
        It cannot be read, or a line before the last is not a JSON object: the file was edited or damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    events = []
    for number, line in enumerate(lines[:-1], start=1):  # behind the last newline is nothing, or a torn line
        try:
            event = _event(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise DataError(
                f"{path}:{number}: is no event of a sweep; the file was edited or damaged\n"
                "restore it, or start again under another --run"
            )
        events.append(event)
    return events


def _event(line: bytes) -> Any:
    """A line's value, of numbers that 64 bits hold and text that can be written again; anything else is no event's."""
    event = json.loads(line, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    if b"\\u" in line:
        json.dumps(event, ensure_ascii=False).encode()  # halves of characters
    return event


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _whole(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"{text} is too large")
    return int(text)
