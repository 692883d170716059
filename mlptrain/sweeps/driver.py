"""The driver: runs a sweep from its first wave to its leaderboard, as a generator of reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.sweeps.executors import Advanced, Broken, Done, Executor, Lost, Task
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.importance import importances_of
from mlptrain.sweeps.journal import Journal, lost_event, plan_event, read_record, result_event, start_event
from mlptrain.sweeps.leaderboard import Leaderboard, Standings, rank, write_leaderboard
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.planning import StackPlan, WavePlan, plan_wave
from mlptrain.sweeps.repeats import summarise_repeats
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, WaveStart
from mlptrain.sweeps.shell import train_command
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import FAILED, HALVED, PAUSED, Result, Trial, Wave, trial_of

MAX_ATTEMPTS = 5
"""Number of attempts to train a stack whose worker process dies, before its trials fail."""

BOARD_SHARE = 0.05
"""Share of the time of a sweep in which ``leaderboard.csv`` is written, which takes longer with every trial."""

BOARD_ROWS = 20
"""Number of rows of the leaderboard in the report of a trial."""

POLL_SECONDS = 0.2
"""Time to wait for an executor's events before the caller gets the next report."""


@dataclass
class _Stack:
    """A stack in progress: its plan, its trials, its attempts, and the epochs of this wave that its trials finished."""

    plan: StackPlan
    trials: tuple[Trial, ...]
    attempts: int = 0
    epochs: int = 0


