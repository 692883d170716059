"""Who shows a run while it goes: the interface, and the choice of live table, plain lines or silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TextIO

from mlptrain.reporting.plain import PlainReporter
from mlptrain.reporting.terminal import is_terminal, make_console
from mlptrain.training.reports import EpochReport, Outcome, Profile, Progress, Report, RunStart

if TYPE_CHECKING:
    pass


class Reporter(Protocol):
    """Shows the reports of one run, in the order in which they come: start, progress and epochs, end."""

    def start(self, start: RunStart) -> None:
        """Show what is about to be trained."""

    def progress(self, progress: Progress) -> None:
        """Show where the current epoch stands; cheap enough to be called after every step."""

    def epoch(self, epoch: EpochReport) -> None:
        """Show a finished epoch."""

    def end(self, end: Outcome) -> None:
        """Show the result."""

    def close(self) -> None:
        """Give the terminal back as it was; after an exception as well, and more than once."""


class QuietReporter:
    """Shows nothing."""

    def start(self, start: RunStart) -> None:
        """Show nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def epoch(self, epoch: EpochReport) -> None:
        """Show nothing."""

    def end(self, end: Outcome) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to give back."""


def make_reporter(stream: TextIO, *, quiet: bool, no_color: bool, log_every: int = 1) -> Reporter:
    """The reporter for ``stream``: a live table on a terminal, else lines every ``log_every``-th epoch."""
    if quiet:
        return QuietReporter()
    if not is_terminal(stream):
        return PlainReporter(stream, log_every=log_every)
    from mlptrain.reporting.live import LiveReporter

    return LiveReporter(make_console(stream, no_color=no_color))


def show(reporter: Reporter, report: Report) -> None:
    """Hand a report to the method of ``reporter`` that shows its kind."""
    match report:
        case Progress():
            reporter.progress(report)
        case EpochReport():
            reporter.epoch(report)
        case RunStart():
            reporter.start(report)
        case Outcome():
            reporter.end(report)


WIDTH = 30


def render_profile(profile: Profile, stream: TextIO) -> None:
    """Print where the time went, and the share of the machine's peak."""
    print(f"\nwhere {profile.seconds:.2f} s of training went:", file=stream)
    for phase, seconds in profile.phases.items():
        share = seconds / profile.seconds if profile.seconds else 0.0
        bar = "#" * round(share * WIDTH)
        print(f"  {phase:<14}{seconds:>9.3f} s {share:>5.0%}  {bar}".rstrip(), file=stream)
    if profile.operations:
        print(
            f"matrix products ran at {profile.speed / 1e9:.1f} GFLOP/s, {profile.speed / profile.peak:.0%} of the "
            f"{profile.peak / 1e9:.1f} of large ones\n"
            f"on these threads; training as a whole reached {profile.share_of_peak:.0%} of that peak",
            file=stream,
        )
