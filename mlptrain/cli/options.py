"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_CONFIG = "quickstart"
"""Config of commands that are given none."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; other output goes to stderr.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and requested values.")]

NoColor = Annotated[bool, typer.Option("--no-color", help="Print without colours, as if NO_COLOR were set.")]


def threads_option(default: str, share: str = "") -> Any:
    """Return the option ``--threads``, whose ``default`` is described in words."""
    return typer.Option("--threads", min=1, help=f"Number of BLAS threads{share}.", show_default=default, metavar="N")


TrainThreads = Annotated[int | None, threads_option("by network size")]

Threads = Annotated[int | None, threads_option("all cores")]

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of datasets.",
        show_default="MLPTRAIN_DATA_DIR, else ./data if it exists, else the user data folder",
        metavar="DIR",
    ),
]

RUN_FORMS = "a path, a name, latest or best:METRIC"

Run = Annotated[str, typer.Argument(metavar="RUN", help=f"Run: {RUN_FORMS}.")]

RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of runs.", metavar="DIR")]

MinAccuracy = Annotated[
    float | None,
    typer.Option("--min-accuracy", min=0.0, max=1.0, help="Exit with code 5 if accuracy is lower.", metavar="X"),
]

AugmentCopies = Annotated[
    int | None,
    typer.Option("--augment", min=1, help="Average the outputs over N deformed copies of each image.", metavar="N"),
]

ConfigArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG KEY=VALUE",
        help="Config: a YAML file or a name from `mlptrain config --list`. Keys to replace, such as epochs=5; "
        "hidden=64,32 is two layers.",
        show_default=DEFAULT_CONFIG,
    ),
]
