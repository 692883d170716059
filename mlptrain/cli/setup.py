"""What commands that train do before NumPy is imported: read the config, warn, choose the threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mlptrain.config import Config


def read_config(path: Path, overrides: Sequence[str] | None) -> Config:
    """The config with its overrides; keys that have no effect bring a warning on stderr."""
    from mlptrain.config import load_config, warnings

    config = load_config(path, overrides or ())
    for warning in warnings(config):
        typer.echo(f"mlptrain: warning: {warning}", err=True)
    return config


def choose_threads(config: Config, asked: int | None) -> None:
    """Set the BLAS threads: as asked, else as the environment says, else by the size of the products."""
    from mlptrain.threads import available_cores, configured_threads, threads_for, use_threads

    largest = 784, *config.hidden, 10
    batch = 60_000 if config.batch_size == "full" else config.batch_size
    # Augmentation works on a core of its own: BLAS threads on that core would wait for it at every product.
    cores = available_cores() - (config.augment is not None)
    use_threads(asked or configured_threads() or threads_for(largest, batch, cores))
