"""The set-up that several commands share: the config that is read, and the BLAS threads that are set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from mlptrain.config.config import Config, load_config, warnings
from mlptrain.system.machine import available_cores, configured_threads, threads_for, threads_in_use, use_threads


def warn(message: str) -> None:
    """Write a warning to stderr."""
    typer.echo(f"mlptrain: warning: {message}", err=True)


def read_config(path: Path, overrides: Sequence[str] | None) -> Config:
    """Return the config with its overrides, and warn of keys that have no effect."""
    config = load_config(path, overrides or ())
    for warning in warnings(config):
        warn(warning)
    return config


def set_threads(asked: int | None, default: int) -> None:
    """Set the BLAS threads: as asked, else as the environment says, else ``default``."""
    use_threads(asked or configured_threads() or default)
    if asked and asked != threads_in_use():
        warn(f"--threads {asked}: {threads_in_use() or 'an unknown number of'} BLAS threads are in use")


def training_threads(config: Config) -> int:
    """Return the number of BLAS threads by the size of the products in training."""
    largest = 784, *config.hidden, 10
    batch = 60_000 if config.batch_size == "full" else config.batch_size
    # Augmentation works on a core of its own: BLAS threads on that core would wait for it at every product.
    return threads_for(largest, batch, available_cores() - (config.augment is not None))
