"""A sweep that other processes train, followed by its journals, those of its shards, or the runs of a job array."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from mlptrain.config.config import Config
from mlptrain.errors import DataError
from mlptrain.runs.files import BEST, JOURNAL, LEADERBOARD, METRICS, SWEEP, TRIALS, is_run
from mlptrain.runs.folder import load_run_config, resume_command
from mlptrain.runs.status import COMPLETE, INTERRUPTED, RUNNING, journals, sweep_status
from mlptrain.runs.watch import GONE_SECONDS, POLL_SECONDS, SETTLED_SECONDS, Stopwatch, file_version
from mlptrain.sweeps.collect import numbered_trials, result_of_run
from mlptrain.sweeps.journal import Record, read_record
from mlptrain.sweeps.leaderboard import Leaderboard, rank, read_leaderboard
from mlptrain.sweeps.repeats import summarise_repeats
from mlptrain.sweeps.reports import Part, SweepEnd, SweepReport, SweepStart, TrialEnd, Watched
from mlptrain.sweeps.shell import train_command
from mlptrain.sweeps.spec import DEFAULT_METRIC, Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result, trial_of
from mlptrain.system.files import reason
from mlptrain.system.lock import is_in_use


@dataclass(frozen=True)
class SweepStop:
    """The end of the watch: the state of the sweep, None if its folder is gone, and the trials done and planned.

    ``commands`` resume its unfinished parts.
    """

    path: Path
    state: str | None
    done: int
    total: int | None
    failed: tuple[Result, ...] = ()
    commands: tuple[str, ...] = ()


class _Files:
    """The content of the files of a sweep; `read` reads those again that have changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec: Spec | None = None
        self.results: dict[int, Result] = {}
        self._records: dict[Path, Record] = {}
        self._sizes: dict[Path, int] = {}
        self._begun: dict[Path, tuple[int, int] | None] = {}
        self._configs: dict[Path, Config] = {}

    @property
    def replaced(self) -> bool:
        """True if a part was deleted or begun anew: its ``sweep.yaml`` is written only then."""
        return any(file_version(part / SWEEP) != begun for part, begun in self._begun.items())

    def read(self) -> list[Result]:
        """Read the journals, or else the runs of a job array, and return the new results.

        Raises
        ------
        DataError, OSError
            A file is damaged, or was deleted meanwhile.
        """
        known = self.results.keys()
        parts = journals(self.path)
        for part in parts:
            self._begun.setdefault(part, file_version(part / SWEEP))
            self.spec = self.spec or read_sweep(part / SWEEP)
            size = (part / JOURNAL).stat().st_size
            if self._sizes.get(part) != size:
                self._records[part] = read_record(part / JOURNAL, self.spec, retry=False)
                self._sizes[part] = size
        if parts:
            self.results = {number: r for record in self._records.values() for number, r in record.results.items()}
        elif (self.path / SWEEP).is_file():  # its journal is not there yet
            self._begun.setdefault(self.path, file_version(self.path / SWEEP))
            self.spec = self.spec or read_sweep(self.path / SWEEP)
        else:
            self.path.stat()
            runs = [path for path in sorted((self.path / TRIALS).glob("*")) if path.name.isdecimal() and is_run(path)]
            self._configs = {path: self._configs.get(path) or load_run_config(path) for path in runs}
            trials = numbered_trials(self._configs) if runs else {}
            self.results = {
                int(path.name): replace(result_of_run(path, trial), trial=int(path.name), point=int(path.name))
                for path, trial in trials.items()
                if (path / METRICS).is_file()
            }
        return [result for number, result in self.results.items() if number not in known]

    @property
    def total(self) -> int | None:
        """Number of trials, None if it is unknown."""
        if self.spec is None:
            return len(self._configs) or None
        if self.spec.points is None or shard_of(self.path) is not None:
            return sum(map(_planned, self._records.values())) or None
        return self.spec.points * self.spec.repeat

    @property
    def shards_missing(self) -> bool:
        """True if there are shards, and they have too few results for the sweep."""
        return self.path not in self._records and bool(self._records) and len(self.results) < (self.total or 0)

    def board(self) -> Leaderboard:
        """Return the leaderboard of the trials that have ended."""
        if self.spec is None and not self._configs and (self.path / LEADERBOARD).is_file():
            return read_leaderboard(self.path / LEADERBOARD)
        if self.spec is None:
            keys = next((tuple(result.values) for result in self.results.values()), ())
            return rank(keys, DEFAULT_METRIC, 1, self.results.values())
        return rank(self.spec.space.varied, self.spec.metric, self.spec.repeat, self.results.values())

    def parts(self) -> tuple[Part, ...]:
        """Return the states of the shards; none for a sweep of one part."""
        shards = sorted((shard, path) for path in self._records if (shard := shard_of(path)) and path != self.path)
        records = ((f"shard {shard[0]}", path, self._records[path]) for shard, path in shards)
        return tuple(Part(name, sweep_status(p).state, len(r.results), _planned(r)) for name, p, r in records)

    def training(self) -> tuple[int, int]:
        """Return the numbers of stacks in training and of workers, of all parts that are running."""
        stacks = workers = 0
        for path, record in self._records.items():
            if record.plans and is_in_use(path):
                plan, wave = record.plans[-1], len(record.plans) - 1
                begun = [stack for stack in plan.stacks if stack.number in record.started]
                ended = {number for number, until in record.paused if until == wave} | record.results.keys()
                stacks += min(plan.workers, sum(not ended.issuperset(stack.trials) for stack in begun))
                workers += plan.workers
        return stacks, workers

    def changed(self) -> float | None:
        """Return the time since the last event of a journal, in seconds."""
        times = []
        for path in self._records:
            with suppress(OSError):
                times.append((path / JOURNAL).stat().st_mtime)
        return max(0.0, time.time() - max(times)) if times else None

    def start(self) -> SweepStart:
        """Return the report about the sweep as it was found."""
        spec = self.spec
        if spec is None:
            base = "a job array" if self._configs else "collected runs"
            return SweepStart(str(self.path), base, "", (), DEFAULT_METRIC, 1, self.total, len(self.results))
        return SweepStart(
            str(self.path),
            spec.base_path,
            spec.method,
            spec.space.varied,
            spec.metric,
            spec.repeat,
            self.total,
            len(self.results),
        )

    def progress(self, board: Leaderboard) -> Watched:
        """Return the progress of the sweep, with an estimate of the time left by the mean time of a trial."""
        stacks, workers = self.training()
        total, since, left = self.total, self.changed(), None
        times = [result.metrics.get("seconds") or 0.0 for result in self.results.values() if not result.failed]
        comparable = self.spec is not None and self.spec.method != "halving"  # its trials train for other times
        if comparable and times and total and workers and since is not None:
            left = max(0.0, (total - len(self.results)) * fmean(times) / workers - since)
        return Watched(len(self.results), total or 0, board, self.parts(), stacks, since, left)

    def end(self, board: Leaderboard) -> SweepEnd:
        """Return the last report."""
        failed = tuple(result for result in self.results.values() if result.failed)
        best = self.path / BEST
        command = repeats = None
        if self.spec is not None:
            repeats = summarise_repeats(self.results.values()) if self.spec.seeds_only else None
            if board.best is not None:
                command = train_command(self.spec, trial_of(self.spec, self.results[board.best.best_trial]).config)
        seconds = sum(row.seconds for row in board.rows)
        found = str(best) if best.is_dir() else None
        return SweepEnd(
            str(self.path),
            board,
            found,
            failed,
            None,
            seconds,
            collected=True,
            ranked=(self.path / LEADERBOARD).is_file(),
            command=command,
            repeats=repeats,
        )


