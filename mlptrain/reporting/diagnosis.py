"""A diagnosis for people: the case, its evidence and a command to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlptrain.runs.diagnosis import Diagnosis
from mlptrain.runs.finished import RunView
from mlptrain.system.text import can_print, printable, shell_word

if TYPE_CHECKING:
    from rich.console import Console


def render_diagnosis(view: RunView, console: Console) -> None:
    """Print the diagnosis of a run; the command has a line of its own, never cut, to be copied."""
    from rich.text import Text  # `mlptrain train` uses only diagnosis_lines, and starts 50 ms sooner without Rich

    found = view.diagnosis
    bullet = "•" if can_print("•", console.encoding) else "-"
    lines = [Text.assemble((f"{printable(str(view.path))}: ", "dim"), (found.title, "bold"))]
    lines += [Text(f"  {bullet} {text}") for text in found.evidence]
    command = found.command(view.config_file)
    if command is None:
        lines.append(Text("nothing needs to change"))
    else:
        lines += [Text("try"), Text(f"  {command}", "bold green")]
    console.print(Text("\n").join(lines), soft_wrap=True)


def diagnosis_lines(found: Diagnosis, folder: object) -> list[str]:
    """Return the end of the output of a training run, with the command that tells more if there is a problem."""
    more = [] if found.case in ("healthy", "not_enough_epochs") else [f"  mlptrain diagnose {shell_word(str(folder))}"]
    return [f"diagnosis: {found.title}", *more]
