"""The options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
