"""Write mlptrain/cli/completion.json, from which shells complete command lines: `python tools/make_completion.py`.

Run it after a change of a command, an option, a config key or the shipped configs; tests/cli/test_completion.py checks
that the file is up to date.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

import typer

from mlptrain.cli.commands import COMMANDS
from mlptrain.cli.completion import SHELLS, TABLE
from mlptrain.cli.program import app, load_command
from mlptrain.config.config import argument
from mlptrain.config.keys import Key, describe_keys
from mlptrain.config.registry import DATASET_NAMES, DATASETS
from mlptrain.config.shipped import shipped_configs
from mlptrain.config.yaml import read_yaml
from mlptrain.exercises.kinds import KINDS
from mlptrain.reporting.export import EXPORTS
from mlptrain.reporting.gallery import RUN_PLOTS
from mlptrain.runs.finished import SPLITS
from mlptrain.runs.selection import COLUMNS
from mlptrain.sweeps.sweep import EXECUTORS, KEEP
from mlptrain.training.reports import METRIC_NAMES

BY_METAVAR = {
    "RUN": ["@runs"],
    "CONFIG KEY=VALUE": ["@configs", "@overrides"],
    "SWEEP KEY=VALUE": ["@configs", "@sweeps", "@overrides"],
    "NAME|DIR": list(DATASET_NAMES),
    "DATASET": [*DATASETS, "all"],
    "KIND": list(KINDS),
    "SPLIT": list(SPLITS),
    "WHICH": list(KEEP),
    "SHELL": list(SHELLS),
    "KEY=VALUE|KEY=LOW..HIGH": ["@conditions"],
}
"""Candidates for the options and arguments with a metavar; others are completed as names of files."""

BY_OPTION = {
    "init NAME": ["@configs", "@sweeps"],
    "train --run": ["@runs"],
    "sweep --run": ["@runs"],
    "sweep --executor": list(EXECUTORS),
    "plot --format": ["png", "svg"],
    "plot --only": [*RUN_PLOTS, "parameters", "parallel", "rate_by_batch"],
    "export --format": list(EXPORTS),
    "runs --sort": [*COLUMNS, "@keys"],
}
"""Candidates for one option or argument of one command."""


def table() -> dict[str, Any]:
    """Return the content of the file."""
    commands = {name: _described(name, load_command(name)) for name in COMMANDS}
    configs = {name: "parameters" in read_yaml(path).values for name, path in shipped_configs().items()}
    return {
        "options": _described("", typer.main.get_command(app))["options"],
        "commands": {name: {"help": command.help, **commands[name]} for name, command in COMMANDS.items()},
        "keys": {
            name: {"help": key.description, "values": _values(name, key)} for name, key in describe_keys().items()
        },
        "metrics": list(METRIC_NAMES),
        "configs": [name for name, is_sweep in configs.items() if not is_sweep],
        "sweeps": [PurePath(name).name for name, is_sweep in configs.items() if is_sweep],
    }


def _described(name: str, command: Any) -> dict[str, Any]:
    """Return the options and the candidates for the arguments of a command."""
    options: dict[str, Any] = {}
    arguments = []
    for parameter in command.get_params(typer.Context(command)):
        found = BY_OPTION.get(f"{name} {parameter.metavar}", BY_METAVAR.get(parameter.metavar, []))
        if parameter.param_type_name == "argument":
            arguments.append(found)
            continue
        for option in parameter.opts:
            values = {} if parameter.is_flag else {"values": BY_OPTION.get(f"{name} {option}", found)}
            options[option] = {"help": parameter.help, **values}
    return {"options": options, "arguments": arguments}


def _values(name: str, key: Key) -> list[str]:
    """Return the words that are values of a key, or its default."""
    words = [*(DATASET_NAMES if name == "dataset" else key.choices), *re.findall("true|false|null", key.type)]
    if not key.required and not isinstance(key.default, dict):
        words.append(argument(name, key.default).partition("=")[2])
    return list(dict.fromkeys(words))


def text() -> str:
    """Return the text of the file."""
    return json.dumps(table(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
