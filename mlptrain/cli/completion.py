"""Completion of command lines in bash, zsh and fish.

The script of a shell passes the command line up to the cursor in the environment variable `LINE`. `answer` prints one
candidate per line, with a description after a tab; one that ends in ``=`` or ``/`` is continued without a space, and if
there are none, the shell completes the names of files. Everything that needs NumPy or pydantic to be known is in
``completion.json``, which ``tools/make_completion.py`` writes, so that a TAB is answered in less than 0.1 s.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlptrain.errors import DataError, UsageError
from mlptrain.runs.files import BEST_BY, LATEST, is_run, is_sweep
from mlptrain.system.files import make_folder, reason, write_text_atomic

LINE = "_MLPTRAIN_COMPLETE"
"""Environment variable with the command line that a shell completes."""

_CURSOR = "\U0010ffff"  # no character

TABLE = Path(__file__).with_name("completion.json")
"""Commands with their options and arguments, config keys with their values, and names of configs and sweeps."""

Candidates = Iterable[tuple[str, str]]
"""Words and their descriptions."""


def answer(line: str) -> int:
    """Print the candidates for the last word of a command line, and return the exit code."""
    with suppress(Exception):  # a message would appear in the middle of what the user types
        found = [(word, about) for word, about in candidates(split(line)[1:]) if word.isprintable()]
        lines = (f"{word}\t{about}\n" if about else f"{word}\n" for word, about in found)
        sys.stdout.buffer.write("".join(lines).encode())
        sys.stdout.flush()
    return 0


def split(line: str) -> list[str]:
    """Return the words of a command line up to the cursor; the last one may be empty or within quotes."""
    for quote in ("", '"', "'"):
        with suppress(ValueError):
            *words, last = shlex.split(f"{line}{_CURSOR}{quote}")
            return [*words, last.removesuffix(_CURSOR)]
    return [line]


def candidates(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return the words, with descriptions, that can take the place of the last of the ``words`` after ``mlptrain``."""
    *before, word = words or [""]
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    command = next((each for each in before if not each.startswith("-")), None)
    if command is None:
        found = table["options"] if word.startswith("-") else table["commands"]
        return _matching(word, ((name, each["help"]) for name, each in found.items()))
    if command not in table["commands"]:
        return []
    before = before[before.index(command) + 1 :]
    options = table["commands"][command]["options"]
    if before and "values" in options.get(before[-1], {}):
        return _matching(word, _of(options[before[-1]]["values"], word, before, table))
    option, equals, value = word.partition("=")
    if equals and "values" in options.get(option, {}):
        found = _of(options[option]["values"], value, before, table)
        return _matching(word, ((f"{option}={each}", about) for each, about in found))
    if word.startswith("-"):
        return _matching(word, ((name, each["help"]) for name, each in options.items()))
    arguments = table["commands"][command]["arguments"]
    given = _arguments(before, options)
    kinds = arguments[min(len(given), len(arguments) - 1)] if arguments else []
    return _matching(word, _of(kinds, word, before, table), given)


