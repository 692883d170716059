"""The code blocks of the README, for the tests that run them and for CI: ``python tests/readme.py bash 2``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).resolve().parents[1] / "README.md"
_BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its code, and what it needs beyond the sample (``mnist``) or ''."""

    language: str
    code: str
    needs: str


def blocks(language: str) -> list[Block]:
    """The README's blocks of one language, in order."""
    found = (
        Block(match["language"], match["code"], match["needs"] or "") for match in _BLOCK.finditer(README.read_text())
    )
    return [block for block in found if block.language == language]


if __name__ == "__main__":
    print(blocks(sys.argv[1])[int(sys.argv[2]) - 1].code.strip())
