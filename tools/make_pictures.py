"""Generate the images of the documentation from real runs: ``python tools/make_pictures.py [KIND ...]``.

The recording comes from a pseudo-terminal of 80 columns and plays at the speed of the run; the plots and the report
come from runs on the embedded digits and a sweep of twenty trials. The image of the report needs Chromium on the PATH.
The plots of the laboratories are those that the commands of their worksheets write.
"""

from __future__ import annotations

import fcntl
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
import time
from bisect import bisect_right
from html import escape
from itertools import accumulate, pairwise
from pathlib import Path

from check_page import DARK, DESKTOP, LIGHT, PHONE, chromium, screenshot
from PIL import Image
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
RECORDING = ROOT / "docs" / "epoch-table.svg"
PICTURES = ROOT / "docs" / "pictures"
COMMAND = ["train", "quickstart", "epochs=10"]
TOKEN = re.compile(rb"\x1b\[[?\d;]*[A-Za-z]|\n|[^\x1b\r\n]+")
ERASE_LINE, CURSOR_UP = b"\x1b[2K", b"\x1b[1A"
COLUMNS = 80
REPORT_HEIGHT = 1500
HOLD_SECONDS = 8  # at the end of the recording, before it begins again
CELL, LINE, EDGE = 8.4, 20, 16  # pixels: width of a letter, height of a line, margin
INK, DIM, PAPER = "#c5c8c6", "#868887", "#292929"


