"""A file system of 5 MB that fills up during a run: the error message, and resuming afterwards.

    sudo python -m tests.stress.full_disk

Mounts a tmpfs (Linux, root), trains on it, fills it up once there is a checkpoint, and expects exit 3 with the file's
name and the reason. Then it frees the space, resumes, and expects the bytes of a run that had space all along.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlptrain.config.config import dump_yaml
from tests.stress.stateful import left, stateful

COMMAND = [sys.executable, "-m", "mlptrain", "train"]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a tmpfs at ``folder``.

    Raises
    ------
    PermissionError
        Not allowed to mount.
    """
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "mlptrain", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PermissionError(errno.EPERM, done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write to ``path`` until its disk is full."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def train_until_full(config: Path, runs: Path, filler: Path) -> tuple[int, str]:
    """Train on the small disk and fill it once there is a checkpoint; return the exit code and the messages."""
    process = subprocess.Popen(
        [*COMMAND, config, "--run", "a", "--runs-dir", runs, "-q", "--threads", "1"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (runs / "a" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    fill(filler)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def main() -> int:
    """Run the scenario and print the result; return 1 if it is not as expected."""
    with tempfile.TemporaryDirectory() as scratch, small_disk(Path(scratch), 5):
        runs, filler = Path(scratch) / "runs", Path(scratch) / "filler"
        config = Path(scratch) / "config.yaml"
        config.write_text(dump_yaml(stateful("momentum", hidden=[64], epochs=40)), encoding="utf-8")
        code, said = train_until_full(config, runs, filler)
        print(f"exit {code}: {said.strip()}")
        print("left:", *sorted(path.name for path in (runs / "a").iterdir()))
        filler.unlink()
        command: list[str | Path] = [*COMMAND, config, "--runs-dir", runs, "-q", "--threads", "1"]
        resumed = subprocess.run([*command, "--run", "a", "--resume"], check=False).returncode
        whole = subprocess.run([*command, "--run", "b"], check=False).returncode
        same = resumed == whole == 0 and left(runs / "a") == left(runs / "b")
        print(f"resumed: exit {resumed}; the same bytes as a run with space: {same}")
        named = "cannot be written: no space left on device" in said and str(runs / "a") in said
        return int(not (code == 3 and named and "Traceback" not in said and same))


if __name__ == "__main__":
    if os.name != "posix":
        sys.exit("this needs Linux")
    sys.exit(main())
