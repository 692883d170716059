"""Runs that are killed at random times and at every fault point, then resumed and compared.

    python -m tests.stress.kills --kills 200

Six configs together use every component of training that has state. Each is trained to its end once; then it is
repeatedly started, ended by SIGKILL, and resumed with ``mlptrain train --resume``. Every other kill comes at a random
time, the others before, within and after each call that writes, syncs, renames or removes a file
(`tests.stress.faultpoints`), one kind after another. The exit code is 1 if a run is lost or differs in a byte.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlptrain.cli import main as mlptrain
from mlptrain.config.config import dump_yaml
from mlptrain.system.lock import LOCK
from tests.stress.faultpoints import installed
from tests.stress.stateful import SIX, left, stateful

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def in_a_child(work: Callable[[], int], kill_after: float | None = None) -> int:
    """Run ``work`` silently in a forked process; return its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    if kill_after is not None:
        timer = threading.Timer(kill_after, os.kill, (child, signal.SIGKILL))
        timer.start()
    _, status = os.waitpid(child, 0)
    if kill_after is not None:
        timer.cancel()
    return os.waitstatus_to_exitcode(status)


@dataclass
class Subject:
    """A config, the result of its run, and the fault points that the run passed."""

    name: str
    folder: Path
    moments: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def run(self) -> Path:
        """The folder of the run that is killed."""
        return self.folder / "runs" / "killed"

    def train(self, run: str, *options: str) -> int:
        """Run ``mlptrain train`` in this process."""
        runs = str(self.folder / "runs")
        return mlptrain(["train", str(self.folder / "config.yaml"), "--run", run, "--runs-dir", runs, "-q", *options])

    def prepare(self) -> None:
        """Train to the end and list the fault points of the run."""
        self.folder.mkdir(parents=True)
        (self.folder / "config.yaml").write_text(dump_yaml(stateful(self.name, epochs=3)), encoding="utf-8")
        began = time.monotonic()
        assert in_a_child(lambda: self.train("whole")) == 0
        self.seconds = time.monotonic() - began
        log = self.folder / "moments"

        def work() -> int:
            moments: list[str] = []  # two threads touch files, and a text stream is for one
            with installed(self.run, moments.append):
                code = self.train("killed")
            log.write_text("\n".join(moments), encoding="utf-8")
            return code

        assert in_a_child(work) == 0
        self.moments = log.read_text(encoding="utf-8").splitlines()

    def kill_at(self, moment: str, occurrence: int) -> bool:
        """Start a run and kill it at the ``occurrence``-th time of ``moment``; return False if that never came."""

        def work() -> int:
            seen = Counter[str]()

            def reached(name: str) -> None:
                seen[name] += 1
                if name == moment and seen[name] == occurrence:
                    os.kill(os.getpid(), signal.SIGKILL)

            with installed(self.run, reached):
                return self.train("killed")

        return self._fresh(work)

    def kill_after(self, seconds: float) -> bool:
        """Start a run and kill it after ``seconds``; return False if it had finished before."""
        return self._fresh(lambda: self.train("killed"), seconds)

    def _fresh(self, work: Callable[[], int], seconds: float | None = None) -> bool:
        shutil.rmtree(self.run, ignore_errors=True)
        return in_a_child(work, seconds) == -signal.SIGKILL

    def resumed(self) -> tuple[bool, bool]:
        """Resume the run to its end; return whether that succeeded and whether the bytes are the same."""
        if in_a_child(lambda: self.train("killed", "--resume")) != 0:
            return False, False
        files = {path.name for path in self.run.iterdir()}
        complete = {"config.yaml", "history.csv", "layers.csv", "metrics.json", "model.npz"}
        clean = files - {LOCK} == complete  # killed as it was given back
        return True, clean and left(self.run) == left(self.folder / "runs" / "whole")


def kill_somewhere(subjects: Sequence[Subject], number: int, rng: random.Random) -> tuple[Subject, str]:
    """Kill a run, even numbers at a random time, odd ones at each fault point in turn; return the run and the place."""
    turn = number // 2
    while True:
        subject = subjects[turn % len(subjects)]
        if number % 2 == 0:
            if subject.kill_after(rng.uniform(0.1, 1.0) * subject.seconds):
                return subject, "random time"
        else:
            kinds = sorted(set(subject.moments))
            moment = kinds[(turn // len(subjects) + turn % len(subjects) * 7) % len(kinds)]
            if subject.kill_at(moment, rng.randint(1, subject.moments.count(moment))):
                return subject, moment


def main() -> int:
    """Kill, resume, compare and count."""
    parser = argparse.ArgumentParser(description="Kill runs, resume them, and compare.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--configs", nargs="+", choices=SIX, default=list(SIX))
    arguments = parser.parse_args()
    rng, at = random.Random(arguments.seed), Counter[str]()
    killed = lost = same = from_a_checkpoint = 0
    with tempfile.TemporaryDirectory() as scratch:
        subjects = [Subject(name, Path(scratch) / name) for name in arguments.configs]
        for subject in subjects:
            subject.prepare()
        for number in range(arguments.kills):
            subject, moment = kill_somewhere(subjects, number, rng)
            checkpoint = (subject.run / "checkpoint.npz").exists()
            ended, equal = subject.resumed()
            killed, lost, same = killed + 1, lost + (not ended), same + equal
            from_a_checkpoint += checkpoint
            at[moment] += 1
            if not equal:
                print(f"{subject.name}: killed at {moment}: {'not the same' if ended else 'lost'}", flush=True)
    for moment, count in sorted(at.items()):
        print(f"{count:4} {moment}")
    print(f"{killed} killed ({from_a_checkpoint} with a checkpoint), {lost} lost, {same} of {killed} byte-identical")
    return int(lost > 0 or same < killed)


if __name__ == "__main__":
    sys.exit(main())
