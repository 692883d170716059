"""A sweep that is killed, run on a cluster, and run by a shell, compared with an undisturbed one.

    python -m tests.stress.sweep_faults                     thirty kills, 40 trials, dask, --list with xargs
    python -m tests.stress.sweep_faults --kills 5 --trials 12

An undisturbed sweep is the reference. Then SIGKILL hits a worker or the parent at random moments, and the sweep is
resumed each time; when one sweep has been survived before all kills are spent, the next begins. In the end each trial
must be in the journal exactly once and the leaderboard must be the undisturbed one, seconds apart. Dask with two worker
processes (one of them killed) and ``--list | xargs -P2`` with ``--collect`` must give the same trials, each accuracy
within 0.3 points. Last, the two workers of a cluster share nothing but TCP with the sweep, and one of them or the
scheduler is killed and started again every few seconds: the leaderboard must be the undisturbed one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import mlptrain
from tests.sweeps.isolated import can_isolate, isolated_worker, start_scheduler

BASE = "hidden: [30]\nepochs: 4\nbatch_size: 32\nactivation: sigmoid\n"

SWEEP = """base: base.yaml
method: random
metric: {{name: val_accuracy, goal: maximize}}
run_cap: {trials}
seed: 3
parameters:
  hidden: {{values: [[15], [30]]}}
  batch_size: {{values: [16, 32, 64]}}
  learning_rate: {{distribution: log_uniform_values, min: 0.01, max: 0.5}}
  l2: {{distribution: log_uniform_values, min: 1e-6, max: 1e-3}}
"""

POINTS = 0.003

MLPTRAIN = [sys.executable, "-m", "mlptrain"]


def command(folder: Path, run: str, *options: str) -> list[str]:
    """Return the command of the sweep."""
    return [*MLPTRAIN, "sweep", "sweep.yaml", "--run", run, "--workers", "2", "-q", *options]


def children(pid: int, program: bytes = b"spawn_main") -> list[int]:
    """Return the worker processes of a sweep: its children without the resource tracker of multiprocessing."""
    found = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            if program in line:
                found.append(int(child))
    return found


def alive(pid: int) -> bool:
    """Return whether a process is running, zombies excluded."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def disturbed(folder: Path, run: str, kills: int, longest: float, rng: random.Random) -> tuple[int, int, int]:
    """Kill and resume a sweep until it is complete; return killed workers, killed parents and surviving workers."""
    workers = parents = orphans = 0
    while True:
        process = subprocess.Popen(command(folder, run, "--resume"), cwd=folder)
        while workers + parents < kills:
            end = time.monotonic() + rng.uniform(0.0, longest)
            while time.monotonic() < end and process.poll() is None:
                time.sleep(0.01)
            if process.poll() is not None:
                break
            busy = children(process.pid)
            if busy and rng.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(busy), signal.SIGKILL)
                workers += 1
                continue
            process.kill()
            process.wait()
            parents += 1
            patience = time.monotonic() + 10
            while any(map(alive, busy)) and time.monotonic() < patience:
                time.sleep(0.02)
            orphans += sum(map(alive, busy))
            break
        else:
            process.wait()
        if process.returncode == -signal.SIGKILL:
            continue
        if process.wait() != 0:
            raise SystemExit(f"the sweep ended with exit code {process.returncode}")
        return workers, parents, orphans


