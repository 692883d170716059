"""Mutation fuzzing of everything that reads files or text from other people, or prints names.

    python -m tests.stress.fuzzing --minutes 10 npz

`mutate` makes inputs from a seed corpus, `targets` reads them as the program does, and `__main__` runs the loop.
"""

from __future__ import annotations
