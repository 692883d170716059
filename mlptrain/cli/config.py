"""Command ``mlptrain config``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from textwrap import fill
from typing import Annotated

import typer

from mlptrain.cli.setup import split_arguments
from mlptrain.config import config as configs
from mlptrain.config.keys import Key, commented_yaml, describe_keys, find_keys
from mlptrain.config.shipped import shipped_configs, summary
from mlptrain.config.values import flow
from mlptrain.errors import UsageError
from mlptrain.reporting.terminal import is_terminal, window
from mlptrain.reporting.text import shortened
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def config(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG KEY=VALUE",
            help="Config: a YAML file or a name, and keys to replace. With --explain: keys.",
            show_default="the defaults",
        ),
    ] = None,
    list_configs: Annotated[bool, typer.Option("--list", help="List the configs that come with mlptrain.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Describe the given keys, or all.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of configs.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a config, list the shipped ones, or describe the keys.

    Example: mlptrain config nielsen epochs=5
    """
    if sum((list_configs, explain, schema)) > 1:
        raise UsageError("--list, --explain and --schema cannot be combined")
    if arguments and (list_configs or schema):
        option = "--list" if list_configs else "--schema"
        raise UsageError(f"{option}: takes no other argument\nhint: run `mlptrain config NAME` to show one config")
    if schema:
        write_lines(sys.stdout, *json.dumps(configs.config_schema(), indent=2).splitlines())
    elif list_configs:
        _list(json_output)
    elif explain:
        _explain(arguments or [], json_output)
    else:
        values = configs.plain_values(configs.load_config(*split_arguments(arguments)).resolve())
        lines = [json.dumps(values)] if json_output else commented_yaml(values).splitlines()
        write_lines(sys.stdout, *lines)
    check_written()


def _list(json_output: bool) -> None:
    found = {name: summary(path) for name, path in shipped_configs().items()}
    if json_output:
        listed = [{"name": name, "summary": text} for name, text in found.items()]
        write_lines(sys.stdout, json.dumps({"configs": listed}))
        return
    width = max(map(len, found))
    lines = [f"{name:{width}}  {text}" for name, text in found.items()]
    if is_terminal(sys.stdout):
        lines = [shortened(line, window(sys.stdout)[0]) for line in lines]
    write_lines(sys.stdout, *lines)


def _explain(names: list[str], json_output: bool) -> None:
    keys: dict[str, Key] = {}
    for name in names:
        keys |= find_keys(name)
    keys = keys if names else describe_keys()
    if json_output:
        write_lines(sys.stdout, json.dumps({name: asdict(key) for name, key in keys.items()}))
        return
    blocks = []
    for name, key in keys.items():
        default = "none, the key is required" if key.required else flow(key.default)
        lines = (key.description, f"values: {key.type}", f"default: {default}")
        blocks.append(
            "\n".join([name, *(fill(line, 80, initial_indent="  ", subsequent_indent="    ") for line in lines)])
        )
    write_lines(sys.stdout, *"\n\n".join(blocks).splitlines())
