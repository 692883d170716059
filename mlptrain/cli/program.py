"""The program: its commands in Typer, and the exit code of every way in which one can end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

import mlptrain
from mlptrain.cli.commands import COMMANDS
from mlptrain.cli.completion import SHELLS, install, script
from mlptrain.errors import DataError, MlptrainError, UsageError
from mlptrain.system.failures import failure_message
from mlptrain.system.files import reason
from mlptrain.system.signals import as_exceptions
from mlptrain.system.streams import check_written, is_pipe_closed
from mlptrain.system.text import write_lines, write_message

CLOSED_PIPE = 141  # 128 + SIGPIPE
INTERRUPTED = 130  # 128 + SIGINT; Interrupted has a code of its own


HELP = {"help_option_names": ["-h", "--help"]}

_REFUSED: Any = typer.BadParameter.__base__  # Click's class or, in later versions of Typer, its own


class _Ended(Exception):
    """An exit code on its way past Typer, which has other codes for a closed pipe and an interrupt."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


class _Command(TyperCommand):
    """A command whose help shows arguments by their names alone, without types and braces."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = [(p.metavar + ("" if p.nargs == 1 else "..."), p.required) for p in self._arguments(ctx)]
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in pieces)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [(parameter.metavar, parameter.get_help_record(ctx)[1]) for parameter in self._arguments(ctx)]
        records = [p.get_help_record(ctx) for p in self.get_params(ctx) if p.param_type_name == "option"]
        for title, rows in (("Arguments", arguments), ("Options", records)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _arguments(self, ctx: Any) -> list[Any]:
        return [parameter for parameter in self.get_params(ctx) if parameter.param_type_name == "argument"]


class _Commands(TyperGroup):
    """The group of all commands, which imports the module of a command only when the command runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: _Command(name, help=command.help) for name, command in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), ["--help"] if rest == ["-h"] else rest

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        with _own_codes():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        try:
            Path.cwd()
        except OSError as error:
            raise DataError(f"current folder: {reason(error)}\nhint: change to a folder that exists") from error
        with _own_codes():
            return super().invoke(ctx)


@contextmanager
def _own_codes() -> Iterator[None]:
    """Raise `_Ended` for a closed pipe and an interrupt."""
    try:
        yield
    except BrokenPipeError as error:
        raise _Ended(CLOSED_PIPE) from error
    except KeyboardInterrupt as error:
        raise _Ended(getattr(error, "exit_code", INTERRUPTED), str(error) or "interrupted") from error


def load_command(name: str) -> Any:
    """Import the module of a command and return the command for Typer."""
    # Imports threadpoolctl, which `mlptrain --help` does not use.
    from mlptrain.system.machine import LIBRARY_BYTES, address_space_left, thread_variables

    left = address_space_left()
    if left is not None and left < LIBRARY_BYTES:
        raise MemoryError
    command = COMMANDS[name]
    # Starting and joining the threads of OpenBLAS takes 0.05 s even if they have no work, so it begins with one;
    # the command sets their number when it knows the size of the network.
    with thread_variables(1, ["OPENBLAS_NUM_THREADS"]):
        module = import_module(f"mlptrain.cli.{command.module}")
    if "numpy" in sys.modules:
        from mlptrain.engine.products import multiplication

        try:
            multiplication()  # loads MKL before its threads are set
        except ValueError as error:
            raise UsageError(str(error)) from None
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=_Command, context_settings={**HELP, **command.settings})(getattr(module, command.module))
    return typer.main.get_command(single)


app = typer.Typer(
    name="mlptrain",
    cls=_Commands,
    help="Train multilayer perceptrons on MNIST digits.",
    add_completion=False,  # Typer's own imports the module of a command at each TAB, and does not know KEY=VALUE
    context_settings=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
    install_completion: bool = typer.Option(
        False, "--install-completion", help="Let this shell complete words after mlptrain."
    ),
    show_completion: str | None = typer.Option(
        None, "--show-completion", help=f"Print the completion script of {', '.join(SHELLS)}.", metavar="SHELL"
    ),
) -> None:
    if show_completion is not None:
        write_lines(sys.stdout, *script(show_completion).splitlines())
        check_written()
        raise typer.Exit
    if install_completion:
        write_lines(sys.stdout, *install())
        raise typer.Exit
    if version:
        write_lines(sys.stdout, f"mlptrain {mlptrain.__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        write_lines(sys.stderr, *ctx.get_help().splitlines())
        raise typer.Exit(2)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; print a traceback only for a bug."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with as_exceptions(), _own_codes():  # before and after the command
            ended = app(args=words, prog_name="mlptrain", standalone_mode=False)
        if ended == 0:  # --help or --version, unlike the end of a command
            check_written()
        return _flush() or ended or 0
    except _REFUSED as error:
        from mlptrain.cli.refusal import describe_refusal  # imports pydantic

        return _fail(describe_refusal(error, words, COMMANDS), error.exit_code)
    except MlptrainError as error:
        return _fail(str(error), error.exit_code)
    except _Ended as end:
        return _fail(str(end), end.code)
    except (BrokenPipeError, SystemExit):  # Typer turns the first into the second while it prints help
        return CLOSED_PIPE
    except Exception as error:
        message = failure_message(error)
        if message is None:
            raise
        return _fail(message, DataError.exit_code)


def _flush() -> int:
    """Write the output that is still buffered; return the exit code of a closed pipe if there is one, else 0."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    return CLOSED_PIPE if is_pipe_closed() else 0


def _fail(message: str, code: int) -> int:
    """Write an error message to stderr and return the exit code."""
    _flush()
    if message:
        with suppress(BrokenPipeError):
            write_message(message)
    return code
