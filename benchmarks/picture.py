"""The picture of the benchmark: seconds an epoch of every contestant, a panel a network."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestants import OURS, PRODUCTS
from benchmarks.epochs import Times


def draw(networks: Mapping[str, Times], path: Path, caption: str) -> None:
    """Write a picture with bars for the seconds an epoch, fastest first, as multiples of mlptrain's."""
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
        ax.set_xlabel("seconds an epoch (log)", fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle("One epoch, and times as long as mlptrain's", fontsize=11)
    figure.supxlabel(caption, fontsize=6, color="#666666")
    figure.savefig(path)
