"""Reporters: objects that show the progress of a training run, a sweep or a download."""

from __future__ import annotations

from typing import Protocol, TypeVar

Report_contra = TypeVar("Report_contra", contravariant=True)


class Reporter(Protocol[Report_contra]):
    """An object that shows reports in the order in which they arrive.

    ``contextlib.closing`` makes it a context manager.
    """

    def show(self, report: Report_contra, /) -> None:
        """Show a report; cheap enough to be called after every training step."""

    def close(self) -> None:
        """Restore the terminal; may be called after an exception, and more than once."""


class QuietReporter:
    """A reporter that shows nothing."""

    def show(self, report: object, /) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