def board(path: Path) -> list[dict[str, str]]:
    """Return a leaderboard without seconds and folder names, which may differ."""
    with (path / "leaderboard.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{key: value for key, value in row.items() if key not in ("seconds", "run")} for row in rows]


def finished(path: Path) -> Counter[int]:
    """Return the number of results per trial in the journal."""
    lines = (path / "journal.jsonl").read_text().splitlines()
    events = map(json.loads, lines)
    return Counter(event["trial"] for event in events if event["event"] == "trial")


def furthest(path: Path, reference: list[dict[str, str]]) -> float:
    """Return the largest difference of a trial's validation accuracy from the reference; configs must be equal."""
    other = {row["trial"]: row for row in board(path)}
    keys = ("hidden", "batch_size", "learning_rate", "l2", "status")
    assert {t: [r[k] for k in keys] for t, r in other.items()} == {r["trial"]: [r[k] for k in keys] for r in reference}
    return max(abs(float(row["val_accuracy"]) - float(other[row["trial"]]["val_accuracy"])) for row in reference)


def dask(folder: Path) -> None:
    """Run the sweep on a local Dask cluster and kill one of its workers in the middle."""
    process = subprocess.Popen(command(folder, "dask", "--executor", "dask"), cwd=folder)
    journal = folder / "runs/dask/journal.jsonl"
    while process.poll() is None and (not journal.exists() or '"start"' not in journal.read_text()):
        time.sleep(0.05)
    time.sleep(0.5)
    if busy := children(process.pid):
        with suppress(ProcessLookupError):
            os.kill(busy[0], signal.SIGKILL)
    if process.wait():
        raise SystemExit(f"the sweep on dask ended with exit code {process.returncode}")


def isolated(folder: Path, rng: random.Random) -> Counter[str]:
    """Run the sweep on isolated workers, kill these and their scheduler, and return the number of faults of each kind.

    A sweep that the death of the scheduler has ended (exit code 3) is resumed.
    """
    count: Counter[str] = Counter()
    scheduler, address = start_scheduler()
    options = ["--executor", "dask", "--scheduler", address, "--no-stack", "--resume"]
    with ExitStack() as stack:
        workers = [stack.enter_context(isolated_worker(address, folder)) for _ in range(2)]
        process = subprocess.Popen(command(folder, "isolated", *options), cwd=folder)
        while True:
            try:
                code = process.wait(rng.uniform(1.0, 4.0))
            except subprocess.TimeoutExpired:
                if rng.random() < 0.5:
                    for pid in children(rng.choice(workers), b"dask_worker"):
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            count["workers"] += 1
                else:
                    scheduler.kill()
                    scheduler.wait()
                    scheduler, _ = start_scheduler(int(address.rpartition(":")[2]))
                    count["schedulers"] += 1
                continue
            if code == 0:
                break
            if code != 3:
                raise SystemExit(f"the sweep on isolated workers ended with exit code {code}")
            count["resumed"] += 1
            process = subprocess.Popen(command(folder, "isolated", *options), cwd=folder)
    scheduler.kill()
    scheduler.wait()
    return count


def shell(folder: Path) -> None:
    """Run the commands of ``--list`` with xargs, two at a time, and collect their runs."""
    lines = subprocess.run(command(folder, "listed", "--list"), cwd=folder, check=True, capture_output=True, text=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["xargs", "-P2", "-I{}", "sh", "-c", "{}"],
        input=lines.stdout,
        text=True,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
    )
    subprocess.run([*MLPTRAIN, "sweep", "--collect", "sweep.yaml", "runs/listed", "-q"], cwd=folder, check=True)


def main() -> None:
    """Run all scenarios and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mlptrain-faults-"))
    (folder / "base.yaml").write_text(BASE)
    (folder / "sweep.yaml").write_text(SWEEP.format(trials=given.trials))
    rng, every = random.Random(given.seed), Counter(dict.fromkeys(range(given.trials), 1))
    began = time.monotonic()
    subprocess.run(command(folder, "whole"), cwd=folder, check=True)
    longest = time.monotonic() - began
    reference = board(folder / "runs/whole")
    assert finished(folder / "runs/whole") == every
    print(f"undisturbed: {given.trials} trials in {longest:.1f} s")

    workers = parents = orphans = rounds = 0
    while workers + parents < given.kills:
        run = f"killed-{rounds}"
        left = given.kills - workers - parents
        more = disturbed(folder, run, left, longest / 2, rng)
        workers, parents, orphans = workers + more[0], parents + more[1], orphans + more[2]
        rounds += 1
        assert finished(folder / "runs" / run) == every, f"{run}: {finished(folder / 'runs' / run)}"
        assert board(folder / "runs" / run) == reference, f"{run}: another leaderboard"
        assert (folder / "runs" / run / "best/model.npz").read_bytes() == (
            folder / "runs/whole/best/model.npz"
        ).read_bytes()
    print(
        f"{workers} workers and {parents} parents killed in {rounds} sweeps, each resumed: {given.trials} trials once "
        f"each, the same leaderboard and best model; {orphans} workers outlived their parent"
    )

    dask(folder)
    assert finished(folder / "runs/dask") == every
    far = furthest(folder / "runs/dask", reference)
    print(f"dask, one of two workers killed: the same trials, accuracies within {100 * far:.2f} points")
    assert far <= POINTS
    shell(folder)
    far = furthest(folder / "runs/listed", reference)
    print(f"--list | xargs -P2, then --collect: the same trials, accuracies within {100 * far:.2f} points")
    assert far <= POINTS

    if can_isolate():
        shutil.copytree(Path(mlptrain.__file__).parent / "datasets/sample", folder / "digits")
        for path in (folder / "digits").glob("*.gz"):
            path.rename(path.with_name(f"train-{path.name}"))
        (folder / "base.yaml").write_text(f"{BASE}dataset: {folder / 'digits'}\n")
        subprocess.run(command(folder, "digits", "--no-stack"), cwd=folder, check=True)
        count = isolated(folder, rng)
        assert finished(folder / "runs/isolated") == every
        assert board(folder / "runs/isolated") == board(folder / "runs/digits"), "another leaderboard"
        print(
            f"dask, isolated workers, {count['workers']} of them and {count['schedulers']} schedulers killed, "
            f"{count['resumed']} times resumed: {given.trials} trials once each, the same leaderboard"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
