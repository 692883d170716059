"""The command line: one file a command, each of which parses, calls, renders and chooses the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

import mlptrain
from mlptrain.cli import (
    backprop,
    config,
    diagnose,
    download,
    evaluate,
    export,
    lrfind,
    plot,
    predict,
    report,
    sweep,
    train,
)
from mlptrain.errors import MlptrainError
from mlptrain.system.signals import as_exceptions

CLOSED_PIPE = 141  # 128 + SIGPIPE, as a shell reports a program that a closed pipe ended
INTERRUPTED = 130  # 128 + SIGINT, where nothing more is known

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="mlptrain",
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


class _Ended(Exception):
    """Carries an exit code past Typer, which would turn the original exceptions into codes of its own."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def _guarded(command: Callable[P, R]) -> Callable[P, R]:
    """The command with signals and a closed pipe as exit codes of ours."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError as error:
            raise _Ended(CLOSED_PIPE) from error
        except KeyboardInterrupt as error:
            raise _Ended(getattr(error, "exit_code", INTERRUPTED), str(error) or "interrupted") from error

    return guarded


app.command("download")(_guarded(download.download))
app.command("train")(_guarded(train.train))
app.command("eval")(_guarded(evaluate.evaluate))
app.command("sweep")(_guarded(sweep.sweep))
app.command("plot")(_guarded(plot.plot))
app.command("report")(_guarded(report.report))
app.command("diagnose")(_guarded(diagnose.diagnose))
app.command("predict")(_guarded(predict.predict))
app.command("export")(_guarded(export.export))
app.command("lr-find")(_guarded(lrfind.lr_find))
app.command("config")(_guarded(config.config))
# Not options but the beginning of an expression: -x*y, --x.
app.command("backprop", context_settings={"ignore_unknown_options": True})(_guarded(backprop.backprop))


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
