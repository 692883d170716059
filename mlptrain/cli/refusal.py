"""Messages about command lines that Typer refuses, in the form of all other messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mlptrain.config.config import Config
from mlptrain.config.messages import ALIASES, hint
from mlptrain.system.text import shell_word


def describe_refusal(error: Any, arguments: Sequence[str], commands: Collection[str]) -> str:
    """Return the message about ``arguments``, which Typer refuses with ``error``."""
    command = next((word for word in arguments if word == "-" or not word.startswith("-")), "")
    remedy = f"run `mlptrain {command} --help`" if command in commands else "run `mlptrain --help`"
    parameter, option = getattr(error, "param", None), getattr(error, "option_name", "")
    if parameter is not None:
        where = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
        words, given = error.message.replace("Input should", "must").partition(",")[0], _value(where, arguments)
        problem = f"{words.rstrip('.') or 'missing'}{f' (got {given})' if given and words.startswith('must') else ''}"
    elif type(error).__name__ == "NoSuchOption":
        parameters = error.ctx.command.get_params(error.ctx)
        names = [name for parameter in parameters for name in parameter.opts if name.startswith("--")]
        where, problem = option, f"unknown option{hint(option, names)}"
        override = _as_override(option, _value(option, arguments))
        metavars = [p.metavar for p in parameters if p.param_type_name == "argument"]
        if override and any("KEY=VALUE" in metavar for metavar in metavars):
            problem, remedy = "unknown option", f"write {override}"
    elif option:
        where, problem = option, "needs a value" if "requires" in error.message else "takes no value"
    elif command in commands:
        where, problem = command, error.message[:1].lower() + error.message[1:]
    else:
        where, problem = command, f"unknown command{hint(command, list(commands))}"
    return f"{where}: {problem}\nhint: {remedy}"


def _value(option: str, arguments: Sequence[str]) -> str:
    """Return the value of an option among the arguments, or an empty string."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == option and (not following.startswith("-") or following[1:2].isdigit()):
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


def _as_override(option: str, value: str) -> str:
    """Return ``KEY=VALUE`` for an option that is a key of configs, or an empty string."""
    name = option.lstrip("-").replace("-", "_")
    key = ALIASES.get(name, name)
    return shell_word(f"{key}={value or 'VALUE'}") if key.partition(".")[0] in Config.model_fields else ""
