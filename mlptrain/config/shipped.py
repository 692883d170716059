"""The configs and sweeps that come with mlptrain, and how they are found by name."""

from __future__ import annotations

import os
import re
from functools import cache
from itertools import takewhile
from pathlib import Path, PurePath

from mlptrain.config.messages import hint
from mlptrain.config.yaml import Document, read_yaml
from mlptrain.errors import ConfigError

LIST_HINT = "`mlptrain config --list`"


@cache
def _folder() -> Path:
    """Return the folder of the shipped configs, which is in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _name(path: Path) -> str:
    return path.relative_to(_folder()).with_suffix("").as_posix()


@cache
def shipped_configs() -> dict[str, Path]:
    """Return the shipped configs: names such as ``nielsen`` and ``lab1/healthy``, and the paths of their files."""
    paths = sorted(_folder().rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return {_name(path): path for path in paths}


def find_shipped(name: str) -> Path | None:
    """Return the path of a shipped config; ``healthy`` is enough if only one folder has a config of this name."""
    configs = shipped_configs()
    found = [path for full, path in configs.items() if PurePath(full).name == name]
    return configs.get(name) or (found[0] if len(found) == 1 else None)


def find_config(text: str | Path, folder: Path | None = None) -> Path:
    """Return the path of the file ``text``, relative to ``folder``; if there is none, that of the shipped config.

    Raises
    ------
    ConfigError
        There is neither.
    """
    path = Path(text) if folder is None else Path(os.path.normpath(folder / text))
    if os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112 (never raise)
        return path
    if shipped := find_shipped(str(text)):
        return shipped
    try:
        path.stat()
    except FileNotFoundError:
        raise ConfigError(_missing(path, str(text))) from None
    except (OSError, ValueError):
        pass  # `read_yaml` reports it
    return path


def read_config_file(text: str | Path) -> Document:
    """Read the file that `find_config` returns; the source of a shipped config is its name.

    Raises
    ------
    ConfigError
        There is no such config, or its file is not valid YAML.
    """
    path = find_config(text)
    name = _name(path) if path.is_relative_to(_folder()) else ""
    return read_yaml(path, name if find_shipped(name) and find_config(name) == path else None)


def leading_comment(text: str) -> list[str]:
    """Return the lines of the comment with which a config begins, without ``#``."""
    return [line[1:].strip() for line in takewhile(lambda line: line.startswith("#"), text.splitlines())]


def summary(path: Path) -> str:
    """Return the first sentence of the comment with which a shipped config begins."""
    comment = "\n".join(leading_comment(path.read_text(encoding="utf-8")))
    return re.split(r"(?<=[.?!])(?: (?=[A-Z])|\n)", comment)[0].replace("\n", " ")


def _missing(path: Path, text: str) -> str:
    """Return the message about a config that does not exist, with a shipped config or a file of a similar name."""
    name = text.removesuffix(".yaml").removeprefix("configs/")
    for candidate in (name, PurePath(name).name):
        if find_shipped(candidate) is not None:
            return f"{path}: no such file\nhint: write `{candidate}` for the config that comes with mlptrain"
    shipped = [name for full in shipped_configs() for name in (full, PurePath(full).name)]
    near = hint(text, [*map(str, path.parent.glob("*.yaml")), *shipped])
    return f"{path}: no such file or shipped config{near}\nhint: check the path, or choose a name from {LIST_HINT}"
