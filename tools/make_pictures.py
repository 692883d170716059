"""Draw the README's picture of the epoch table from a real run: ``python tools/make_pictures.py``.

The run is made in a pseudo-terminal of 80 columns, so the picture shows what a person sees.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "epoch-table.svg"
COMMAND = ["train", "configs/quickstart.yaml", "epochs=10"]
ERASE_LINE = "\x1b[2K"
FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def screen(command: list[str], folder: Path, columns: int = 80, rows: int = 24) -> str:
    """What ``command`` leaves on a terminal: its output with every rewritten line in its last state."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment):
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # how Linux tells that the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(leader)
    lines = b"".join(chunks).decode().replace("\r\n", "\n").split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rpartition(ERASE_LINE)[2] for line in lines))


def main() -> None:
    """Run the command in a folder of its own and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "configs", Path(folder) / "configs")
        text = screen([sys.executable, "-m", "mlptrain", *COMMAND], Path(folder))
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ mlptrain " + " ".join(COMMAND), style="bold"))
    console.print(Text.from_ansi(text.rstrip()))
    svg = console.export_svg(title="mlptrain")
    PICTURE.write_text(FONT_FROM_ELSEWHERE.sub("", svg), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
