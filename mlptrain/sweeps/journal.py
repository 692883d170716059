"""The journal of a sweep: one JSON object a line, only ever appended to, each line on the disk before work goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.config.values import shown
from mlptrain.errors import DataError
from mlptrain.sweeps.leaderboard import FIGURES
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import DIVERGED, FAILED, FINISHED, HALVED, PAUSED, Result, Trial
from mlptrain.system.files import reason, sync_folder

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


VERSION = 1


@dataclass(frozen=True)
class PlannedStack:
    """A stack of the plan: its number within the sweep, the numbers of its trials, and its BLAS threads."""

    number: int
    trials: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class Plan:
    """The stacks of a wave, in the order to start them, and how many of them train at a time."""

    stacks: tuple[PlannedStack, ...]
    workers: int

    def holds(self, trials: Iterable[int]) -> bool:
        """Whether each of these trials, and no other, is in one of its stacks, which all have their own number."""
        planned = sorted(trial for stack in self.stacks for trial in stack.trials)
        return planned == sorted(trials) and len({stack.number for stack in self.stacks}) == len(self.stacks)


@dataclass
class Record:
    """A sweep so far; ``rungs`` are the trials that each wave left paused."""

    digest: str | None = None
    plans: list[Plan] = field(default_factory=list)
    results: dict[int, Result] = field(default_factory=dict)
    rungs: dict[tuple[int, int], Result] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)

    def result(self, trial: Trial, wave: int) -> Result | None:
        """How a trial stands after a wave, or None where it has not been trained in it."""
        found = self.rungs.get((trial.number, wave)) or self.results.get(trial.number)
        if found is not None and found.key != trial.key:
            raise DataError(
                f"trial {trial.number} of the journal has another config than this sweep gives it\n"
                "it was sampled by another version; start a new sweep under another --run"
            )
        return found

    @property
    def stacks(self) -> int:
        """How many stacks have been planned."""
        return sum(len(plan.stacks) for plan in self.plans)


def plan_event(wave: int, plan: Plan, digest: str) -> Event:
    """The line of a plan."""
    stacks = [{"stack": s.number, "threads": s.threads, "trials": list(s.trials)} for s in plan.stacks]
    return {
        "event": "plan",
        "version": VERSION,
        "sweep": digest,
        "wave": wave,
        "workers": plan.workers,
        "stacks": stacks,
    }


def result_event(result: Result, wave: int) -> Event:
    """The line of a trial that has ended, or was paused after a wave."""
    common = {"trial": result.trial, "point": result.point, "key": result.key, "values": dict(result.values)}
    figures = {"metrics": dict(result.metrics), "message": result.message}
    if result.status == PAUSED:
        return {"event": "rung", "wave": wave, **common, **figures}
    return {"event": "trial", **common, "status": result.status, **figures}


def recall(path: Path, events: Iterable[Event], spec: Spec, *, again: bool = True) -> Record:
    """What the events of the journal of a sweep say.

    Failures that another try may mend (a worker that was lost, data that was missing; not a divergence) are left
    out, so that they are tried ``again``, unless a later wave already builds on them.

    Raises
    ------
    DataError
        An event lacks what it should hold, or is of another sweep.
    """
    record = Record()
    failed: dict[int, Result] = {}
    for number, event in enumerate(events, start=1):
        try:
            match event["event"]:
                case "plan":
                    if event["version"] != VERSION:
                        found = shown(event["version"])
                        raise DataError(f"{path}: version {found}; expected {VERSION}: use what wrote it")
                    digest = _typed(event, "sweep", str)
                    record.digest = record.digest or digest
                    record.plans.append(_plan(event))
                    record.results |= failed
                    failed.clear()
                case "start":
                    record.started.add(_count(event, "stack"))
                case "rung":
                    result = _result(event, PAUSED, spec)
                    record.rungs[result.trial, _count(event, "wave")] = result
                case "trial":
                    result = _result(event, _status(event), spec)
                    (failed if result.status == FAILED else record.results)[result.trial] = result
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}:{number}: the event lacks what it should hold ({_words(error)})") from error
    if not again:
        record.results |= failed
    return record


def _words(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def _plan(event: Event) -> Plan:
    stacks = (
        PlannedStack(_count(s, "stack"), tuple(_items(s, "trials", int)), _count(s, "threads"))
        for s in _items(event, "stacks", dict)
    )
    return Plan(tuple(stacks), _count(event, "workers", least=1))


def _result(event: Event, status: str, spec: Spec) -> Result:
    trial, point = _count(event, "trial"), _count(event, "point")
    values: dict[str, Any] = _typed(event, "values", dict)
    if point != trial // spec.repeat:
        raise ValueError(f"trial {trial} is of point {trial // spec.repeat}, not {point}")
    if sorted(values) != sorted(spec.space.varied):
        raise ValueError(f"the sweep varies {', '.join(spec.space.varied)}, and the values are {shown(values)}")
    message = _typed(event, "message", str, type(None))
    return Result(trial, point, _typed(event, "key", str), values, status, _metrics(event), message)


def _metrics(event: Event) -> dict[str, Any]:
    """The figures of a trial, of which those that the leaderboard works with are numbers or absent."""
    metrics: dict[str, Any] = _typed(event, "metrics", dict)
    for name in ("epochs", "seconds", *FIGURES):
        if name in metrics:
            _typed(metrics, name, int, float, type(None))
    return metrics


def _typed(event: Mapping[str, Any], key: str, *kinds: type) -> Any:
    value = event[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{key} is {shown(value)}")
    return value


def _count(event: Mapping[str, Any], key: str, least: int = 0) -> int:
    number: int = _typed(event, key, int)
    if number < least:
        raise ValueError(f"{key} is {shown(number)}")
    return number


def _items(event: Mapping[str, Any], key: str, kind: type) -> Iterator[Any]:
    for item in _typed(event, key, list):
        yield _typed({f"an item of {key}": item}, f"an item of {key}", kind)


def _status(event: Event) -> str:
    status: str = _typed(event, "status", str)
    if status not in (FINISHED, HALVED, DIVERGED, FAILED):
        raise ValueError(f"status is {shown(status)}")
    return status
