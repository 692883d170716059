"""Text that is safe to print or to open in a spreadsheet, and the functions that print it.

Names, paths and messages of other programs may contain escape sequences, line breaks or characters that reorder a
line. All output goes through `write_lines` or `write_message`, or through the console of `reporting.terminal`.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
from collections.abc import Iterable
from typing import TextIO

from mlptrain.system.files import WINDOWS

_CREDENTIALS = re.compile(r"(?<=://).*@")

_WINDOWS_WORD = re.compile(r"[\w+:@./\\=-]+")

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def printable(text: str, encoding: str | None = None) -> str:
    """Return ``text`` with all but printable characters, and those that ``encoding`` lacks, as backslash escapes.

    Not printable are controls (line breaks, C0 and C1), overrides of the writing direction such as U+202E, other
    invisible characters, separators except the space, and bytes of file names that are not UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    codec = encoding or "utf-8"
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return visible.encode(codec, "backslashreplace").decode(codec)


def printable_lines(text: str, encoding: str | None = None) -> str:
    """Return several lines of text as `printable` does, with their line feeds."""
    return "\n".join(printable(line, encoding) for line in text.split("\n"))


def can_print(text: str, encoding: str | None) -> bool:
    """Return whether ``encoding`` has every character of ``text``."""
    return printable(text, encoding) == text


def keras_number(value: float) -> str:
    """Return a metric as Keras prints it: four decimals, or ``1.2345e-04`` up to 1e-3 in size; zero is 0.0000."""
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def without_credentials(text: str) -> str:
    """Return ``text`` without the user names and passwords of addresses.

    In each line, everything between the first ``://`` and the last ``@`` after it is removed, because a password with
    special characters cannot be told from the rest of an address.
    """
    return _CREDENTIALS.sub("", text)


def shell_word(text: str) -> str:
    """Return ``text`` as a word of a command, in quotes if a shell needs them: on Windows double ones, for cmd too."""
    if not WINDOWS:
        return shlex.quote(text)
    return text if _WINDOWS_WORD.fullmatch(text) else '"' + text.replace('"', '\\"') + '"'


def shell_line(words: Iterable[str]) -> str:
    """Return words as a command."""
    return " ".join(map(shell_word, words))


def write_lines(stream: TextIO, *lines: str) -> None:
    """Write printable lines to ``stream`` in one call, and flush it."""
    encoding = getattr(stream, "encoding", None)
    stream.write("".join(f"{printable(line, encoding)}\n" for line in lines))
    stream.flush()


def write_message(text: str) -> None:
    """Write an error or a warning to stderr, in one call so that the lines of parallel processes do not mix."""
    write_lines(sys.stderr, *f"mlptrain: {without_credentials(text)}".split("\n"))


def csv_line(cells: Iterable[object]) -> str:
    """Return a row of CSV without its line break."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerow(cells)  # with both, cells that contain either are quoted
    return stream.getvalue().removesuffix("\r\n")


def csv_cell(text: str) -> str:
    """Return ``text`` as a CSV cell that no spreadsheet takes for a formula: ``'=x`` for ``=x``."""
    return f"'{text}" if _FORMULA.match(text) else text


def csv_text(cell: str) -> str:
    """Return the text of a cell that `csv_cell` has made."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
