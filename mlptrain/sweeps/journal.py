"""The journal of a sweep: a file with one JSON object per event, written to disk before the sweep continues.

Events are ``plan`` (of a wave), ``start`` (of a stack), ``lost`` (the worker process of a stack), ``rung`` (a trial
that was paused at the end of a wave) and ``trial`` (a trial that has ended).
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.config.values import shown
from mlptrain.errors import DataError
from mlptrain.sweeps.planning import StackPlan, WavePlan
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import DIVERGED, FAILED, FINISHED, HALVED, PAUSED, Result, Trial
from mlptrain.system.files import BINARY, check_in_place, reason, sync_folder
from mlptrain.training.reports import METRIC_NAMES

FREE_SPACE = "free space, then continue with --resume"

VERSION = 1

MAX_DIGITS = 300
"""Number of digits of the largest integer that is read: enough to number any grid, and few enough for a float."""

Event = dict[str, Any]


class Journal:
    """A journal open for appending, by the process that holds the lock of the sweep's folder."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal; cut off the incomplete last line that a killed process leaves.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        self.path = path
        try:
            new = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o666)
            if new:
                sync_folder(path.parent)
            else:
                self._cut_incomplete_line()
        except OSError as error:
            raise self._unwritable(error) from error

    def _cut_incomplete_line(self) -> None:
        content = self.path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            os.ftruncate(self._descriptor, complete)
            os.fsync(self._descriptor)

    def check(self) -> None:
        """Check that the sweep's folder is still in its place, see `check_in_place`."""
        check_in_place(self.path, self._descriptor)

    def append(self, *events: Event) -> None:
        """Add events in one write, and wait until they are on the disk.

        Raises
        ------
        DataError
            They cannot be written; what was written of them is an incomplete line, which the next `Journal` cuts off.
        """
        self.check()
        data = "".join(json.dumps(event, allow_nan=False) + "\n" for event in events).encode()
        try:
            if os.write(self._descriptor, data) < len(data):  # a full disk takes some bytes and reports no error
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be written: {reason(error)}\nhint: {FREE_SPACE}")


def plan_event(wave: int, plan: WavePlan, digest: str) -> Event:
    """Return the event of a wave's plan; ``digest`` is that of the sweep."""
    stacks = [{"stack": s.number, "threads": s.threads, "trials": list(s.trials)} for s in plan.stacks]
    common = {"event": "plan", "version": VERSION, "sweep": digest}
    return {**common, "wave": wave, "workers": plan.workers, "stacks": stacks}


def start_event(stack: int, attempt: int) -> Event:
    """Return the event of a stack that starts to train; ``attempt`` counts from 1."""
    return {"event": "start", "stack": stack, "attempt": attempt}


def lost_event(stack: int, reason: str) -> Event:
    """Return the event of a stack whose worker process died."""
    return {"event": "lost", "stack": stack, "reason": reason}


def result_event(result: Result, wave: int) -> Event:
    """Return the event of a trial that has ended, or was paused at the end of a wave."""
    common = {"trial": result.trial, "point": result.point, "key": result.key, "values": dict(result.values)}
    outcome = {"metrics": dict(result.metrics), "message": result.message}
    if result.status == PAUSED:
        return {"event": "rung", "wave": wave, **common, **outcome}
    return {"event": "trial", **common, "status": result.status, **outcome}


@dataclass
class Record:
    """The content of a journal.

    Attributes
    ----------
    path
        Path of the journal.
    digests
        Digests of the sweeps whose plans it contains, normally one.
    plans
        The plan of each wave.
    started
        Numbers of the stacks that have started.
    paused
        Results of paused trials, by the numbers of trial and wave.
    results
        Results of trials that have ended, by number.
    """

    path: Path
    digests: set[str] = field(default_factory=set)
    plans: list[WavePlan] = field(default_factory=list)
    started: set[int] = field(default_factory=set)
    paused: dict[tuple[int, int], Result] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def latest(self) -> dict[int, Result]:
        """The last result of each trial, by number: that of its end, or of the wave after which it is paused."""
        waves = sorted(self.paused, key=lambda key: key[1])
        found = {trial: self.paused[trial, wave] for trial, wave in waves} | self.results
        return dict(sorted(found.items()))

    @property
    def compared(self) -> list[Result]:
        """Results of the trials that did not fail, with the metrics of the first wave.

        After successive halving only the first wave has trained all trials for the same number of epochs.
        """
        return [self.paused.get((trial, 0), result) for trial, result in self.latest.items() if not result.failed]

    def check(self, spec: Spec) -> None:
        """Check that all events belong to a sweep.

        Raises
        ------
        DataError
            A plan is that of another sweep, or a trial is in no plan.
        """
        if self.digests - {spec.digest}:
            raise DataError(f"{self.path}: the journal of another sweep\nhint: choose another --run")
        planned = {trial for plan in self.plans for stack in plan.stacks for trial in stack.trials}
        for trial in (*self.results, *(trial for trial, _ in self.paused)):
            if trial not in planned:
                raise DataError(
                    f"{self.path}: trial {trial} is in no plan; the file was edited or damaged\n"
                    "hint: restore it, or start a new sweep under another --run"
                )

    def result(self, trial: Trial, wave: int) -> Result | None:
        """Return a trial's result after a wave; None if it has not trained in it.

        Raises
        ------
        DataError
            The result is that of another config.
        """
        found = self.paused.get((trial.number, wave)) or self.results.get(trial.number)
        if found is not None and found.key != trial.key:
            raise DataError(
                f"{self.path}: trial {trial.number} has another config than in this sweep; it was sampled by another "
                "version\nhint: start a new sweep under another --run"
            )
        return found

    def add(self, wave: int, result: Result) -> None:
        """Add a result; ``wave`` is the one in which the trial trained."""
        if result.status == PAUSED:
            self.paused[result.trial, wave] = result
        else:
            self.results[result.trial] = result


