"""Costs of a sweep with many trials: ``python -m benchmarks.scale [--trials N]``.

Prints what a trial costs besides training, the memory of the parent process, the time in which a sweep that was killed
at nine tenths continues, the size and time of a report, and the times of 100 shards and of collecting them. The
networks have at most two hidden units and train for one step, so nearly all of the time is bookkeeping.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SWEEP = """base: smoke
method: random
seed: 1
run_cap: {trials}
metric: {{name: val_accuracy, goal: maximize}}
parameters:
  learning_rate: {{distribution: log_uniform_values, min: 0.001, max: 1.0}}
  activation: {{values: [sigmoid, tanh, relu]}}
  hidden: {{values: [[1], [2]]}}
  subset: {{value: 50}}
  epochs: {{value: 1}}
  batch_size: {{value: 50}}
"""

SHARDS = 100


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command in the folder, in a process group of its own and without output."""
    command = [sys.executable, "-m", "mlptrain", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True)


def measured(folder: Path, *arguments: str) -> tuple[float, float, int]:
    """Return the seconds and the processor seconds of a command, and the memory of its largest process in bytes."""
    began = time.perf_counter()
    process = start(folder, *arguments)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 6):
        raise SystemExit(f"mlptrain {' '.join(arguments)}: exit code {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def ended_trials(run: Path) -> int:
    """Return the number of trials in the journal of a sweep."""
    journal = run / "journal.jsonl"
    return journal.read_bytes().count(b'"event": "trial"') if journal.is_file() else 0


def main() -> None:
    """Train, kill, resume, report, collect, and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many.yaml").write_text(SWEEP.format(trials=options.trials))
        seconds, used, memory = measured(folder, "sweep", "many.yaml", "--workers", "1", "--run", "whole")
        print(f"{options.trials:,} trials: {seconds:.1f} s, {1000 * seconds / options.trials:.2f} ms per trial;")
        print(f"  parent and worker {1000 * used / options.trials:.2f} ms of processor time, {memory / 1e6:.0f} MB")
        killed = start(folder, "sweep", "many.yaml", "--workers", "1", "--run", "killed")
        while ended_trials(folder / "runs/killed") < 0.9 * options.trials:
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        before, began = ended_trials(folder / "runs/killed"), time.perf_counter()
        resumed = start(folder, "sweep", "many.yaml", "--workers", "1", "--run", "killed", "--resume")
        while ended_trials(folder / "runs/killed") == before and resumed.poll() is None:
            time.sleep(0.02)
        print(f"killed at {before:,}: the next trial ends {time.perf_counter() - began:.2f} s after --resume")
        resumed.wait()
        seconds, _, memory = measured(folder, "report", "whole")
        size = (folder / "runs/whole/report.html").stat().st_size
        print(f"report: {seconds:.1f} s, {memory / 1e6:.0f} MB, {size / 1e6:.2f} MB")
        shard = ("sweep", "many.yaml", "--workers", "1", "--run", "shards", "--shard")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            times = list(pool.map(lambda i: measured(folder, *shard, f"{i}/{SHARDS}"), range(1, SHARDS + 1)))
        starting = statistics.median(seconds for seconds, _, _ in times)
        print(f"{SHARDS} shards of {options.trials // SHARDS} trials: {starting:.2f} s each, start-up included")
        seconds, _, memory = measured(folder, "sweep", "--collect", "runs/shards")
        print(f"{SHARDS} shards collected: {seconds:.1f} s, {memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
