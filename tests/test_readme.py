"""The README: its length, the two commands that CI runs, and its table of commands."""

from __future__ import annotations

import re

from tests.readme import README, blocks
from tests.test_docs import commands

TEXT = README.read_text(encoding="utf-8")


def test_it_has_at_most_1000_words() -> None:
    assert len(TEXT.split()) <= 1000


def test_the_first_two_blocks_are_what_ci_runs() -> None:
    install, tests = blocks()[:2]
    assert install.language == tests.language == "bash"
    assert install.code.strip().endswith("pip install -e . && mlptrain train")
    assert tests.code.strip() == "pip install -e '.[test]' && python -m pytest"


def test_the_table_lists_every_command() -> None:
    assert sorted(re.findall(r"^\| `mlptrain ([a-z-]+)` \|", TEXT, re.MULTILINE)) == sorted(commands())
