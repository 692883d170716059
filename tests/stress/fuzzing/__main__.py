"""The fuzzing loop: inputs derived from seeds until the time is over, and the checks for each input.

    python -m tests.stress.fuzzing --minutes 10 TARGET...
    python -m tests.stress.fuzzing --count 500 all
    python -m tests.stress.fuzzing --replay FILE TARGET

An input may not raise anything but `MlptrainError`, whose message is at most three printable lines; not warn; not take
longer than a second; and not bring the process above 200 MB. The first that does is kept in ``findings/``, and the exit
code is 1. Input number i of a seed is always the same.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from mlptrain.errors import MlptrainError
from tests.stress.fuzzing.targets import TARGETS, Target

CORPUS = Path(__file__).parents[1] / "corpus"

SECONDS = 1.0

BYTES = 200_000_000

HANG = 20.0  # seconds after which the process is ended, with a traceback


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with what the process that started this one held
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fault(target: Target, data: bytes, path: Path) -> str | None:
    """Return the fault of the target on ``data``, which is written to ``path``, or None."""
    path.write_bytes(data)
    begin = time.process_time()
    found = None
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            target.read(data, path)
    except MlptrainError as error:
        lines = str(error).split("\n")
        if len(lines) > 3 or not all(line.isprintable() for line in lines):
            found = f"its message is not three printable lines: {str(error)[:300]!r}"
    except Exception:
        found = traceback.format_exc()
    if found is None and caught:
        found = f"it warns: {caught[0].message}"
    taken = time.process_time() - begin
    if found is None and taken > SECONDS:
        found = f"it took {taken:.1f} s"
    if found is None and peak() > BYTES:
        found = f"the process has taken {peak() / 1e6:.0f} MB"
    return found


def fuzz(name: str, seed: int, count: int | None, seconds: float | None) -> int:
    """Run inputs of a target until ``count`` or ``seconds`` are reached; return the exit code."""
    target = TARGETS[name]
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    began, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder, _Watchdog() as watchdog:
        while number != count and (seconds is None or time.monotonic() - began < seconds):
            watchdog.arm()
            rng = random.Random(f"{name} {seed} {number}")
            data = seeds[number] if number < len(seeds) else target.mutate(rng, seeds, target.words)
            if found := fault(target, data, Path(folder) / "input"):
                kept = Path("findings") / f"{name}-{seed}-{number}"
                kept.parent.mkdir(exist_ok=True)
                kept.write_bytes(data)
                print(f"{name}: input {number} of seed {seed}, kept in {kept} ({len(data)} bytes): {found}")
                return 1
            number += 1
    elapsed = time.monotonic() - began
    print(f"{name}: {number} inputs in {elapsed:.0f} s, nothing found; at most {peak() / 1e6:.0f} MB", flush=True)
    return 0


class _Watchdog:
    """A thread that ends the process with a traceback if it hangs in C code, which no exception can interrupt."""

    def __init__(self) -> None:
        self._armed = -HANG

    def __enter__(self) -> _Watchdog:
        return self

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()

    def arm(self) -> None:
        """Allow `HANG` seconds from about now, without starting a thread, which would be slow."""
        if time.monotonic() > self._armed + HANG / 2:
            faulthandler.dump_traceback_later(HANG, exit=True, file=sys.__stderr__ or sys.stderr)
            self._armed = time.monotonic()


def main() -> int:
    """Read the arguments and fuzz."""
    parser = argparse.ArgumentParser(description="Fuzz what reads strangers' files.")
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, help="for each target")
    parser.add_argument("--count", type=int, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Path, help="read this one file")
    arguments = parser.parse_args()
    names = list(TARGETS) if "all" in arguments.targets else arguments.targets
    if arguments.replay:
        with tempfile.TemporaryDirectory() as folder:
            found = fault(TARGETS[names[0]], arguments.replay.read_bytes(), Path(folder) / "input")
        print(found or "nothing found")
        return int(found is not None)
    seconds = None if arguments.minutes is None else arguments.minutes * 60
    if seconds is None and arguments.count is None:
        parser.error("say how long: --minutes or --count")
    return max(fuzz(name, arguments.seed, arguments.count, seconds) for name in names)


if __name__ == "__main__":
    sys.exit(main())