class Driver:
    """A sweep in a folder that the caller has locked.

    Parameters
    ----------
    make_executor
        Makes the executor when the first stack has to be trained.
    data_dir
        Folder of the datasets.
    stacked, threads
        See `plan_wave`.
    shard
        A pair (I, N) for every Nth point, starting with the Ith.
    fail_fast
        Stop after the first trial that fails.
    """

    def __init__(
        self,
        spec: Spec,
        folder: SweepFolder,
        make_executor: Callable[[], Executor],
        data_dir: Path,
        *,
        stacked: bool = True,
        threads: int | None = None,
        shard: tuple[int, int] | None = None,
        fail_fast: bool = False,
        fresh: bool = False,
    ) -> None:
        self.spec, self.folder, self.data_dir = spec, folder, data_dir
        self.stacked, self.threads, self.shard, self.fail_fast = stacked, threads, shard, fail_fast
        self.fresh = fresh
        self._make_executor = make_executor
        self._executor: Executor | None = None
        self.record = read_record(folder.journal, spec)
        self.record.check(spec)
        self._journal = Journal(folder.journal)
        self._standings = Standings(spec.space.varied, spec.metric, spec.repeat, self.record.results.values())
        self._next_board = 0.0
        self._wave = 0
        self._training: dict[int, _Stack] = {}
        self._added = False
        self.total = 0

    def run(self) -> Generator[SweepReport, None, None]:
        """Train all trials that have no result yet, and yield reports; the last one is a `SweepEnd`.

        If the sweep stops early, worker processes are ended, and leaderboard and ``best/`` have the trials that have
        ended. They are left alone if no trial has ended, so that a folder that is refused stays as it was.

        Raises
        ------
        MlptrainError
            The sweep is impossible, or its folder cannot be written.
        """
        began = time.perf_counter()
        with closing(self._journal):
            try:
                try:
                    yield self._start()
                    yield from self._waves()
                finally:
                    if self._executor is not None:
                        self._executor.close()
            except BaseException:
                if self._added:
                    self._settle(complete=False)
                raise
            board, best = self._settle(complete=not self._stopped)
        results = [result for _, result in sorted(self.record.results.items())]
        failed = tuple(result for result in results if result.failed)
        importances = importances_of(self.spec.space.varied, self.spec.metric.name, self.record.compared)
        seconds = time.perf_counter() - began
        command = None
        if board.best is not None:
            config = trial_of(self.spec, self.record.results[board.best.best_trial]).config
            command = train_command(self.spec, config, self.data_dir)
        repeats = summarise_repeats(results) if self.spec.seeds_only else None
        path = str(self.folder.path)
        yield SweepEnd(path, board, best, failed, importances, seconds, command=command, repeats=repeats)

    def _start(self) -> SweepStart:
        spec, points = self.spec, self.spec.points
        if points is not None and self.shard is not None:
            points = max(0, -((self.shard[0] - 1 - points) // self.shard[1]))  # len(range(...)) has a limit
        trials = None if points is None else points * spec.repeat
        self.total = trials or 0
        return SweepStart(
            str(self.folder.path),
            spec.base_path,
            spec.method,
            spec.space.varied,
            spec.metric,
            spec.repeat,
            trials,
            len(self.record.results),
            self.fresh,
        )

    @property
    def _stopped(self) -> bool:
        return self.fail_fast and any(result.failed for result in self.record.results.values())

    def _waves(self) -> Iterator[SweepReport]:
        """Train every wave of the method, which decides about the next one by the results of the last."""
        method = waves(self.spec, self.shard)
        wave = next(method, None)
        while wave is not None and not self._stopped:
            yield from self._drop(wave.dropped)
            if wave.trials:
                yield from self._train(wave)
            if self._stopped:
                return
            try:
                wave = method.send({trial.number: self._result(trial) for trial in wave.trials})
            except StopIteration:
                return
            self._wave += 1

    def _result(self, trial: Trial) -> Result:
        result = self.record.result(trial, self._wave)
        assert result is not None, f"trial {trial.number} was not trained"
        return result

    def _drop(self, trials: Sequence[Trial]) -> Iterator[SweepReport]:
        """End paused trials with the metrics of the last wave."""
        dropped = [trial for trial in trials if trial.number not in self.record.results]
        results = [replace(self.record.paused[trial.number, self._wave - 1], status=HALVED) for trial in dropped]
        if results:
            yield from self._add(dropped, results)

    def _train(self, wave: Wave) -> Iterator[SweepReport]:
        """Train the stacks of a wave; those that an interruption left unfinished come first."""
        plan = self._plan(wave)
        trials = {trial.number: trial for trial in wave.trials}
        self.total = max(self.total, len(self.record.results) + len(trials))
        stacks = [_Stack(stack, tuple(trials[number] for number in stack.trials)) for stack in plan.stacks]
        unfinished = [s for s in stacks if any(self.record.result(trial, self._wave) is None for trial in s.trials)]
        waiting = deque(sorted(unfinished, key=lambda stack: stack.plan.number not in self.record.started))
        threads = max(stack.threads for stack in plan.stacks)
        yield WaveStart(len(trials), len(stacks), plan.workers, threads, wave.until)
        while waiting or self._training:
            self._journal.check()
            executor = self._executor_in_use()
            while waiting and len(self._training) < min(plan.workers, executor.workers):
                self._submit(executor, waiting.popleft(), wave.until)
            for event in executor.events(POLL_SECONDS):
                stack = self._training[event.stack]
                match event:
                    case Advanced():
                        stack.epochs += event.epochs
                    case Done() | Broken():
                        yield from self._ended(stack, event)
                    case Lost():
                        yield from self._lost(stack, event, waiting)
                if self._stopped:
                    return
            yield Advance(self._progress(wave), self.total)

    def _plan(self, wave: Wave) -> WavePlan:
        """Return the plan of the wave: that of the journal, or a new one, which is written there."""
        if self._wave < len(self.record.plans):
            plan = self.record.plans[self._wave]
            planned = sorted(trial for stack in plan.stacks for trial in stack.trials)
            numbers = {stack.number for stack in plan.stacks}
            if planned != sorted(trial.number for trial in wave.trials) or len(numbers) < len(plan.stacks):
                raise DataError(
                    f"{self.folder.journal}: the plan of wave {self._wave} has other trials than this sweep; the file "
                    "was edited or damaged\nhint: restore it, or start a new sweep under another --run"
                )
            return plan
        workers = max(1, self._executor_in_use().workers)
        first = sum(len(plan.stacks) for plan in self.record.plans)
        plan = plan_wave(wave.trials, self.data_dir, workers, stacked=self.stacked, threads=self.threads, first=first)
        self._journal.append(plan_event(self._wave, plan, self.spec.digest))
        self.record.plans.append(plan)
        return plan

    def _executor_in_use(self) -> Executor:
        if self._executor is None:
            self._executor = self._make_executor()
        return self._executor

    def _submit(self, executor: Executor, stack: _Stack, until: int | None) -> None:
        stack.attempts += 1
        stack.epochs = 0
        number = stack.plan.number
        self._journal.append(start_event(number, stack.attempts))
        self.record.started.add(number)
        self._training[number] = stack
        found = [self.folder.load_state(trial.number) for trial in stack.trials] if self._wave else []
        states = tuple(state for state in found if state is not None)
        resumed = states if states and len(states) == len(stack.trials) else None
        executor.submit(Task(number, stack.trials, str(self.data_dir), stack.plan.threads, until, resumed))

    def _lost(self, stack: _Stack, event: Lost, waiting: deque[_Stack]) -> Iterator[SweepReport]:
        """Train a stack again whose worker process died, or fail its trials after `MAX_ATTEMPTS`."""
        self._journal.append(lost_event(event.stack, event.reason))
        if stack.attempts < MAX_ATTEMPTS:
            del self._training[event.stack]
            waiting.appendleft(stack)
            yield Retry(stack.plan.trials, event.reason)
        else:
            message = f"{event.reason}, {stack.attempts} times in a row"
            yield from self._ended(stack, Broken(event.stack, message))

    def _ended(self, stack: _Stack, event: Done | Broken) -> Iterator[SweepReport]:
        """Add the results of a stack; a trial that an earlier attempt recorded keeps its result."""
        del self._training[event.stack]
        if isinstance(event, Done):
            results: Sequence[Result] = event.results
        else:
            results = [trial.result(FAILED, message=event.message) for trial in stack.trials]
        pairs = zip(stack.trials, results, strict=True)
        new = [(trial, result) for trial, result in pairs if self.record.result(trial, self._wave) is None]
        yield from self._add([trial for trial, _ in new], [result for _, result in new])

    def _add(self, trials: Sequence[Trial], results: Sequence[Result]) -> Iterator[SweepReport]:
        """Add results: first to the folder, then to the journal; then remove the files that are no longer needed."""
        self._journal.check()
        self._added = True
        ended = [result.recorded for result in results if result.status != PAUSED]
        before = len(self.record.results)
        self._standings.add(*ended)
        needed = self._standings.contenders()
        for trial, result in zip(trials, results, strict=True):
            if result.status != HALVED:  # a halved trial was stored when it was paused
                self.folder.store(trial, result, needed=trial.number in needed)
        self._journal.append(*(result_event(result, self._wave) for result in results))
        for result in results:
            self.record.add(self._wave, result.recorded)
        if not ended:
            return
        self.folder.prune(self.record.results, needed)
        began = time.perf_counter()
        if began >= self._next_board:
            self._write_board()
            ended_at = time.perf_counter()
            self._next_board = ended_at + (ended_at - began) / BOARD_SHARE
        board = self._standings.board(BOARD_ROWS)
        for number, result in enumerate(ended, start=before + 1):
            yield TrialEnd(result, number, board)

    def _board(self) -> Leaderboard:
        board = rank(self.spec.space.varied, self.spec.metric, self.spec.repeat, self.record.results.values())
        return board.with_runs(self.folder.runs(None if board.best is None else board.best.best_trial))

    def _write_board(self) -> Leaderboard:
        board = self._board()
        if board.rows:
            write_leaderboard(self.folder.leaderboard, board)
        return board

    def _settle(self, complete: bool) -> tuple[Leaderboard, str | None]:
        """Write ``best/`` and the leaderboard by the results so far; return the board and the path of ``best/``."""
        self._journal.check()
        row, best = self._board().best, None
        if self.folder.keep != "none" and row is not None:
            path = self.folder.publish(self.record.results[row.best_trial])
            best = None if path is None else str(path)
        board = self._write_board()
        if complete:
            self.folder.tidy()
        return board, best

    def _progress(self, wave: Wave) -> float:
        """Return the number of trials that have ended, with others counted by the share of their epochs."""
        done = float(len(self.record.results))
        for trial in wave.trials:
            if trial.number not in self.record.results and (trial.number, self._wave) in self.record.paused:
                done += (wave.until or 0) / max(1, trial.config.epochs)
        for stack in self._training.values():
            epochs = sum(trial.config.epochs for trial in stack.trials)
            done += len(stack.trials) * min(1.0, stack.epochs / max(1, epochs))
        return done
