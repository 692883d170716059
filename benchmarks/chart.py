"""The chart of the benchmark: seconds per epoch of every contestant, one panel per network."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestants import OURS, PRODUCTS
from benchmarks.epochs import Times


def draw(networks: Mapping[str, Times], path: Path, caption: str) -> None:
    """Write a bar chart of the seconds per epoch, fastest first, labelled with multiples of mlptrain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(networks) + 0.6, 4.2), layout="constrained")
    axes = figure.subplots(1, len(networks), squeeze=False)[0]
    for ax, (title, times) in zip(axes, networks.items(), strict=True):
        medians = {name: statistics.median(values) for name, values in times.items()}
        names = sorted(medians, key=lambda name: -medians[name])
        ours = medians[OURS]
        colours = ["#d1495b" if name == OURS else "#b8b8b8" if name == PRODUCTS else "#4d7ea8" for name in names]
        bars = ax.barh(names, [medians[name] for name in names], color=colours)
        ax.bar_label(bars, [f"{medians[name] / ours:.2g}×" for name in names], padding=2, fontsize=7)
        ax.set_title(title, fontsize=9)
        ax.set_xscale("log")
        ax.set_xlim(right=max(medians.values()) * 2.2)
        ax.tick_params(labelsize=7)
        ax.set_xlabel("seconds per epoch (log)", fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Seconds per epoch, with multiples of mlptrain", fontsize=11)
    figure.supxlabel(caption, fontsize=6, color="#666666")
    figure.savefig(path)
