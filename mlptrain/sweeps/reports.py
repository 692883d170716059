"""Reports of a sweep while it runs, as frozen records for the terminal and for callers."""

from __future__ import annotations

from dataclasses import dataclass

from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.repeats import Repeats
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import Result


@dataclass(frozen=True)
class SweepStart:
    """The sweep before its first trial.

    ``trials`` is their number, None if it depends on the samples; ``done`` of them had ended before a resume.
    ``fresh`` is True if the sweep was to be resumed and there was nothing to resume.
    """

    name: str
    base: str
    method: str
    keys: tuple[str, ...]
    metric: Metric
    repeat: int
    trials: int | None
    done: int
    fresh: bool = False


@dataclass(frozen=True)
class WaveStart:
    """Numbers of trials, stacks, workers and threads per worker of a wave, which ends after the epoch ``until``."""

    trials: int
    stacks: int
    workers: int
    threads: int
    until: int | None


@dataclass(frozen=True)
class Advance:
    """Number of trials ``done``, with trials in training counted by the share of their epochs."""

    done: float
    total: int


@dataclass(frozen=True)
class Part:
    """A shard of a sweep: its name and state, and the numbers of its trials that have ended and that are planned."""

    name: str
    state: str
    ended: int
    planned: int


@dataclass(frozen=True)
class Watched(Advance):
    """The progress of a sweep that other processes train, as its files show it.

    ``parts`` are its shards, ``training`` counts the stacks in training. ``since`` is the time since the last event in
    seconds, ``left`` an estimate of the time to the end; None if it is unknown.
    """

    board: Leaderboard
    parts: tuple[Part, ...]
    training: int
    since: float | None
    left: float | None


@dataclass(frozen=True)
class TrialEnd:
    """A trial that has ended, as number ``done``; ``board`` is the leaderboard with it, or its first rows."""

    result: Result
    done: int
    board: Leaderboard


@dataclass(frozen=True)
class Retry:
    """The trials of a stack that trains again from its start because its worker process died."""

    trials: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class SweepEnd:
    """The result of a sweep.

    Attributes
    ----------
    folder
        Path of the sweep's folder.
    board
        The leaderboard.
    best
        Path of the best trial's run folder; None if it was not kept.
    command
        The ``mlptrain train`` command of the best trial's config; None if there is no best trial.
    failed
        Trials that diverged or failed.
    importances
        See `mlptrain.sweeps.importance.importances`.
    seconds
        Duration of the sweep; of a ``collected`` one, the training time of all trials.
    collected
        True for results collected from run folders.
    ranked
        False if the folder has no ``leaderboard.csv``, such as that of shards in training.
    repeats
        The test accuracy over the seeds, if only seeds vary.
    """

    folder: str
    board: Leaderboard
    best: str | None
    failed: tuple[Result, ...]
    importances: dict[str, float] | None
    seconds: float
    collected: bool = False
    command: str | None = None
    repeats: Repeats | None = None
    ranked: bool = True


SweepReport = SweepStart | WaveStart | Advance | TrialEnd | Retry | SweepEnd
