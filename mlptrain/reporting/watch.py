"""A run that another process trains, live or as plain lines."""

from __future__ import annotations

from typing import TextIO

from mlptrain.reporting.plain import PlainRun
from mlptrain.reporting.reporter import QuietReporter, Reporter
from mlptrain.reporting.terminal import is_terminal, make_console, print_phrases
from mlptrain.reporting.text import counted
from mlptrain.runs.watch import RunFound
from mlptrain.system.text import write_lines
from mlptrain.training.reports import Report


def make_watch_reporter(found: RunFound, stream: TextIO, *, quiet: bool, no_color: bool) -> Reporter[Report]:
    """Describe a run, and return the reporter for its next epochs."""
    if quiet:
        return QuietReporter()
    data, network = found_phrases(found)
    if not is_terminal(stream):
        write_lines(stream, ", ".join(data), ", ".join(network))
        reporter = PlainRun(stream)
        for epoch in found.history[-1:]:
            reporter.show(epoch)
        return reporter
    from mlptrain.reporting.live import LiveRun  # imports Rich

    console = make_console(stream, no_color=no_color)
    print_phrases(console, data)
    print_phrases(console, network, "dim")
    console.line()
    return LiveRun(console, found.config.epochs, found.history)


def found_phrases(found: RunFound) -> tuple[list[str], list[str]]:
    """Return the phrases of two lines that describe a run: its length and data, and its network and training."""
    config, done = found.config, len(found.history)
    data = [f"{found.path}: {counted(config.epochs, 'epoch')} on {config.dataset}"]
    data += [f"{done:,} finished before"] if done else []
    hidden = "-".join(map(str, config.hidden))
    network = [f"hidden {hidden} {config.activation}" if hidden else "no hidden layer", config.loss, config.optimizer]
    return data, [*network, f"batch {config.batch_size}"]