def _arguments(before: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the words that are neither options nor their values."""
    previous = ["", *before]
    pairs = zip(before, previous, strict=False)
    return [word for word, last in pairs if word[:1] != "-" and "values" not in options.get(last, {})]


def _matching(word: str, found: Candidates, given: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the candidates that begin with ``word``, without those that are given already."""
    return [(each, about) for each, about in dict(found).items() if each.startswith(word) and each not in given]


def _of(kinds: Sequence[str], word: str, before: Sequence[str], table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the candidates of all kinds; a kind is a word, or the name of a list that begins with ``@``."""
    keys: dict[str, Any] = table["keys"]
    for kind in kinds:
        if kind == "@runs":
            yield from _runs(word, before)
            yield LATEST, "newest complete run"
            yield from ((f"{BEST_BY}{name}", "") for name in table["metrics"])
        elif kind in ("@configs", "@sweeps"):
            yield from ((name, "") for name in (*table[kind[1:]], *_files("*.yaml")))
        elif kind == "@overrides":
            yield from _overrides(word, keys)
        elif kind == "@keys":
            yield from ((key, each["help"]) for key, each in keys.items())
            yield from ((name, "metric") for name in table["metrics"])
        elif kind == "@conditions":
            yield from _overrides(word, keys)
            yield from ((f"{name}=", "metric") for name in table["metrics"])
        else:
            yield kind, ""


def _overrides(word: str, keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield ``KEY=`` for all keys, or the values of the key in ``word``, also after a comma."""
    key, equals, value = word.partition("=")
    if not equals:
        yield from ((f"{name}=", each["help"]) for name, each in keys.items())
    elif key in keys:
        first = word[: len(word) - len(value.rpartition(",")[2])]
        yield from ((f"{first}{each}", "") for each in keys[key]["values"])


def _runs(word: str, before: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names of runs and sweeps."""
    named = (after for option, after in pairwise(before) if option == "--runs-dir")
    folder = Path(next(named, "runs"))
    outer = word.rpartition("/")[0]
    with suppress(OSError):
        for path in sorted((folder / outer).iterdir()):
            name = f"{outer}/{path.name}" if outer else path.name
            if is_run(path):
                yield name, "run"
            elif is_sweep(path):
                yield name, "sweep"


def _files(pattern: str) -> list[str]:
    return sorted(path.name for path in Path().glob(pattern))


# ---- scripts ----------------------------------------------------------------------------------------

SHELLS = {
    "bash": r"""
_mlptrain() {
    local line=${COMP_LINE:0:COMP_POINT} word breaks="" reply
    word=${line##*[[:space:]]}
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+="="
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=":"
    local before=""  # of the word, what bash takes for words of their own
    [[ -n $breaks && $word == *[$breaks]* ]] && before=${word%"${word##*[$breaks]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r reply _; do
        printf -v reply %q "${reply#"$before"}"
        COMPREPLY+=("$reply")
    done < <(_MLPTRAIN_COMPLETE=$line "$1" 2>/dev/null)
    [[ ${COMPREPLY[*]} == *[=/] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _mlptrain mlptrain
""",
    "zsh": r"""
#compdef mlptrain
_mlptrain() {
    local -a lines plain_words plain_texts open_words open_texts
    local line word
    lines=(${(f)"$(_MLPTRAIN_COMPLETE="${(j: :)words[1,CURRENT-1]} $PREFIX" ${words[1]} 2>/dev/null)"})
    for line in $lines; do
        word=${line%%$'\t'*}
        if [[ $word == *[=/] ]]; then
            open_words+=("$word") open_texts+=("${line/$'\t'/  -- }")
        else
            plain_words+=("$word") plain_texts+=("${line/$'\t'/  -- }")
        fi
    done
    (( ${#open_words} + ${#plain_words} )) || { _files; return }
    compadd -l -d plain_texts -a plain_words
    compadd -l -S '' -d open_texts -a open_words
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
compdef _mlptrain mlptrain
""",
    "fish": r"""
function __mlptrain_complete
    set -lx _MLPTRAIN_COMPLETE (commandline -cp)
    set -l words (commandline -opc)
    set -l lines ($words[1] 2>/dev/null)
    if test (count $lines) -gt 0
        printf '%s\n' $lines
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c mlptrain -f -a '(__mlptrain_complete)'
""",
}
"""The scripts that connect `answer` with the completion of each shell."""


def script(shell: str) -> str:
    """Return the script of a shell.

    Raises
    ------
    UsageError
        The shell is unknown.
    """
    if shell not in SHELLS:
        raise UsageError(
            f"--show-completion: must be one of {', '.join(SHELLS)} (got {shell!r})\n"
            "hint: write for example --show-completion bash"
        )
    return SHELLS[shell].lstrip()


def install() -> list[str]:
    """Write the script for the shell that runs mlptrain, let it be read at the start, and return what was done.

    Raises
    ------
    UsageError
        The shell is none of `SHELLS`.
    DataError
        A file cannot be written.
    """
    shell = _parent() or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError(
            f"--install-completion: the shell must be one of {', '.join(SHELLS)} (got {shell!r})\n"
            "hint: print a script with `mlptrain --show-completion bash`, and read it at the start of the shell"
        )
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises if there is none)
    if shell == "fish":
        path = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/completions/mlptrain.fish"
        start = None
    else:
        path = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share") / f"mlptrain/completion.{shell}"
        start = home / ".bashrc" if shell == "bash" else Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
    make_folder(path.parent, "print the script with --show-completion")
    write_text_atomic(path, script(shell))
    if start is not None:
        _add_line(start, f". {shlex.quote(str(path))}")
    return [str(path), *([str(start)] if start else []), "open a new shell to complete words with TAB"]


def _parent() -> str | None:
    """Return the name of the shell that runs this process, if the system tells it."""
    try:
        name = Path(f"/proc/{os.getppid()}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return name if name in SHELLS else None


def _add_line(path: Path, line: str) -> None:
    """Add a line to the end of a file unless it is there."""
    try:
        content = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        if line not in content.splitlines():
            with path.open("a", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
                stream.write(("" if content.endswith("\n") or not content else "\n") + f"{line}\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {reason(error)}\nhint: add the line {line}") from error
