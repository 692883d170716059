"""Sections of a results page, and the statistics that they contain."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlptrain.system.machine import processor


@dataclass
class Section:
    """A table with a title, notes above it, and lines about omissions and failures below it."""

    title: str
    notes: list[str]
    header: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the section as Markdown."""
        lines = [list(self.header), ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        below = "".join(f"\n{line}\n" for line in self.left_out)
        return f"## {self.title}\n\n" + "\n\n".join(self.notes) + f"\n\n{table}{below}"


def write_page(path: Path, text: str, titles: Sequence[str]) -> None:
    """Write a page with the sections ``titles`` in this order, from ``text`` or else from the previous page."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    head, *new = text.split("\n## ")
    sections = {section.partition("\n")[0]: section for section in [*old.split("\n## ")[1:], *new]}
    found = [sections[title] for title in titles if title in sections]
    path.write_text("\n\n## ".join(part.strip("\n") for part in [head, *found]) + "\n", encoding="utf-8")


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median ratio of neighbouring runs, which cancels slow changes of the machine's speed."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def seconds(values: Sequence[float]) -> str:
    """Return the median as text with three significant digits."""
    return f"{statistics.median(values):#.3g}".rstrip(".")


def processor_slug() -> str:
    """Return the name of the processor for file names, such as ``intel-xeon-2.80ghz``."""
    name = re.sub(r"\((r|tm)\)|processor|cpu|@", " ", processor().lower())
    return re.sub(r"[^a-z0-9.]+", "-", name).strip("-")


def version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine(cores: int) -> str:
    """Return the machine, the versions and the date in one line."""
    packages = ("mlptrain", "numpy", "mkl", "torch", "jax", "scikit-learn", "keras", "tensorflow")
    versions = ", ".join(f"{name} {found}" for name in packages if (found := version(name)))
    return (
        f"{processor()}, {cores} {'core' if cores == 1 else 'cores'}, {platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}, {versions}; {datetime.date.today().isoformat()}"
    )
