"""The code blocks of the README and the documentation, for tests and for CI: ``python tests/readme.py bash 2``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>\w+) -->\n)?(?:<!-- runs: \w+ -->\n)?(?:<!-- file: (?P<file>\S+) -->\n)?"
    r"(?:<!-- exit: (?P<exit>\d+) -->\n)?"
    r"```(?P<language>\w+)\n(?P<code>.*?)```",
    re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block: its language and code, what it needs beyond the test dependencies (``mnist``) or ``''``.

    ``file`` is the name of the file that the block is the content of, or ``''``; ``exit`` is the exit code of its last
    command.
    """

    language: str
    code: str
    needs: str
    file: str
    exit: int


def blocks(page: Path = README) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(match["language"], match["code"], match["needs"] or "", match["file"] or "", int(match["exit"] or 0))
        for match in found
    ]


if __name__ == "__main__":
    language, number = sys.argv[1:]
    print([block.code.strip() for block in blocks() if block.language == language][int(number) - 1])
