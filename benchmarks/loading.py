"""Time to load a dataset: from its files, on the first load with the cache, and from the cache.

    python -m benchmarks.loading DATA_DIR [NAME]

The cache is in a temporary folder, and DATA_DIR is not changed. The exit code is 1 if the second load takes more than a
fifth of the first, or if two processes do not share the pages of the images.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

# A process that loads the dataset, prints the time and, while it is still alive, the memory of its pages.
_LOAD = """
import sys
from pathlib import Path
from time import perf_counter
from mlptrain.datasets.dataset import load_dataset
start = perf_counter()
dataset = load_dataset(sys.argv[1], Path(sys.argv[2]))
print(perf_counter() - start, flush=True)
dataset.images.max()
input()
ours = False
for line in Path("/proc/self/smaps").read_text().splitlines() if Path("/proc/self/smaps").exists() else []:
    if not line.split()[0].endswith(":"):
        ours = "images.npy" in line
    elif ours and line.startswith(("Rss", "Pss:")):
        print(line.split()[0], int(line.split()[1]) * 1024)
"""


def measure(name: str, data_dir: Path) -> float:
    """Return the seconds that a new process takes to load the dataset."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, name, str(data_dir)], input="\n", capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[0])


def shared(name: str, data_dir: Path) -> tuple[int, int]:
    """Return the bytes of the mapped cache in one of two processes, and its proportional share; zeros outside Linux."""
    command = [sys.executable, "-c", _LOAD, name, str(data_dir)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
    outputs = [process.communicate("\n")[0] for process in both]  # the second waits while the first looks
    values = outputs[0].split()
    return (int(values[1]), int(values[3])) if values else (0, 0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how long a dataset takes to load.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("name", nargs="?", default="mnist")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    name = arguments.name
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        (data_dir / name).symlink_to((arguments.data_dir / name).resolve())
        blocked = data_dir / ".cache"
        blocked.touch()  # a file with this name prevents caching
        plain = min(measure(name, data_dir) for _ in range(arguments.repeat))
        blocked.unlink()
        first = measure(name, data_dir)
        second = min(measure(name, data_dir) for _ in range(arguments.repeat))
        mapped, share = shared(name, data_dir)
    print(f"from the files, without a cache   {plain * 1e3:7.1f} ms (best of {arguments.repeat})")
    print(f"first load, which writes it       {first * 1e3:7.1f} ms (once)")
    print(f"second load, from it              {second * 1e3:7.1f} ms (best of {arguments.repeat})")
    print(f"second / without a cache          {second / plain:7.3f}")
    if mapped:
        print(f"mapped by two processes           {mapped / 1e6:7.1f} MB each, of which {share / 1e6:.1f} MB its share")
    return int(second > plain / 5 or share > 0.6 * mapped)


if __name__ == "__main__":
    sys.exit(main())
