"""The command line: the table of commands, and exit codes for everything that can end one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import mlptrain
from mlptrain.errors import MlptrainError
from mlptrain.system.signals import as_exceptions

CLOSED_PIPE = 141  # 128 + SIGPIPE, as a shell reports a program that a closed pipe ended
INTERRUPTED = 130  # 128 + SIGINT, where nothing more is known


class Entry(NamedTuple):
    """A command: its module and function (both of one name), its line of help, and settings of its parser."""

    module: str
    help: str
    settings: Mapping[str, Any] = {}


COMMANDS = {
    "download": Entry(
        "download", "Fetch the official IDX files of a dataset, verify them and place them in the data folder."
    ),
    "train": Entry("train", "Train one network: validate each epoch, test at the end, keep everything in a run folder."),
    "eval": Entry(
        "evaluate",
        "Measure a run's model: loss, accuracy, figures a class, what it confuses; several runs: averaged.",
    ),
    "sweep": Entry("sweep", "Train many networks from one sweep file, side by side, and rank them."),
    "plot": Entry(
        "plot",
        "Draw a run: its curves, confusion matrix, hidden units, worst mistakes and calibration; or a sweep.",
    ),
    "report": Entry(
        "report",
        "Write one self-contained HTML page: figures, diagnosis, config, environment, and how to run it again.",
    ),
    "diagnose": Entry(
        "diagnose", "Say which kind of learning curve a run has, by which numbers, and what to change."
    ),
    "predict": Entry("predict", "Classify pictures of your own handwriting, and show what the network sees of them."),
    "export": Entry("export", "Write a run's model for other runtimes."),
    "lr-find": Entry(
        "lr_find", "Raise the learning rate batch by batch, see where the loss turns, and suggest a rate."
    ),
    "config": Entry(
        "config", "Show the fully resolved config, defaults included; without a CONFIG, the defaults."
    ),
    "backprop": Entry(
        "backprop",
        "Go forward and backward through a computation graph, and show every node.",
        {"ignore_unknown_options": True},  # they are the beginning of an expression: -x*y, --x
    ),
}  # fmt: skip


class _Ended(Exception):
    """Carries an exit code past Typer, which would turn the original exceptions into codes of its own."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


class _Commands(TyperGroup):
    """A group that imports the module of a command when the command is run, so that ``--help`` imports none."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=entry.help) for name, entry in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _Ended(CLOSED_PIPE) from error
        except KeyboardInterrupt as error:
            raise _Ended(getattr(error, "exit_code", INTERRUPTED), str(error) or "interrupted") from error


def _load(name: str) -> Any:
    """Import the module of a command and return the command for Typer to run."""
    from mlptrain.system.machine import thread_variables  # imports threadpoolctl, which --help does not need

    entry = COMMANDS[name]
    # OpenBLAS starts and joins its threads whether they are used or not, which takes 0.05 s; a command that needs
    # more than one says so once it knows how many.
    with thread_variables(1, ["OPENBLAS_NUM_THREADS"]):
        module = import_module(f"mlptrain.cli.{entry.module}")
    single = typer.Typer(add_completion=False)
    single.command(name, context_settings=dict(entry.settings))(getattr(module, entry.module))
    return typer.main.get_command(single)


app = typer.Typer(
    name="mlptrain",
    cls=_Commands,
    help="Train multilayer perceptrons on MNIST digits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"mlptrain {mlptrain.__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; only a bug leaves a traceback."""
    try:
        with as_exceptions():
            app(args=None if arguments is None else list(arguments), prog_name="mlptrain")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except MlptrainError as error:
        return _fail(str(error), error.exit_code)
    except _Ended as end:
        return _fail(str(end), end.code)
    return 0


def _fail(message: str, code: int) -> int:
    """Say what went wrong on stderr; what cannot be written any more is dropped."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if message:
        print(f"mlptrain: {message}", file=sys.stderr, flush=True)
    return code


def entry() -> None:
    """The console script."""
    sys.exit(main())
