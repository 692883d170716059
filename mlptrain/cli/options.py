"""The options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlptrain.config.config import Config

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but results asked for and errors.")]

NoColor = Annotated[bool, typer.Option("--no-color", help="No colour (also: the NO_COLOR variable).")]

Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="BLAS threads; default: chosen by the network's size.")
]

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where datasets lie; default: MLPTRAIN_DATA_DIR, else data.", metavar="DIR"),
]

RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Where runs are kept.", metavar="DIR")]

MinAccuracy = Annotated[
    float | None,
    typer.Option("--min-accuracy", min=0.0, max=1.0, help="Exit 5 where the accuracy is lower.", metavar="X"),
]

Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Replace config keys.")]


def read_config(path: Path, overrides: Sequence[str] | None) -> Config:
    """The config with its overrides; keys that have no effect bring a warning on stderr."""
    from mlptrain.config.config import load_config, warnings

    config = load_config(path, overrides or ())
    for warning in warnings(config):
        typer.echo(f"mlptrain: warning: {warning}", err=True)
    return config


def choose_threads(config: Config, asked: int | None) -> None:
    """Set the BLAS threads: as asked, else as the environment says, else by the size of the products."""
    from mlptrain.system.machine import available_cores, configured_threads, threads_for, use_threads

    largest = 784, *config.hidden, 10
    batch = 60_000 if config.batch_size == "full" else config.batch_size
    # Augmentation works on a core of its own: BLAS threads on that core would wait for it at every product.
    cores = available_cores() - (config.augment is not None)
    use_threads(asked or configured_threads() or threads_for(largest, batch, cores))
