"""A profile as a person reads it: a line a phase, and how near the products came to the machine's limit."""

from __future__ import annotations

from typing import TextIO

from mlptrain.reports import Profile

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
