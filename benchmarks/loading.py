"""How long a dataset takes to load: from its files, the first time with the cache, and from the cache.

    python -m benchmarks.loading DATA_DIR [NAME]

The cache is made in a temporary folder, and DATA_DIR is left as it is. Exit 1 where the second load takes more
than a fifth of the first, or two processes do not share the images' pages.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

# A process that loads the dataset, says how long that took and, while it goes on, what its pages are.
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
        ours = "/.cache/" in line
    elif ours and line.startswith(("Rss", "Pss:")):
        print(line.split()[0], int(line.split()[1]) * 1024)
"""


def measure(name: str, data_dir: Path) -> float:
    """Seconds that a fresh process takes to load the dataset."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, name, str(data_dir)], input="\n", capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[0])


def shared(name: str, data_dir: Path) -> tuple[int, int]:
    """Bytes of the mapped cache in one of two processes, and its share of them; zeros off Linux."""
    command = [sys.executable, "-c", _LOAD, name, str(data_dir)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
    outputs = [process.communicate("\n")[0] for process in both]  # the second waits while the first looks
    figures = outputs[0].split()
    return (int(figures[1]), int(figures[3])) if figures else (0, 0)


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
        blocked.touch()  # a file of that name: nothing can be cached
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
