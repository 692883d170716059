"""Time per epoch: single networks, stacks, options of the engine, and growth with size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.contestants import (
    BARE_TORCH,
    COMPILED_TORCH,
    DEFAULT,
    JAX,
    KERAS,
    MKL,
    NAIVE,
    OURS,
    PRODUCTS,
    SKLEARN,
    TORCH,
)
from benchmarks.report import Section, ratio, seconds
from benchmarks.work import CASES, Case
from benchmarks.worker import SETTLE, Entry, Field, installed
from mlptrain.system.machine import threads_for

QUICK = 6_400
"""Images per epoch with ``--quick``, again a multiple of the batch sizes."""

SMALL = 20_000_000
"""Multiply-adds of the largest product of a step below which a second thread may be slower than one."""


@dataclass(frozen=True)
class Setting:
    """The thoroughness of a benchmark run, its threads and its data."""

    quick: bool
    threads: int
    data_dir: Path | None

    @property
    def repeats(self) -> int:
        """Number of timed epochs."""
        return 2 if self.quick else 5

    def case(self, case: Case) -> Case:
        """Return the case with the number of images of this run."""
        return replace(case, images=min(case.images, QUICK)) if self.quick else case


Times = dict[str, list[float]]


def fastest(measured: dict[Entry, list[float]]) -> dict[str, tuple[int, list[float]]]:
    """Return the faster number of threads of each contestant, with its seconds per epoch."""
    best: dict[str, tuple[int, list[float]]] = {}
    for entry, values in measured.items():
        if entry.name not in best or statistics.median(values) < statistics.median(best[entry.name][1]):
            best[entry.name] = entry.threads, values
    return best


def entries(case: Case, names: Sequence[str], setting: Setting) -> list[Entry]:
    """Return each contestant with all threads and, if its products are small, also with one thread.

    Only contestants that call BLAS once per product can be faster with one thread; compiled epochs are left out.
    """
    small = case.batch * case.members * case.layers[0] * case.layers[1] < SMALL
    several = (OURS, MKL, PRODUCTS, NAIVE, TORCH, BARE_TORCH) if small else ()
    both = sorted({1, setting.threads})
    return [
        Entry(name, count)
        for name in names
        if installed(name)
        for count in (both if name in several else [setting.threads])
    ]


def compete(
    case: Case, names: Sequence[str], setting: Setting
) -> tuple[dict[str, tuple[int, list[float]]], dict[str, float], list[str]]:
    """Return the seconds of each contestant with its better number of threads, of its first epoch, and the failures."""
    with Field(setting.case(case), entries(case, names, setting), setting.data_dir) as field:
        best = fastest(field.measure(setting.repeats))
        firsts = {entry.name: worker.first or 0.0 for entry, worker in field.workers.items()}
        return best, firsts, field.failures


def absent(names: Sequence[str]) -> list[str]:
    """Return one line for each contestant whose library is not installed."""
    return [f"{name} is not installed and was left out." for name in names if not installed(name)]


PEERS = (NAIVE, TORCH, BARE_TORCH, COMPILED_TORCH, JAX, SKLEARN, KERAS)


def networks(setting: Setting) -> tuple[Section, dict[str, Times]]:
    """Compare the five networks with every peer; also return the seconds per epoch for the chart."""
    section = Section(
        "Single networks",
        [
            "Seconds per epoch of mlptrain, including loss and accuracy; the time with the number of threads that its "
            "commands choose, as a multiple of it; the time of the products alone as a share of it; and the time of "
            "each peer as a multiple of it. The number in parentheses is the faster number of threads, one or all. "
            "Compilation by JAX and the first epoch of the peers are not counted; their time is "
            "in square brackets.",
            f"Median of {setting.repeats} runs. Contestants take turns, each after {SETTLE} s of untimed epochs, and "
            "ratios are taken between neighbouring runs. PyTorch computes the same metrics as mlptrain, PyTorch bare "
            "computes none. The large networks train on fewer images.",
        ],
        (
            *("network", "batch", "images", "mlptrain s", "by default ×", "products alone s", "share"),
            *(f"{peer} ×" for peer in PEERS),
        ),
        left_out=absent(PEERS),
    )
    times: dict[str, Times] = {}
    for case in CASES:
        # Compilation takes PyTorch at least half a minute, so it is measured for one network only.
        names = [OURS, DEFAULT, PRODUCTS, *PEERS]
        if case is not CASES[2] or setting.quick:
            names.remove(COMPILED_TORCH)
        best, firsts, failures = compete(case, names, setting)
        threads, ours = best[OURS]

        def cell(peer: str, best: dict[str, tuple[int, list[float]]] = best, ours: list[float] = ours) -> str:
            return f"{ratio(best[peer][1], ours):.2f} ({best[peer][0]})" if peer in best else "-"

        cells = [cell(peer) for peer in PEERS]
        for index, peer in enumerate(PEERS):
            if peer in (JAX, COMPILED_TORCH) and peer in best:
                cells[index] += f" [{firsts[peer]:.1f} s]"
        size = setting.case(case)
        alone_threads, alone = best[PRODUCTS]
        default = f"{ratio(best[DEFAULT][1], ours):.2f} ({threads_for(case.layers, case.batch)})"
        own = [f"{seconds(ours)} ({threads})", default, f"{seconds(alone)} ({alone_threads})"]
        own.append(f"{ratio(alone, ours):.0%}")
        section.rows.append([size.name, str(size.batch), f"{size.images:,}", *own, *cells])
        section.left_out += failures
        times[f"{size.name}\nbatch {size.batch}"] = {name: values for name, (_, values) in best.items()}
    return section, times


def mkl(setting: Setting) -> Section:
    """Compare the five networks with the products of MKL with NumPy's, and with the fastest peers."""
    others = (OURS, TORCH, JAX)
    section = Section(
        "Single networks with MKL",
        [
            "The same with `MLPTRAIN_PRODUCTS=mkl`: seconds per epoch, and the times of mlptrain without MKL and of "
            "the peers as multiples of it."
        ],
        ("network", "batch", "images", "mlptrain with MKL s", "without MKL ×", *(f"{peer} ×" for peer in others[1:])),
        left_out=absent((MKL, *others)),
    )
    for case in CASES if installed(MKL) else ():
        best, _, failures = compete(case, (MKL, *others), setting)
        threads, ours = best[MKL]
        size = setting.case(case)
        cells = [f"{ratio(best[name][1], ours):.2f} ({best[name][0]})" if name in best else "-" for name in others]
        section.rows.append([size.name, str(size.batch), f"{size.images:,}", f"{seconds(ours)} ({threads})", *cells])
        section.left_out += failures
    return section


