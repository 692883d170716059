from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from mlptrain import cli
from mlptrain.cli import COMMANDS

SUPPORT = {"__init__", "options", "setup"}


def test_every_module_but_the_supporting_ones_is_a_command():
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - SUPPORT == {entry.module for entry in COMMANDS.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described_alike_in_the_list_and_in_its_own_help(name, mlptrain, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    entry = COMMANDS[name]
    function = getattr(import_module(f"mlptrain.cli.{entry.module}"), entry.module)
    assert (inspect.getdoc(function) or "").splitlines()[0] == entry.help
    listed, own = mlptrain("--help"), mlptrain(name, "--help")
    assert listed.code == own.code == 0 and listed.err == own.err == ""
    assert entry.help in listed.out and entry.help in own.out


def test_an_unknown_command_is_exit_2_and_the_nearest_one_is_named(mlptrain):
    refused = mlptrain("trian")
    assert refused.code == 2 and "trian" in refused.err and "'train'" in refused.err


def test_without_a_command_the_list_is_shown(mlptrain):
    shown = mlptrain()
    assert shown.code == 2 and all(name in shown.out + shown.err for name in COMMANDS)


def test_an_interrupt_while_a_command_is_imported(mlptrain, monkeypatch):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)
    assert (mlptrain("train").code, mlptrain("train").err) == (130, "mlptrain: interrupted\n")
