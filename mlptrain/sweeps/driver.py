"""A sweep from its first wave to its leaderboard, as a generator of frozen reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlptrain.errors import DataError
from mlptrain.sweeps.executors import Advanced, Broken, Done, Executor, Lost, Task, Trained
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.importance import importances
from mlptrain.sweeps.journal import Journal, Plan, PlannedStack, Record, plan_event, read_journal, recall, result_event
from mlptrain.sweeps.leaderboard import Leaderboard, rank, write_leaderboard
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.planning import Planner
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, WaveStart
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import FAILED, HALVED, PAUSED, Result, Trial, Wave

ATTEMPTS = 5
"""How often a stack is tried whose worker ends, before its trials count as failed."""

PATIENCE = 0.2
"""Seconds to wait for an executor before the caller gets a word again."""


@dataclass
class _Stack:
    """A stack under way: its plan, its trials, and how many epochs its members have finished in this wave."""

    plan: PlannedStack
    trials: tuple[Trial, ...]
    attempts: int = 0
    epochs: int = 0


class Driver:
    """Runs one sweep in its folder, of which the caller holds the lock.

    ``executor`` makes where stacks are trained, when the first has to be; ``shard`` (I, N) takes every Nth point.
    """

    def __init__(
        self,
        spec: Spec,
        folder: SweepFolder,
        executor: Callable[[], Executor],
        planner: Planner,
        *,
        shard: tuple[int, int] | None = None,
        fail_fast: bool = False,
    ) -> None:
        self.spec, self.folder, self.planner = spec, folder, planner
        self._make_executor = executor
        self._executor: Executor | None = None
        self.shard, self.fail_fast = shard, fail_fast
        self.record: Record = recall(folder.journal, read_journal(folder.journal), spec)
        if self.record.digest not in (None, spec.digest):
            raise DataError(f"{folder.journal}: is the journal of another sweep; choose another --run")
        self._wave = 0
        self._running: dict[int, _Stack] = {}
        self.total = 0

    def run(self) -> Generator[SweepReport, None, SweepEnd]:
        """Train what has not been trained; the last report is returned as well.

        Where the generator is closed early, workers are ended and the leaderboard holds what is done.

        Raises
        ------
        MlptrainError
            The sweep cannot be done as asked, or its folder not be written.
        """
        began = time.perf_counter()
        journal = Journal(self.folder.journal)
        complete = False
        try:
            yield self._start()
            yield from self._waves(journal)
            complete = not self._stopped
        finally:
            if self._executor is not None:
                self._executor.close()
            journal.close()
            board, best = self._settle(complete)
        failed = tuple(result for _, result in sorted(self.record.results.items()) if result.failed)
        end = SweepEnd(
            str(self.folder.path),
            board,
            best,
            failed,
            self._importances(),
            time.perf_counter() - began,
        )
        yield end
        return end

    def _start(self) -> SweepStart:
        spec, points = self.spec, self.spec.points
        if points is not None and self.shard is not None:
            points = len(range(self.shard[0] - 1, points, self.shard[1]))
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
        )

    @property
    def _stopped(self) -> bool:
        return self.fail_fast and any(result.failed for result in self.record.results.values())

    def _waves(self, journal: Journal) -> Iterator[SweepReport]:
        """Every wave of the method, each known by the results of those before."""
        method = waves(self.spec, self.shard)
        wave = next(method, None)
        while wave is not None and not self._stopped:
            yield from self._drop(wave.dropped, journal)
            if wave.trials:
                yield from self._train(wave, journal)
            if self._stopped:
                return
            try:
                wave = method.send({trial.number: self._known(trial) for trial in wave.trials})
            except StopIteration:
                return
            self._wave += 1

    def _known(self, trial: Trial) -> Result:
        result = self.record.result(trial, self._wave)
        assert result is not None, f"trial {trial.number} was not trained"
        return result

    def _drop(self, trials: Sequence[Trial], journal: Journal) -> Iterator[SweepReport]:
        """End the trials that halving has cut, with the figures that they had."""
        ended = []
        for trial in trials:
            if trial.number not in self.record.results:
                before = self.record.rungs[trial.number, self._wave - 1]
                ended.append(Result(**{**vars(before), "status": HALVED}))
        if ended:
            yield from self._end(ended, journal)

    def _train(self, wave: Wave, journal: Journal) -> Iterator[SweepReport]:
        """Train the stacks of a wave, those that were interrupted first."""
        plan = self._plan(wave, journal)
        trials = {trial.number: trial for trial in wave.trials}
        self.total = max(self.total, len(self.record.results) + len(trials))
        stacks = [_Stack(stack, tuple(trials[number] for number in stack.trials)) for stack in plan.stacks]
        open_ = [s for s in stacks if any(self.record.result(trial, self._wave) is None for trial in s.trials)]
        waiting = deque(sorted(open_, key=lambda stack: stack.plan.number not in self.record.started))
        threads = max((stack.plan.threads for stack in stacks), default=1)
        yield WaveStart(len(trials), len(stacks), plan.workers, threads, wave.until)
        while waiting or self._running:
            executor = self._started_executor() if waiting else self._executor
            assert executor is not None
            while waiting and len(self._running) < min(plan.workers, executor.workers):
                self._submit(executor, waiting.popleft(), wave, journal)
            for event in executor.events(PATIENCE):
                stack = self._running[event.stack]
                match event:
                    case Advanced():
                        stack.epochs += event.epochs
                    case Done() | Broken():
                        del self._running[event.stack]
                        yield from self._ended(stack, event, journal)
                    case Lost():
                        del self._running[event.stack]
                        yield from self._lost(stack, event, waiting, journal)
                if self._stopped:
                    return
            yield Advance(self._progress(wave), self.total)

    def _plan(self, wave: Wave, journal: Journal) -> Plan:
        """The plan of this wave: the journal's, or a new one that goes there before anything is trained."""
        if self._wave < len(self.record.plans):
            plan = self.record.plans[self._wave]
            if not plan.holds(trial.number for trial in wave.trials):
                raise DataError(
                    f"{self.folder.journal}: the plan of wave {self._wave} has other trials than this sweep gives it; "
                    "the file was edited or damaged\nrestore it, or start again under another --run"
                )
            return plan
        workers = self._started_executor().workers
        plan = self.planner.plan(wave.trials, workers, self.record.stacks)
        journal.append(plan_event(self._wave, plan, self.spec.digest))
        self.record.plans.append(plan)
        return plan

    def _started_executor(self) -> Executor:
        if self._executor is None:
            self._executor = self._make_executor()
        return self._executor

    def _submit(self, executor: Executor, stack: _Stack, wave: Wave, journal: Journal) -> None:
        stack.attempts += 1
        stack.epochs = 0
        journal.append({"event": "start", "stack": stack.plan.number, "attempt": stack.attempts})
        self.record.started.add(stack.plan.number)
        self._running[stack.plan.number] = stack
        states = [self.folder.load_state(trial.number) for trial in stack.trials] if self._wave else []
        known = tuple(state for state in states if state is not None)
        executor.submit(
            Task(
                stack.plan.number,
                tuple(trial.config for trial in stack.trials),
                str(self.planner.data_dir),
                stack.plan.threads,
                wave.until,
                known if known and len(known) == len(stack.trials) else None,
            )
        )

    def _lost(self, stack: _Stack, event: Lost, waiting: deque[_Stack], journal: Journal) -> Iterator[SweepReport]:
        """Try a stack again whose worker has ended, a bounded number of times."""
        journal.append({"event": "lost", "stack": stack.plan.number, "reason": event.reason})
        if stack.attempts < ATTEMPTS:
            waiting.appendleft(stack)
            yield Retry(stack.plan.trials, event.reason)
        else:
            words = f"{event.reason}, {stack.attempts} times in a row"
            yield from self._ended(stack, Broken(stack.plan.number, words), journal)

    def _ended(self, stack: _Stack, event: Done | Broken, journal: Journal) -> Iterator[SweepReport]:
        """Take a stack's results into journal and folder; what an interrupted try recorded already stays as it is."""
        if isinstance(event, Broken):
            members: Sequence[Trained] = [Trained(FAILED, message=event.message)] * len(stack.trials)
        else:
            members = event.members
        fresh: dict[int, tuple[Trial, Trained]] = {}
        results = []
        for trial, trained in zip(stack.trials, members, strict=True):
            if self.record.result(trial, self._wave) is None:
                values = {key: trial.values[key] for key in self.spec.space.varied}
                figures = (values, trained.status, trained.metrics, trained.message)
                results.append(Result(trial.number, trial.point, trial.key, *figures))
                fresh[trial.number] = trial, trained
        yield from self._end(results, journal, fresh)

    def _end(
        self, results: Sequence[Result], journal: Journal, fresh: Mapping[int, tuple[Trial, Trained]] | None = None
    ) -> Iterator[SweepReport]:
        """Record results: run folders and states first, then the journal, then what is not needed any more goes."""
        record, ended = self.record, [result for result in results if result.status != PAUSED]
        after = {**record.results, **{result.trial: result for result in ended}}
        needed = self._needed(after)
        for trial, trained in (fresh or {}).values():
            if trained.state is not None:
                self.folder.store_state(trial.number, trained.state)
            kept = trained.status == PAUSED or trial.number in needed
            if self.folder.keep == "all" or (self.folder.keep == "best" and kept):
                self.folder.store(trial, trained)
        journal.append(*(result_event(result, self._wave) for result in results))
        for result in results:
            if result.status == PAUSED:
                record.rungs[result.trial, self._wave] = result
        if not ended:
            return
        record.results.update({result.trial: result for result in ended})
        self.folder.prune(after, needed)
        board = self._board()
        self._write(board)
        for number, result in enumerate(ended, start=len(after) - len(ended) + 1):
            yield TrialEnd(result, number, board)

    def _needed(self, results: Mapping[int, Result]) -> set[int]:
        """The trials whose run folders may be wanted: the best one's, and those of points with repeats to come."""
        points: dict[int, list[Result]] = {}
        for result in results.values():
            points.setdefault(result.point, []).append(result)
        complete = [r for found in points.values() if len(found) == self.spec.repeat for r in found]
        waiting = {r.trial for found in points.values() if len(found) < self.spec.repeat for r in found}
        best = rank((), self.spec.metric, self.spec.repeat, complete).best
        return waiting | (set() if best is None else {best.best_trial})

    def _board(self) -> Leaderboard:
        return rank(self.spec.space.varied, self.spec.metric, self.spec.repeat, self.record.results.values())

    def _write(self, board: Leaderboard) -> None:
        best = None if board.best is None else self.record.results[board.best.best_trial]
        write_leaderboard(self.folder.leaderboard, board, self.folder.runs(best))

    def _settle(self, complete: bool) -> tuple[Leaderboard, str | None]:
        """Leave ``best/`` and the leaderboard as what is done so far gives them."""
        board = self._board()
        best = None
        if self.folder.keep != "none" and board.best is not None:
            path = self.folder.publish(self.record.results[board.best.best_trial])
            best = None if path is None else str(path)
        if board.rows:
            self._write(board)
        if complete:
            self.folder.tidy()
        return board, best

    def _progress(self, wave: Wave) -> float:
        """How many trials are done, those under way counted by their epochs."""
        done = float(len(self.record.results))
        for trial in wave.trials:
            paused = self.record.rungs.get((trial.number, self._wave))
            if paused is not None and trial.number not in self.record.results:
                done += (wave.until or 0) / max(1, trial.config.epochs)
        for stack in self._running.values():
            epochs = sum(trial.config.epochs for trial in stack.trials)
            done += len(stack.trials) * min(1.0, stack.epochs / max(1, epochs))
        return done

    def _importances(self) -> dict[str, float] | None:
        """Over all trials with figures; where halving was at work over the first rung, which all have reached."""
        name, first = self.spec.metric.name, {}
        for (trial, wave), result in self.record.rungs.items():
            if wave == 0:
                first[trial] = result
        known: list[tuple[Mapping[str, Any], float]] = []
        for trial, result in sorted(self.record.results.items()):
            figure = first.get(trial, result).metrics.get(name)
            if figure is not None and not result.failed:
                known.append((result.values, float(figure)))
        return importances(self.spec.space.varied, known)
