"""Write the table of cases in docs/diagnosis.md from the rules: `python tools/make_diagnosis.py`.

The text outside the two markers is written by hand and stays.
"""

from __future__ import annotations

from pathlib import Path

from mlptrain.runs.diagnosis import CASES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "diagnosis.md"
BEGIN, END = "<!-- begin: tools/make_diagnosis.py -->\n", "<!-- end -->\n"


def updated(text: str) -> str:
    """Return the page ``text`` with a new table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = "".join(f"| `{name}` | {case.condition} | {case.suggestion} |\n" for name, case in CASES.items())
    return f"{before}{BEGIN}| case | condition | suggestion |\n|---|---|---|\n{rows}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
