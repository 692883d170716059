"""Waves: trials to train together, after whose results a method knows the next wave."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from mlptrain.sweeps.leaderboard import Result
from mlptrain.sweeps.trials import Trial

PAUSED = "paused"
"""The status of a trial that has been trained up to its wave's epoch and may go on."""


@dataclass(frozen=True)
class Wave:
    """Trials to train: to their end, or with ``until`` up to that epoch; ``dropped`` are those that end here.

    A trial that was in an earlier wave goes on from where it was paused.
    """

    trials: tuple[Trial, ...]
    until: int | None = None
    dropped: tuple[Trial, ...] = ()


Waves = Generator[Wave, Mapping[int, Result], None]
"""Yields waves and is sent the results of each, by trial."""
