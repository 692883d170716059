"""The benchmark of speed: mlptrain next to its peers, written to RESULTS-PROCESSOR.md with charts.

    python -m benchmarks [--quick] [--only PART ...] [--data-dir DIR] [--threads N] [--output DIR]

PART is networks, mkl, stacks, whole, options, growth or startup; the sections of other parts are kept. Each contestant
runs in its own process; all use the same machine, number of threads and images, and take turns. `pip install -e
'.[bench]'` installs the peers; a peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks import epochs, processes
from benchmarks.chart import draw
from benchmarks.report import Section, machine, processor_slug, write_page
from mlptrain.datasets.dataset import data_folder
from mlptrain.system.machine import available_cores

PARTS = ("networks", "mkl", "stacks", "whole", "options", "growth", "startup")

TITLES = (
    *("Single networks", "Single networks with MKL", "Stacks", "Whole processes, full MNIST", "Cost of options"),
    *("Growth of an epoch", "Start-up", "Notes"),
)
"""The sections of a page; one that is not measured again keeps its previous text."""


def main() -> None:
    """Measure the selected parts and write the page after each of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and repeats")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=data_folder(),
        help="folder with mnist/ (default: as for mlptrain)",
    )
    parser.add_argument("--threads", type=int, default=available_cores(), help="number of threads (default: all cores)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIR",
        help="folder to write to (default: benchmarks)",
    )
    options = parser.parse_args()
    has_mnist = (options.data_dir / "mnist").is_dir()
    setting = epochs.Setting(options.quick, options.threads, options.data_dir)
    header = [
        "# Speed",
        f"Written by `python -m benchmarks{' --quick' if options.quick else ''}`: {machine(available_cores())}.",
        f"Every contestant may use {options.threads} threads. × is the time of a peer divided by the time of mlptrain.",
    ]
    if options.quick:
        header.append("This was a quick run: few images and repeats, so the values are rough.")
    options.output.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    began = time.perf_counter()
    for part in [part for part in PARTS if part in options.only]:
        if part in ("networks", "stacks"):
            section, times = (epochs.networks if part == "networks" else epochs.stacks)(setting)
            if find_spec("matplotlib"):
                name = f"{part}-{processor_slug()}.svg"
                draw(times, options.output / name, machine(available_cores()))
                section.notes.insert(0, f"![{section.title}]({name})")
            else:
                section.left_out.append("matplotlib is not installed, so there is no chart.")
        elif part in ("mkl", "options", "growth"):
            section = {"mkl": epochs.mkl, "options": epochs.options, "growth": epochs.growth}[part](setting)
        elif part == "whole":
            if not has_mnist:
                print("whole: skipped, because the data folder has no MNIST; run `mlptrain download`")
                continue
            section = processes.whole(setting, options.data_dir)
        else:
            section = processes.startup(setting, options.data_dir if has_mnist else None)
        sections.append(section)
        print(f"{section.markdown()}\n({part}: {time.perf_counter() - began:.0f} s so far)\n", flush=True)
        text = "\n\n".join(header) + "\n\n" + "\n".join(section.markdown() for section in sections)
        write_page(options.output / f"RESULTS-{processor_slug()}.md", text, TITLES)


if __name__ == "__main__":
    main()
