"""Write the key tables of docs/configuration.md from `mlptrain config`: `python tools/make_configuration.py`.

The text outside the two markers is written by hand and stays.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
BEGIN, END = "<!-- begin: tools/make_configuration.py -->\n", "<!-- end -->\n"
HEADER = "| key | value | default | description |\n|---|---|---|---|\n"


def updated(text: str) -> str:
    """Return the page ``text`` with new tables between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tables() + END + after


def tables() -> str:
    """Return a table for each section of a config and for each mapping, under headings."""
    command = [sys.executable, "-m", "mlptrain", "config", "--explain", "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, cwd=PAGE.parents[1])
    keys: dict[str, dict[str, Any]] = json.loads(done.stdout)
    sections = dict.fromkeys(key["section"] for key in keys.values())
    result = ""
    for section in sorted(sections, key=lambda section: section in keys):  # mappings last
        heading = f"`{section}`" if section in keys else section.capitalize()
        rows = "".join(_row(name, key) for name, key in keys.items() if key["section"] == section)
        result += f"### {heading}\n\n{HEADER}{rows}\n"
    return result


def _row(name: str, key: dict[str, Any]) -> str:
    words = sorted([*key["choices"], "null", "true", "false"], key=len, reverse=True)
    values = re.sub("|".join(map(re.escape, words)), r"`\g<0>`", key["type"])
    default = key["default"] if isinstance(key["default"], str) else json.dumps(key["default"])
    description = key["description"].replace("|", "\\|")
    return f"| `{name}` | {values} | {'required' if key['required'] else f'`{default}`'} | {description} |\n"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
