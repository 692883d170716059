"""JavaScript in tests: functions in Node or in a headless Chromium, and digits drawn on a page in Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mlptrain.handwriting.resampling import resize
from tools.check_page import chromium

SIDE = 84  # pixels of an image while it is thinned

NODE = shutil.which("node")

HAS_CHROMIUM = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))

Point = tuple[float, float]
"""x and y in [0, 1]."""

BEFORE = """<script>
let plannedFrame = null;  // what the page wants to do before the next frame
requestAnimationFrame = callback => { plannedFrame = callback; };
HTMLElement.prototype.setPointerCapture = () => {};  // no real pointer is down
</script>"""

AFTER = """<pre id="result"></pre><script>
{
  const times = [];
  const paper = document.querySelector(".paper canvas");
  const showFrame = () => {
    const start = performance.now();
    plannedFrame();
    times.push(performance.now() - start);
  };
  const send = (type, [x, y]) => {
    const box = paper.getBoundingClientRect();
    const at = {clientX: box.left + x * box.width, clientY: box.top + y * box.height};
    paper.dispatchEvent(new PointerEvent(type, {pointerId: 1, button: 0, ...at}));
  };
  const results = DRAWINGS.map(strokes => {
    document.querySelector(".clear").click();
    showFrame();
    for (const stroke of strokes) {
      send("pointerdown", stroke[0]);
      stroke.slice(1).forEach(point => send("pointermove", point));
      send("pointerup", stroke.at(-1));
      showFrame();
    }
    const seen = document.querySelector(".seen canvas");
    const pixels = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height).data;
    return {
      label: document.querySelector(".answer b").textContent,
      outputs: [...document.querySelectorAll(".value")].map(cell => Number(cell.textContent)),
      seen: [...pixels.filter((_, index) => index % 4 === 0)],
      picture: paper.toDataURL().split(",")[1],
    };
  });
  const isTooWide = document.documentElement.scrollWidth > innerWidth;
  document.getElementById("result").textContent = JSON.stringify({results, times, isTooWide});
}
</script>"""


def evaluate(functions: str, expression: str, folder: Path) -> Any:
    """Return the value of a JavaScript expression that uses ``functions``, from Node or else from Chromium."""
    if NODE:
        file = folder / "test.js"
        file.write_text(f"{functions}\nconsole.log(JSON.stringify({expression}));", encoding="utf-8")
        done = subprocess.run([NODE, file], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    show = f'document.getElementById("result").textContent = JSON.stringify({expression});'
    file = folder / "test.html"
    file.write_text(f'<pre id="result"></pre><script>{functions}\n{show}</script>', encoding="utf-8")
    return _dumped(file)


def replay(page: Path, drawings: list[list[list[Point]]]) -> dict[str, Any]:
    """Draw on ``page`` and return the ``results`` after each drawing and the ``times`` per frame in ms.

    ``isTooWide`` says whether the page is wider than the window.
    """
    copy, text = page.with_suffix(".replay.html"), page.read_text(encoding="utf-8")
    after = AFTER.replace("DRAWINGS", json.dumps(drawings))
    copy.write_text(text.replace("<body>", f"<body>{BEFORE}").replace("</body>", f"{after}</body>"), encoding="utf-8")
    result: dict[str, Any] = _dumped(copy)
    return result


def evaluate_on(page: Path, expression: str) -> Any:
    """Return the value of a JavaScript expression after the scripts of ``page`` have run, from Chromium."""
    copy, text = page.with_suffix(".evaluate.html"), page.read_text(encoding="utf-8")
    show = f'document.getElementById("result").textContent = JSON.stringify({expression});'
    after = f'<pre id="result"></pre><script>{show}</script>'
    copy.write_text(text.replace("</body>", f"{after}</body>"), encoding="utf-8")
    return _dumped(copy)


def _dumped(page: Path) -> Any:
    """Return the JSON in the element ``result`` after the scripts of a page have run."""
    done = chromium("--dump-dom", page.resolve().as_uri())
    assert "Uncaught" not in done.stderr, done.stderr
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout
    return json.loads(unescape(found[1]))


def trace(image: np.ndarray) -> list[list[Point]]:
    """Return the strokes that draw the digit in ``image`` (28, 28), bytes: the lines of its skeleton."""
    points = {(int(x), int(y)) for y, x in np.argwhere(thin(resize(image / 255, SIDE, SIDE) > 0.45))}
    left, strokes = set(points), []
    while left:
        at = min(left, key=lambda point: (len(_neighbours(point, left)), point))
        stroke = [*_neighbours(at, points - left)[:1], at]  # from a branch of an earlier stroke, if there is one
        while following := _neighbours(stroke[-1], left - {stroke[-1]}):
            left.discard(stroke[-1])
            stroke.append(following[0])
        left.discard(stroke[-1])
        stroke += [point for point in _neighbours(stroke[-1], points) if point not in stroke[-3:]][:1]  # closes a loop
        strokes.append([((x + 0.5) / SIDE, (y + 0.5) / SIDE) for x, y in stroke])
    return strokes


def _neighbours(point: tuple[int, int], points: set[tuple[int, int]]) -> list[tuple[int, int]]:
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
    return [at for right, down in steps if (at := (point[0] + right, point[1] + down)) in points]


def thin(mask: np.ndarray) -> np.ndarray:
    """Return the lines in the middle of the strokes of ``mask``, one pixel wide (Zhang & Suen 1984)."""
    mask, changed = np.pad(mask, 1), True
    around = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # clockwise from above
    while changed:
        changed = False
        for blocked in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            p = [np.roll(mask, shift, (0, 1)) for shift in around]
            count, turns = np.sum(p, axis=0), np.sum([~p[i] & p[(i + 1) % 8] for i in range(8)], axis=0)
            remove = mask & (count >= 2) & (count <= 6) & (turns == 1)
            for i, j, k in blocked:
                remove &= ~(p[i] & p[j] & p[k])
            mask &= ~remove
            changed |= bool(remove.any())
    return mask[1:-1, 1:-1]


def draw(strokes: list[list[Point]], side: int) -> np.ndarray:
    """Return a drawing (side, side), bytes, black on white, by a round pen like that of the page."""
    scale = 4  # of the image that is averaged
    big = Image.new("L", (scale * side, scale * side), 255)
    pen, radius = ImageDraw.Draw(big), scale * side / 40
    for stroke in strokes:
        points = [(scale * side * x, scale * side * y) for x, y in stroke]
        pen.line(points, 0, round(2 * radius))
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), 0)
    return np.asarray(big.reduce(scale))
