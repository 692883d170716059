"""What a journal says: the plans, how trials ended or were paused, and what was under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.errors import DataError
from mlptrain.sweeps.journal import Event
from mlptrain.sweeps.leaderboard import FAILED, Result
from mlptrain.sweeps.trials import Trial
from mlptrain.sweeps.waves import PAUSED

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


def recall(path: Path, events: Iterable[Event], *, again: bool = True) -> Record:
    """What the events of a journal say.

    Failures that another try may mend (a worker that was lost, data that was missing; not a divergence) are left
    out, so that they are tried ``again``, unless a later wave already builds on them.

    Raises
    ------
    DataError
        An event lacks what it should hold.
    """
    record = Record()
    failed: dict[int, Result] = {}
    for number, event in enumerate(events, start=1):
        try:
            match event["event"]:
                case "plan":
                    if event["version"] != VERSION:
                        raise DataError(f"{path}: version {event['version']}; expected {VERSION}: use what wrote it")
                    record.digest = record.digest or str(event["sweep"])
                    record.plans.append(_plan(event))
                    record.results |= failed
                    failed.clear()
                case "start":
                    record.started.add(int(event["stack"]))
                case "rung":
                    result = _result(event, PAUSED)
                    record.rungs[result.trial, int(event["wave"])] = result
                case "trial":
                    result = _result(event, str(event["status"]))
                    (failed if result.status == FAILED else record.results)[result.trial] = result
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}:{number}: the event lacks what it should hold ({error!r})") from error
    if not again:
        record.results |= failed
    return record


def _plan(event: Event) -> Plan:
    stacks = (
        PlannedStack(int(stack["stack"]), tuple(map(int, stack["trials"])), int(stack["threads"]))
        for stack in event["stacks"]
    )
    return Plan(tuple(stacks), int(event["workers"]))


def _result(event: Mapping[str, Any], status: str) -> Result:
    return Result(
        int(event["trial"]),
        int(event["point"]),
        str(event["key"]),
        dict(event["values"]),
        status,
        dict(event["metrics"]),
        event["message"],
    )
