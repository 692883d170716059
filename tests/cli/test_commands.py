from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain as package
from mlptrain import cli
from mlptrain.cli import program
from mlptrain.cli.commands import COMMANDS
from mlptrain.config.messages import enumerate_words
from mlptrain.reporting.export import EXPORTS
from mlptrain.reporting.gallery import RUN_PLOTS
from mlptrain.runs.finished import SPLITS
from mlptrain.sweeps.sweep import KEEP
from tests.cli.conftest import Command

SUPPORT = {"__init__", "commands", "completion", "options", "program", "refusal", "setup"}


def test_every_module_but_the_supporting_ones_is_a_command() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - SUPPORT == {command.module for command in COMMANDS.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described_alike_in_the_list_and_in_its_own_help(
    name: str, mlptrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command = COMMANDS[name]
    function = getattr(import_module(f"mlptrain.cli.{command.module}"), command.module)
    assert (inspect.getdoc(function) or "").splitlines()[0] == command.help
    listed, own = mlptrain("--help"), mlptrain(name, "--help")
    assert listed.code == own.code == 0 and listed.err == own.err == ""
    assert command.help in listed.out and command.help in own.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example_and_no_types(
    name: str, mlptrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = mlptrain(name, "--help").out
    assert f"Example: mlptrain {name} " in shown
    assert not re.search(r"<\w+|[│{]", shown), "types and boxes"
    assert max(map(len, shown.splitlines())) <= 80


def test_help_lists_all_values(mlptrain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for command, names in [("eval", SPLITS), ("plot", RUN_PLOTS), ("export", EXPORTS), ("sweep", KEEP)]:
        shown = " ".join(mlptrain(command, "--help").out.split())
        assert enumerate_words([*names], "or") in shown


def test_an_unknown_command_is_exit_2(mlptrain: Command) -> None:
    refused = mlptrain("trian")
    assert refused.code == 2 and "trian" in refused.err and refused.out == ""


def test_the_version(mlptrain: Command) -> None:
    assert mlptrain("--version").out == f"mlptrain {package.__version__}\n"


def test_without_a_command_the_list_is_shown(mlptrain: Command) -> None:
    shown = mlptrain()
    assert shown.code == 2 and all(name in shown.out + shown.err for name in COMMANDS)


def test_an_interrupt_during_the_import_of_a_command_is_exit_130(
    mlptrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "import_module", interrupted)
    assert (mlptrain("train").code, mlptrain("train").err) == (130, "mlptrain: interrupted\n")


NAME = "[red]x[/red]\x1b[2J\x9b31m\u202egnp"


def test_names_are_printed_without_acting_on_the_terminal(mlptrain: Command, tiny: Path) -> None:
    shown = mlptrain("train", tiny, "--run", NAME).out
    assert "[red]x[/red]\\x1b[2J\\x9b31m\\u202egnp" in shown.splitlines()[0]
    np.save("one.npy", np.eye(28))
    commands: list[list[Any]] = [
        ["train", tiny, "--run", NAME],
        ["train", f"{NAME}.yaml"],
        ["eval", NAME],
        ["eval", f"{NAME}2"],
        ["diagnose", NAME],
        ["export", NAME, "--format", "json"],
        ["predict", NAME, "one.npy", f"{NAME}.png"],
        ["sweep", tiny, "seed=1,2", "--run", NAME, "--print", "best.run"],
        ["download", f"http://me:secret@host/{NAME}"],
        ["download", "--mirror", f"http://me:secret@host/{NAME}"],
        ["download", "--mirror", "me:secret@host"],
    ]
    for command in commands:
        result = mlptrain(*command)
        said = result.out + result.err
        assert said and said.replace("\n", "").isprintable(), command
        assert "secret" not in said, command


def test_a_config_with_unusual_text_reads_back_equal(mlptrain: Command, tiny: Path) -> None:
    text = "/\u202ea\u200bé\U0001f600\n\\"
    shown = mlptrain("config", tiny, f"dataset={json.dumps(text, ensure_ascii=False)}").out
    Path("again.yaml").write_text(shown, encoding="utf-8")
    assert shown.replace("\n", "").isprintable()
    assert json.loads(mlptrain("config", "again.yaml", "--json").out)["dataset"] == text