def read_record(path: Path, spec: Spec, *, retry: bool = True) -> Record:
    """Read the journal of a sweep; a missing file is an empty one.

    With ``retry`` failed trials have no result, so that they train again, unless a later wave depends on them. Trials
    that diverged are not tried again.

    Raises
    ------
    DataError
        The journal cannot be read, is damaged, or belongs to another sweep.
    """
    record = Record(path)
    failed: list[tuple[int, Result]] = []
    for number, event in enumerate(read_events(path), start=1):
        try:
            match event["event"]:
                case "plan":
                    if event["version"] != VERSION:
                        raise DataError(
                            f"{path}: version {shown(event['version'])} is unsupported, expected {VERSION}\n"
                            "hint: use the version of mlptrain that wrote it"
                        )
                    record.digests.add(_typed(event, "sweep", str))
                    record.plans.append(_plan(event))
                    record.results |= failed
                    failed.clear()
                case "start":
                    record.started.add(_count(event, "stack"))
                case "rung":
                    record.add(_count(event, "wave"), _result(event, PAUSED, spec))
                case "trial":
                    result = _result(event, _status(event), spec)
                    if result.status == FAILED:
                        failed.append((result.trial, result))
                    else:
                        record.add(0, result)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise _damaged(path, number, f"invalid event: {problem}") from error
    if not retry:
        record.results |= failed
    return record


def read_events(path: Path) -> list[Event]:
    """Read the events of a journal, without an incomplete last line.

    Raises
    ------
    DataError
        The file cannot be read, or a complete line is not an event.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    events = []
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline is nothing, or an incomplete line
        try:
            event = _parsed(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise _damaged(path, number, "not an event of a sweep")
        events.append(event)
    return events


def _damaged(path: Path, number: int, problem: str) -> DataError:
    return DataError(
        f"{path}:{number}: {problem}; the file was edited or damaged\n"
        "hint: restore it, or start a new sweep under another --run"
    )


def _parsed(line: bytes) -> Any:
    """Return the value of a line.

    Raises
    ------
    ValueError
        The line is not JSON, or has a number that is too large or half of a surrogate pair, which no event has.
    """
    event = json.loads(line, parse_constant=_finite, parse_float=_finite, parse_int=_int)
    if b"\\u" in line:
        json.dumps(event, ensure_ascii=False).encode()
    return event


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text} is too large")
    return int(text)


def _plan(event: Event) -> WavePlan:
    stacks = (
        StackPlan(_count(stack, "stack"), tuple(_items(stack, "trials", int)), _count(stack, "threads"))
        for stack in _items(event, "stacks", dict)
    )
    return WavePlan(tuple(stacks), _count(event, "workers", least=1))


def _result(event: Event, status: str, spec: Spec) -> Result:
    trial, point = _count(event, "trial"), _count(event, "point")
    if point != trial // spec.repeat:
        raise ValueError(f"trial {trial} is of point {trial // spec.repeat}, not {point}")
    values: dict[str, Any] = _typed(event, "values", dict)
    if sorted(values) != sorted(spec.space.varied):
        raise ValueError(f"the sweep varies {', '.join(spec.space.varied)}, and the values are {shown(values)}")
    metrics: dict[str, Any] = _typed(event, "metrics", dict)
    for name in ("epochs", "seconds", *METRIC_NAMES):
        if name in metrics:
            _typed(metrics, name, int, float, type(None))
    message = _typed(event, "message", str, type(None))
    return Result(trial, point, _typed(event, "key", str), values, status, metrics, message)


def _status(event: Event) -> str:
    status: str = _typed(event, "status", str)
    if status not in (FINISHED, HALVED, DIVERGED, FAILED):
        raise ValueError(f"status is {shown(status)}")
    return status


def _count(event: Mapping[str, Any], key: str, least: int = 0) -> int:
    number: int = _typed(event, key, int)
    if number < least:
        raise ValueError(f"{key} is {shown(number)}")
    return number


def _items(event: Mapping[str, Any], key: str, kind: type) -> Iterator[Any]:
    for item in _typed(event, key, list):
        yield _typed({f"an item of {key}": item}, f"an item of {key}", kind)


def _typed(event: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """Return the value of a key, checked to be of one of these types."""
    value = event[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{key} is {shown(value)}")
    return value
