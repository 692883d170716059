"""The state of folders, as it is read while other processes write them and after they are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import mlptrain
from mlptrain.errors import DivergedError
from mlptrain.runs.files import HISTORY, JOURNAL
from mlptrain.runs.status import Course, Trials, read_course, run_state, sweep_status
from mlptrain.system import files
from mlptrain.system.lock import LOCK, QUIET_SECONDS, is_in_use, locked
from tests.runs.made import begun, partly_trained, quick, small

PLAN = {"event": "plan", "version": 1, "sweep": "s", "wave": 0, "workers": 1}


def journal(path: Path, planned: int, ended: int) -> Path:
    """Write the journal of a sweep with the last line cut short."""
    path.mkdir(parents=True, exist_ok=True)
    events = [{**PLAN, "stacks": [{"stack": 0, "threads": 1, "trials": [*range(planned)]}]}]
    events += [{"event": "trial", "trial": trial, "point": trial} for trial in range(ended)]
    text = "".join(json.dumps(event) + "\n" for event in events)
    (path / JOURNAL).write_text(f'{text}{{"event": "trial", "trial": {ended}')
    return path


def test_states_of_runs(tmp_path: Path) -> None:
    mlptrain.train(quick(), run="done", runs_dir=tmp_path)
    partly_trained(tmp_path)
    with pytest.raises(DivergedError):
        mlptrain.train(quick("learning_rate=1e30", "activation=relu", "hidden=5,5"), run="nan", runs_dir=tmp_path)
    assert [run_state(tmp_path / name) for name in ("done", "a", "nan")] == ["complete", "interrupted", "diverged"]
    with closing(mlptrain.run(small(), run="b", runs_dir=tmp_path)) as reports:
        next(reports)
        assert run_state(tmp_path / "b") == "running"
    assert run_state(tmp_path / "b") == "interrupted"
    (tmp_path / "b" / LOCK).touch()
    assert run_state(tmp_path / "b") == "stale lock"
    assert run_state(tmp_path / "missing") == "interrupted"


def test_course_of_a_history(tmp_path: Path) -> None:
    path = tmp_path / HISTORY
    assert read_course(path) == Course()
    heading = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
    rows = "1,0.5,0.8,,,0.1,0.25\n2,0.25,0.9,,,0.1,0.5\n"
    last = {"epoch": 2, "loss": 0.25, "accuracy": 0.9, "learning_rate": 0.1, "seconds": 0.5}
    for rest, diverged in (("", False), ("3,0.1,0.", False), ("3,,,,,,\n", True), ("damaged\n", False)):
        path.write_text(heading + rows + rest)
        assert read_course(path) == Course(2, last, 0.75, diverged)


def test_states_of_sweeps(tmp_path: Path) -> None:
    assert sweep_status(journal(tmp_path / "a", 3, 3)) == Trials("complete", 3, 3)
    assert sweep_status(journal(tmp_path / "b", 3, 2)) == Trials("interrupted", 3, 2)
    (tmp_path / "b" / LOCK).touch()
    assert sweep_status(tmp_path / "b").state == "stale lock"
    with locked(tmp_path / "b"):
        assert sweep_status(tmp_path / "b").state == "running"


def test_shards_and_job_arrays_are_one_sweep(tmp_path: Path) -> None:
    journal(tmp_path / "s/shard-1-of-2", 2, 2)
    journal(tmp_path / "s/shard-2-of-2", 2, 1)
    assert sweep_status(tmp_path / "s") == Trials("interrupted", 4, 3)
    with locked(tmp_path / "s/shard-1-of-2"):
        assert sweep_status(tmp_path / "s").state == "running"
    (tmp_path / "s/leaderboard.csv").touch()
    assert sweep_status(tmp_path / "s").state == "complete", "it was collected"
    begun(tmp_path / "array/trials/0000")
    assert sweep_status(tmp_path / "array") == Trials("interrupted", 1, 0)
    journal(tmp_path / "half/shard-2-of-2", 1, 1)
    assert sweep_status(tmp_path / "half") == Trials("interrupted", 1, 1), "one shard has not started"


def test_a_reader_never_makes_a_writer_fail(tmp_path: Path) -> None:
    """Readers that look at the lock all the time, while it is taken 300 times."""
    code = "import sys\nfrom pathlib import Path\nfrom mlptrain.system.lock import is_in_use\nprint(1, flush=True)\n"
    command = [sys.executable, "-c", f"{code}while True: is_in_use(Path(sys.argv[1]))", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None and reader.stdout.readline()
        for _ in range(300):
            (tmp_path / LOCK).touch()  # left by a killed process, so that the reader opens it
            with locked(tmp_path):
                pass
        reader.kill()


def test_lock_that_cannot_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of another machine, and a file system without locks: the folder is in use while it changes."""
    (tmp_path / LOCK).write_text("process 1 on another-machine\n")
    assert is_in_use(tmp_path)
    monkeypatch.setattr(files, "_lock", lambda descriptor, *, shared: None)
    with locked(tmp_path):
        assert is_in_use(tmp_path)
    (tmp_path / LOCK).write_text("process 1 on another-machine\n")
    before = time.time() - QUIET_SECONDS - 1
    os.utime(tmp_path / LOCK, (before, before))
    assert not is_in_use(tmp_path)


def test_states_need_no_numpy() -> None:
    code = "import sys, mlptrain.runs.status, mlptrain.training.reports; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
