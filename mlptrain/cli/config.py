"""Command ``mlptrain config``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.config import config as configs


def config(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONFIG KEY=VALUE", help="YAML config file, and keys to replace."),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of configs instead.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the config as one JSON object.")] = False,
) -> None:
    """Show a config with all defaults, or the schema of configs.

    Without a CONFIG, only the defaults are shown.

    Example: mlptrain config configs/quickstart.yaml epochs=5
    """
    if schema:
        print(json.dumps(configs.config_schema(), indent=2))
        return
    given = list(arguments or ())
    path = Path(given.pop(0)) if given and "=" not in given[0] else None
    resolved = configs.load_config(path, given).resolve()
    if json_output:
        print(json.dumps(configs.plain_values(resolved)))
    else:
        print(configs.dump_yaml(resolved), end="")
