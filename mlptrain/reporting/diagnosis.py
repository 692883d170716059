"""A diagnosis as a person reads it: the case, the numbers that say so, the command to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from mlptrain.reporting.text import printable

if TYPE_CHECKING:
    from mlptrain.runs.diagnosis import Diagnosis
    from mlptrain.runs.finished import RunView


def render_diagnosis(view: RunView, console: Console) -> None:
    """Print the diagnosis of a run; the command stands on a line of its own, never wrapped, to be copied."""
    found = view.diagnosis
    dash = "•" if (console.encoding or "").lower().startswith("utf") else "-"
    lines = [Text.assemble((f"{view.path}: ", "dim"), (found.title, "bold"))]
    lines += [Text(f"  {dash} {text}") for text in found.evidence]
    command = found.command(view.config_file)
    if command is None:
        lines.append(Text("nothing needs to change"))
    else:
        lines += [Text("try"), Text(f"  {command}", "bold green")]
    for line in lines:
        console.print(Text(printable(line.plain, console.encoding), spans=line.spans), soft_wrap=True)


def verdict_line(found: Diagnosis, folder: object) -> str:
    """The one line at the end of training."""
    why = "" if found.case in ("healthy", "not_enough_epochs") else f"; see mlptrain diagnose {folder}"
    return f"diagnosis: {found.title}{why}"