STACKED = (PRODUCTS, JAX, TORCH)


def stacks(setting: Setting) -> tuple[Section, dict[str, Times]]:
    """Compare K networks in one stack with K networks one by one."""
    section = Section(
        "Stacks",
        [
            "K networks with the same shape and the same batches that differ in rate and seed. Columns: the time of "
            "one stack; K networks one by one as a multiple of it; the same multiple for the products alone, which is "
            "the largest possible gain; the products alone as a share of the stack; JAX's `vmap` and PyTorch one by "
            "one as multiples. Sigmoid units, batch 64, each with its faster number of threads.",
        ],
        (
            "network",
            "K",
            "stack s",
            "one by one ×",
            "products one by one ×",
            "share of products",
            "JAX vmap ×",
            "PyTorch one by one ×",
        ),
        left_out=absent(STACKED),
    )
    times: dict[str, Times] = {}
    for hidden, members in [(15, 16), (30, 1), (30, 4), (30, 16), (30, 64), (128, 16)]:
        if setting.quick and members * hidden > 16 * 30:
            continue
        images = 12_800 if members * hidden > 500 else 24_320
        case = setting.case(Case((784, hidden, 10), "sigmoid", 64, images, members))
        single = replace(case, members=1)
        with (
            Field(case, entries(case, (OURS, *STACKED), setting), setting.data_dir) as field,
            Field(single, entries(single, [OURS, PRODUCTS], setting), setting.data_dir) as one,
        ):
            measured = {name: values for name, (_, values) in fastest(field.measure(setting.repeats)).items()}
            alone = {name: values for name, (_, values) in fastest(one.measure(setting.repeats)).items()}
            section.left_out += field.failures
        ours = measured[OURS]
        others = [f"{ratio(measured[name], ours):.2f}" if name in measured else "-" for name in (JAX, TORCH)]
        in_turn = [
            f"{members * statistics.median(alone[name]) / statistics.median(measured[name]):.2f}"
            for name in (OURS, PRODUCTS)
        ]
        share = f"{ratio(measured[PRODUCTS], ours):.0%}"
        section.rows.append([case.name, str(members), seconds(ours), *in_turn, share, *others])
        times[f"{members} × {case.name}"] = measured
    return section, times


OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"optimizer": "momentum"},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.001},
    "adam": {"optimizer": "adam", "learning_rate": 0.001},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.001},
    "sgd, batch_norm": {"batch_norm": True},
    "sgd, dropout 0.5": {"dropout": 0.5},
    "sgd, ema 0.999": {"ema": 0.999},
    "sgd, l2": {"l2": 1e-4},
}


def options(setting: Setting) -> Section:
    """Compare optimizers, batch normalisation and dropout with plain SGD."""
    section = Section(
        "Cost of options",
        [f"784-128-10, batch 64: an epoch as a multiple of plain SGD, with {setting.threads} threads; runs alternate."],
        ("options", "s per epoch", "× sgd"),
    )
    entry = Entry(OURS, setting.threads)
    with ExitStack() as stack:
        workers = []
        for values in OPTIONS.values():
            case = setting.case(replace(CASES[2], options=tuple(values.items())))
            workers.append(stack.enter_context(Field(case, [entry], setting.data_dir)).workers[entry])
        for worker in workers:
            worker.epoch()
        measured = [[worker.epoch(settled=True) for worker in workers] for _ in range(setting.repeats)]
    base, *_ = columns = list(zip(*measured, strict=True))
    for text, times in zip(OPTIONS, columns, strict=True):
        section.rows.append([text, seconds(times), f"{ratio(times, base):.2f}"])
    return section


def growth(setting: Setting) -> Section:
    """Measure an epoch for several hidden sizes, batch sizes, numbers of images and threads."""
    section = Section(
        "Growth of an epoch",
        ["784-128-10 with relu and batch 64, with one value changed at a time; the table of stacks shows K."],
        ("what", "value", "threads", "mlptrain s", "µs per image", "share of products"),
    )
    base, all_threads = CASES[2], setting.threads
    grown = [("hidden", size, replace(base, layers=(784, size, 10)), all_threads) for size in (16, 64, 256, 1024)]
    grown += [("batch", size, replace(base, batch=size), all_threads) for size in (1, 10, 64, 256, 1280)]
    grown += [
        ("images", size, replace(base, images=size), all_threads)
        for size in (6_400, 25_600, 48_640)[: 1 if setting.quick else 3]
    ]
    grown += [("threads", count, base, count) for count in sorted({1, all_threads})]
    for what, value, case, threads in grown:
        if what in ("hidden", "batch"):
            case = replace(case, images=QUICK if value == 1 else 2 * QUICK)
        case = setting.case(case)
        with Field(case, [Entry(OURS, threads), Entry(PRODUCTS, threads)], setting.data_dir) as field:
            measured = {entry.name: values for entry, values in field.measure(setting.repeats).items()}
        each = f"{statistics.median(measured[OURS]) / case.images * 1e6:.2f}"
        share = f"{ratio(measured[PRODUCTS], measured[OURS]):.0%}"
        section.rows.append([what, f"{value:,}", str(threads), seconds(measured[OURS]), each, share])
    return section
