"""The choice of a run's reporter (``live`` or ``plain``), and the table of its profile."""

from __future__ import annotations

from typing import TextIO

from mlptrain.reporting.plain import PlainRun
from mlptrain.reporting.reporter import QuietReporter, Reporter
from mlptrain.reporting.terminal import is_terminal, make_console
from mlptrain.system.text import write_lines
from mlptrain.training.reports import Profile, Report

PROFILE_BAR = 30  # characters of a bar for all of the time


def make_run_reporter(stream: TextIO, *, quiet: bool, no_color: bool, log_every: int = 1) -> Reporter[Report]:
    """Return the reporter for ``stream``: a live table on a terminal, else lines for every ``log_every``-th epoch."""
    if quiet:
        return QuietReporter()
    if not is_terminal(stream):
        return PlainRun(stream, log_every=log_every)
    from mlptrain.reporting.live import LiveRun

    return LiveRun(make_console(stream, no_color=no_color))


def render_profile(profile: Profile, stream: TextIO) -> None:
    """Print the training time of each phase, and the speed as a share of the machine's peak."""
    lines = ["", f"training time by phase, {profile.seconds:.2f} s in all:"]
    for phase, seconds in profile.phases.items():
        share = seconds / profile.seconds if profile.seconds else 0.0
        lines.append(f"  {phase:<14}{seconds:>9.3f} s {share:>5.0%}  {'#' * round(share * PROFILE_BAR)}".rstrip())
    if profile.operations:
        lines += [
            f"matrix products: {profile.speed / 1e9:.1f} GFLOP/s, {profile.speed / profile.peak:.0%} of the "
            f"{profile.peak / 1e9:.1f} GFLOP/s of large products",
            f"all of training: {profile.share_of_peak:.0%} of that peak",
        ]
    write_lines(stream, *lines)
