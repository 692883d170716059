"""Set-up that several commands share: reading the config, printing results, and setting the BLAS threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from mlptrain.cli.options import DEFAULT_CONFIG
from mlptrain.config.config import Config, load_config, warnings
from mlptrain.config.overrides import is_override
from mlptrain.runs.locate import is_selection
from mlptrain.system.machine import available_cores, configured_threads, threads_for, threads_in_use, use_threads
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines, write_message


def print_result(text: str) -> None:
    """Print a requested result on stdout.

    Raises
    ------
    DataError
        It cannot be written.
    """
    write_lines(sys.stdout, text)
    check_written()


def warn(message: str) -> None:
    """Write a warning to stderr."""
    write_message(f"warning: {message}")


def show_found(runs: Sequence[str], paths: Sequence[Path], stream: TextIO) -> None:
    """Write which run each ``latest`` or ``best:METRIC`` among ``runs`` means."""
    write_lines(stream, *(f"{run}: {path}" for run, path in zip(runs, paths, strict=True) if is_selection(run)))


def split_arguments(arguments: Sequence[str] | None) -> tuple[str | None, list[str]]:
    """Return the config and the ``KEY=VALUE`` arguments of a command; the config is None if there is none."""
    given = list(arguments or ())
    config = given.pop(0) if given and not is_override(given[0]) else None
    return config, given


def read_config(arguments: Sequence[str] | None) -> tuple[str, Config]:
    """Return the name of a config for its runs, and the config; warn of each key that has no effect."""
    given, overrides = split_arguments(arguments)
    source = given or DEFAULT_CONFIG
    config = load_config(source, overrides)
    for warning in warnings(config):
        warn(warning)
    return Path(source).stem, config


def set_threads(requested: int | None, default: int) -> None:
    """Set the BLAS threads to ``requested``, else to what the environment variables say, else to ``default``."""
    use_threads(requested or configured_threads() or default)
    if requested and requested != threads_in_use():
        warn(f"--threads {requested}: {threads_in_use() or 'an unknown number of'} BLAS threads are in use")


def training_threads(config: Config) -> int:
    """Return the number of BLAS threads that suits the matrix products of a training step."""
    layers = 784, *config.hidden, 10
    batch_size = 60_000 if config.batch_size == "full" else config.batch_size
    # Augmentation takes one core; a BLAS thread there would delay every product.
    return threads_for(layers, batch_size, available_cores() - (config.augment is not None))
