"""Command ``mlptrain init``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import DEFAULT_CONFIG, Json
from mlptrain.cli.setup import print_result
from mlptrain.config.config import is_sweep_file
from mlptrain.config.keys import commented_yaml
from mlptrain.config.messages import hint
from mlptrain.config.shipped import LIST_HINT, find_shipped, leading_comment, shipped_configs
from mlptrain.config.yaml import read_yaml
from mlptrain.errors import ConfigError, UsageError
from mlptrain.system.files import make_folder, write_text_atomic
from mlptrain.system.text import shell_word, write_lines


def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Config to copy: a name from `mlptrain config --list`.")
    ] = DEFAULT_CONFIG,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the copy.", show_default="here")] = Path(),
    json_output: Json = False,
) -> None:
    """Copy a shipped config or sweep to change it.

    The copy of a config has all keys, each with its description as a comment.

    Example: mlptrain init nielsen
    """
    source = find_shipped(name)
    if source is None:
        near = hint(name, list(shipped_configs()))
        raise ConfigError(f"{name}: no shipped config has this name{near}\nhint: choose one from {LIST_HINT}")
    text, document = source.read_text(encoding="utf-8"), read_yaml(source)
    text = re.sub(r"^# mlptrain .*\n", "", text, flags=re.MULTILINE)  # commands for the original
    is_sweep = is_sweep_file(document)
    if not is_sweep:
        comment = "".join(f"# {line}\n" for line in leading_comment(text))
        text = f"{comment}\n{commented_yaml(document.values)}"
    path = folder / source.name
    make_folder(folder, "choose another folder")
    if path.exists():
        raise UsageError(f"{path}: this file exists\nhint: choose another folder, or remove the file")
    write_text_atomic(path, text)
    command = f"mlptrain {'sweep' if is_sweep else 'train'} {shell_word(str(path))}"
    write_lines(sys.stderr if json_output else sys.stdout, str(path.absolute()), f"next: {command}")
    if json_output:
        print_result(json.dumps({"config": str(path.absolute())}))