def resume_commands(path: Path, runs_dir: Path) -> tuple[str, ...]:
    """Return the commands that resume the parts of a sweep that have not ended."""
    found = []
    for part in journals(path) or [path]:
        if sweep_status(part).state == COMPLETE or not (part / SWEEP).is_file():
            continue
        shard = shard_of(part)
        run = part if shard is None else part.parent
        folder = runs_dir if run.is_relative_to(runs_dir) else run.parent
        options: Mapping[str, object] = {
            "--resume": True,
            "--run": run.relative_to(folder),
            "--shard": None if shard is None else f"{shard[0]}/{shard[1]}",
            "--runs-dir": None if folder == Path("runs") else folder,
        }
        found.append(resume_command("sweep", part / SWEEP, options))
    return tuple(found)


def _planned(record: Record) -> int:
    return len({number for plan in record.plans for stack in plan.stacks for number in stack.trials})


def shard_of(path: Path) -> tuple[int, int] | None:
    """Return I and N of the folder ``shard-I-of-N``, None for another one."""
    match = re.fullmatch(r"shard-(\d+)-of-(\d+)", path.name)
    return None if match is None else (int(match[1]), int(match[2]))


def watch_sweep(path: Path, runs_dir: Path, *, poll_seconds: float = POLL_SECONDS) -> Iterator[SweepReport | SweepStop]:
    """Yield the reports of a sweep as its files grow, those of the trials that end from now on, and a `SweepStop`.

    A sweep that is replaced begins with another `SweepStart`.

    Raises
    ------
    DataError
        A file is damaged or cannot be read.
    """
    files, board, same = _Files(path), None, Stopwatch()
    while True:
        state = sweep_status(path).state  # before the files, so that those of an ended sweep are read to their end
        if files.replaced:
            files, board = _Files(path), None
        try:
            new = files.read()
        except (DataError, OSError) as error:
            exists = path.is_dir()
            if same.seconds("unreadable" if exists else "gone") >= (SETTLED_SECONDS if exists else GONE_SECONDS):
                if exists and isinstance(error, OSError):
                    raise DataError(f"{path}: cannot be read: {reason(error)}") from error
                if exists:
                    raise
                break
            time.sleep(poll_seconds)
            continue
        if board is None:
            board = files.board()
            yield files.start()
        elif new:
            board = files.board()
            for done, result in enumerate(new, start=len(files.results) - len(new) + 1):
                yield TrialEnd(result, done, board)
        if state == COMPLETE and files.shards_missing:
            state = INTERRUPTED
        if state == COMPLETE or (state != RUNNING and same.seconds(state) >= SETTLED_SECONDS):
            break
        if state == RUNNING:
            same.seconds(state)
            yield files.progress(board)
        time.sleep(poll_seconds)
    if not path.is_dir():
        yield SweepStop(path, None, len(files.results), files.total)
        return
    assert board is not None
    end = files.end(board)
    if board.rows:
        yield end
    commands = () if state == COMPLETE else resume_commands(path, runs_dir)
    yield SweepStop(path, state, len(files.results), files.total, end.failed, commands)