def record(command: list[str], folder: Path, rows: int = 24) -> list[tuple[float, list[str]]]:
    """Return the lines on a terminal after each change, with the seconds since the start of ``command``."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    start, chunks = time.perf_counter(), []
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment):
        os.close(follower)
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # raised on Linux when the other side is closed
                break
            if not chunk:
                break
            chunks.append((time.perf_counter() - start, chunk))
    os.close(leader)
    ends = list(accumulate(len(chunk) for _, chunk in chunks))
    lines, row, frames = [b""], 0, {}
    for match in TOKEN.finditer(b"".join(chunk for _, chunk in chunks)):
        token = match[0]
        if token == b"\n":
            row += 1
            lines += [b""] * (row == len(lines))
        elif token == CURSOR_UP:
            row -= 1
        elif token == ERASE_LINE:
            lines[row] = b""
        elif token[:1] != b"\x1b" or token[-1:] == b"m":
            lines[row] += token
        frames[chunks[bisect_right(ends, match.start())][0]] = [line.decode() for line in lines]
    return list(frames.items())


def animated(prompt: str, frames: list[tuple[float, list[str]]]) -> str:
    """Return a recording as SVG that plays at the speed at which it was recorded, and shows its end without motion."""
    end = frames[-1][0] + HOLD_SECONDS
    texts, styles = [_line(Text.assemble((prompt, "bold")), 0, "")], list[str]()
    count = max(len(lines) for _, lines in frames)
    for row in range(count):
        versions = [(at, lines[row] if row < len(lines) else "") for at, lines in frames]
        changes = [version for before, version in pairwise([(0.0, ""), *versions]) if before[1] != version[1]]
        for (at, text), (until, _) in pairwise([*changes, (end, "")]):
            name = f"v{len(styles)}"
            shown = f"{100 * at / end:.3f}%"
            hidden = "" if until == end else f" {100 * until / end:.3f}%{{visibility:hidden}}"
            still = "" if until == end else f".{name}{{visibility:hidden}}"
            styles.append(f"@keyframes {name}{{0%{{visibility:hidden}} {shown}{{visibility:visible}}{hidden}}}{still}")
            styles[-1] += f"@media (prefers-reduced-motion:no-preference){{.{name}{{animation-name:{name}}}}}"
            texts.append(_line(Text.from_ansi(text), row + 1, name))
    width, height = COLUMNS * CELL + 2 * EDGE, (count + 1) * LINE + 2 * EDGE
    style = f"text{{white-space:pre}}g{{animation:{end:.2f}s step-end infinite;fill:{INK};"
    style += "font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}">\n'
        f"<style>{style}{''.join(styles)}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n{"".join(texts)}</svg>\n'
    )


def _line(text: Text, row: int, name: str) -> str:
    """Return a line as SVG, with a piece for each style."""
    pieces, column = [], 0
    for segment in text.render(Console(width=200)):
        style, letters = segment.style or Style(), cell_len(segment.text)
        if segment.text.strip():
            color = style.color.get_truecolor(SVG_EXPORT_THEME).hex if style.color else DIM if style.dim else ""
            look = (f' fill="{color}"' if color else "") + (' font-weight="bold"' if style.bold else "")
            x, y = EDGE + column * CELL, EDGE + (row + 0.75) * LINE
            pieces.append(
                f'<text x="{x:.1f}" y="{y:.0f}" textLength="{letters * CELL:.1f}"{look}>{escape(segment.text)}</text>'
            )
        column += letters
    return f'<g class="{name}">{"".join(pieces)}</g>\n' if pieces else ""


def recording(folder: Path) -> None:
    """Write the recording of a run in a terminal."""
    frames = record([sys.executable, "-m", "mlptrain", *COMMAND], folder)
    RECORDING.write_text(animated("$ mlptrain " + " ".join(COMMAND), frames), encoding="utf-8")
    print(RECORDING)


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
    """Draw the plots of a run and of a sweep that the documentation shows."""
    smooth = ["hidden=[30]", "learning_rate=0.1", "l2=0.002", "epochs=30"]  # l2 reduces the noise in the weights
    mlptrain(folder, "train", "quickstart", *smooth, "--run", "digits")
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    mlptrain(folder, "sweep", "sweep.yaml", "--run", "sweep")
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    for run in ("digits", "sweep"):
        mlptrain(folder, "plot", run, "--output", "plots")
    for picture in sorted((folder / "plots").iterdir()):
        if f"(pictures/{picture.name})" in text:
            compress(picture, picture.name)


def compress(picture: Path, name: str) -> None:
    """Save a picture for the documentation with a palette, which halves its size."""
    Image.open(picture).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(PICTURES / name, optimize=True)
    print(PICTURES / name)


def report(folder: Path) -> None:
    """Draw a report in the light theme on a desktop next to the dark theme on a phone."""
    mlptrain(folder, "train", "overfitting", "--run", "overfitting")
    mlptrain(folder, "report", "overfitting")
    page = folder / "runs/overfitting/report.html"
    light = screenshot(page, folder, "light", DESKTOP, REPORT_HEIGHT, LIGHT)
    dark = screenshot(page, folder, "dark", PHONE, REPORT_HEIGHT, DARK)
    both = folder / "both.html"
    images = f'<img src="{light.name}"><div><img src="{dark.name}"></div>'
    style = (
        f"<style>body{{margin:0;display:flex;gap:20px;background:#888}}div{{width:{PHONE}px;overflow:hidden}}</style>"
    )
    both.write_text(style + images, encoding="utf-8")
    target = folder / "report.png"
    chromium(f"--screenshot={target}", f"--window-size={DESKTOP + 20 + PHONE},{REPORT_HEIGHT}", both.as_uri())
    compress(target, target.name)


def labs(folder: Path) -> None:
    """Run the worksheets of the laboratories and keep the plots that they show."""
    for lab in ("lab1", "lab2"):
        page = (ROOT / "configs" / lab / "README.md").read_text(encoding="utf-8")
        (folder / lab).mkdir()
        for command in re.findall(r"^mlptrain (.+)$", page, re.MULTILINE):
            mlptrain(folder / lab, *shlex.split(command), check=False)  # one of the runs diverges
        for name in re.findall(rf"/pictures/{lab}-(.+\.png)\)", page):
            compress(folder / lab / name, f"{lab}-{name}")


KINDS = {"recording": recording, "plots": plots, "report": report, "labs": labs}


def main() -> None:
    """Generate the selected kinds of images, by default all, in a temporary folder."""
    PICTURES.mkdir(exist_ok=True)
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as name:
            shutil.copytree(ROOT / "configs", Path(name) / "configs")
            KINDS[kind](Path(name))


if __name__ == "__main__":
    main()
