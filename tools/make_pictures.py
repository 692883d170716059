"""Generate the images of the documentation from real runs: ``python tools/make_pictures.py [KIND ...]``.

The epoch table comes from a pseudo-terminal of 80 columns, so it shows what a user sees; the plots and the report
come from runs on the embedded digits and a sweep of twenty trials. The image of the report needs Chromium on the PATH.
The plots of the laboratories are those that the commands of their worksheets write.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from check_page import DARK, LIGHT, PHONE, chromium, screenshot
from PIL import Image
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "epoch-table.svg"
PICTURES = ROOT / "docs" / "pictures"
COMMAND = ["train", "quickstart", "epochs=10"]
TOKEN = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\n|[^\x1b\r\n]+")
ERASE_LINE, CURSOR_UP = "\x1b[2K", "\x1b[1A"
FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def screen(command: list[str], folder: Path, columns: int = 80, rows: int = 24) -> str:
    """Return the final state of a terminal after ``command``: every rewritten line in its last version."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment):
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # raised on Linux when the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(leader)
    lines, row = [""], 0
    for token in TOKEN.findall(b"".join(chunks).decode()):
        if token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif token == CURSOR_UP:
            row -= 1
        elif token == ERASE_LINE:
            lines[row] = ""
        elif token[0] != "\x1b" or token[-1] == "m":
            lines[row] += token
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def table(folder: Path) -> None:
    """Write the epoch table of a run as SVG."""
    text = screen([sys.executable, "-m", "mlptrain", *COMMAND], folder)
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ mlptrain " + " ".join(COMMAND), style="bold"))
    console.print(Text.from_ansi(text.rstrip()))
    svg = console.export_svg(title="mlptrain")
    PICTURE.write_text(FONT_FROM_ELSEWHERE.sub("", svg), encoding="utf-8")
    print(PICTURE)


SWEEP = """\
base: configs/smoke.yaml
method: random
metric: {name: val_accuracy, goal: maximize}
run_cap: 20
seed: 7
parameters:
  learning_rate: {distribution: log_uniform_values, min: 0.003, max: 8.0}
  batch_size: {values: [16, 32, 64, 128]}
  hidden: {values: [[15], [30], [64]]}
  loss: {values: [mse, cross_entropy]}
"""


def mlptrain(folder: Path, *arguments: str, check: bool = True) -> None:
    """Run a command of the tool in ``folder``."""
    subprocess.run([sys.executable, "-m", "mlptrain", *arguments], cwd=folder, check=check, stdout=subprocess.DEVNULL)


def plots(folder: Path) -> None:
    """Draw the plots of a run and of a sweep."""
    smooth = ["hidden=[30]", "learning_rate=0.1", "l2=0.002", "epochs=30"]  # l2 reduces the noise in the weights
    mlptrain(folder, "train", "quickstart", *smooth, "--run", "digits")
    mlptrain(folder, "plot", "digits", "--output", str(PICTURES))
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    mlptrain(folder, "sweep", "sweep.yaml", "--run", "sweep")
    mlptrain(folder, "plot", "sweep", "--output", str(PICTURES))
    for picture in sorted(PICTURES.glob("*.png")):
        print(picture)


def report(folder: Path) -> None:
    """Draw a report in the light theme on a desktop next to the dark theme on a phone."""
    mlptrain(folder, "train", "overfitting", "--run", "overfitting")
    mlptrain(folder, "report", "overfitting")
    page = folder / "runs/overfitting/report.html"
    light = screenshot(page, folder, "light", 1100, 1500, LIGHT)
    dark = screenshot(page, folder, "dark", PHONE, 1500, DARK)
    both = folder / "both.html"
    images = f'<img src="{light.name}"><div><img src="{dark.name}"></div>'
    style = (
        f"<style>body{{margin:0;display:flex;gap:20px;background:#888}}div{{width:{PHONE}px;overflow:hidden}}</style>"
    )
    both.write_text(style + images, encoding="utf-8")
    target = PICTURES / "report.png"
    chromium(f"--screenshot={target}", f"--window-size={1100 + 20 + PHONE},1500", both.as_uri())
    print(target)


def labs(folder: Path) -> None:
    """Run the worksheets of the laboratories and keep the plots that they show, with a palette of 128 colours."""
    for lab in ("lab1", "lab2"):
        page = (ROOT / "configs" / lab / "README.md").read_text(encoding="utf-8")
        (folder / lab).mkdir()
        for command in re.findall(r"^mlptrain (.+)$", page, re.MULTILINE):
            mlptrain(folder / lab, *shlex.split(command), check=False)  # one of the runs diverges
        for name in re.findall(rf"/pictures/{lab}-(.+\.png)\)", page):
            target = PICTURES / f"{lab}-{name}"
            Image.open(folder / lab / name).convert("RGB").quantize(128).save(target, optimize=True)
            print(target)


KINDS = {"table": table, "plots": plots, "report": report, "labs": labs}


def main() -> None:
    """Generate the selected kinds of images, by default all, in a temporary folder."""
    PICTURES.mkdir(exist_ok=True)
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as name:
            shutil.copytree(ROOT / "configs", Path(name) / "configs")
            KINDS[kind](Path(name))


if __name__ == "__main__":
    main()
