"""Check of a report in headless Chromium: ``python tools/check_page.py runs/NAME/report.html [--output FOLDER]``.

Takes screenshots in the light and dark theme at the widths of a phone and of two desktops. The exit code is 1 if an
element is wider than its container, texts overlap or are cut off, there are large blank areas, or if the page loads
anything from outside or causes an error in the browser. Needs Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from html import unescape
from pathlib import Path

PHONE, DESKTOP, WIDE = 390, 1200, 1600
DARK, LIGHT = 0, 1  # as Chromium counts colour schemes
SCHEMES = {"light": LIGHT, "dark": DARK}
MAX_HEIGHT = 16000  # pixels of a screenshot
BROWSER_SECONDS = 120
SCRIPT = Path(__file__).with_suffix(".js")
MEASURE = """<!DOCTYPE html><body style="margin:0"><iframe id="page" src="{source}"
style="border:0;width:{width}px;height:800px"></iframe><pre id="result"></pre><script>{script}
document.getElementById("page").addEventListener("load", event => {{
  const view = event.target.contentWindow, problems = layoutProblems(view);
  for (const {{name}} of view.performance.getEntriesByType("resource")) {{
    if (!name.startsWith("data:")) problems.push(`it loads ${{name}}`);
  }}
  const height = view.document.documentElement.scrollHeight;
  document.getElementById("result").textContent = JSON.stringify({{height, problems}});
}});
</script></body>"""


@dataclass(frozen=True)
class Layout:
    """The height of a page in pixels, and what is wrong with it."""

    height: int
    problems: list[str]


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a headless Chromium without network."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("check_page: no Chromium on the PATH; apt-get install chromium")
    common = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    common += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    process = subprocess.Popen(
        [browser, *common, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=BROWSER_SECONDS)
    finally:
        if process.poll() is None:  # its helper processes hold the pipes open
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, out, errors)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def check(page: Path, folder: Path, width: int, scheme: int = LIGHT) -> Layout:
    """Return the layout of a page in a window of this width; ``folder`` is for a temporary file."""
    wrapper = folder / f"check-{width}.html"
    script = SCRIPT.read_text(encoding="utf-8")
    wrapper.write_text(MEASURE.format(source=page.resolve().as_uri(), width=width, script=script), encoding="utf-8")
    size = f"--window-size={max(width, 500)},800"
    done = chromium("--dump-dom", size, f"--blink-settings=preferredColorScheme={scheme}", wrapper.resolve().as_uri())
    found = re.search(r'<pre id="result">(.+?)</pre>', done.stdout, re.DOTALL)
    if found is None:
        sys.exit(f"check_page: {page} did not load\n{done.stderr[-2000:]}")
    layout = Layout(**json.loads(unescape(found[1])))
    return Layout(layout.height, layout.problems + [line for line in done.stderr.splitlines() if "CONSOLE" in line])


def screenshot(page: Path, folder: Path, name: str, width: int, height: int, scheme: int) -> Path:
    """Take a screenshot of the whole page; narrow windows are frames, because Chromium has a minimum width."""
    frame, target = folder / f"frame-{name}.html", folder / f"{name}.png"
    style = f"border:0;width:{width}px;height:{height}px"
    frame.write_text(f'<body style="margin:0"><iframe src="{page.as_uri()}" style="{style}"></iframe>')
    size = f"--window-size={max(width, 500)},{height}"
    chromium(f"--screenshot={target}", size, f"--blink-settings=preferredColorScheme={scheme}", frame.as_uri())
    frame.unlink()
    return target


def main() -> int:
    """Check a page and print the paths of its screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--output", type=Path, help="folder for the screenshots (default: a temporary folder)")
    options = parser.parse_args()
    folder = (options.output or Path(tempfile.mkdtemp(prefix="check-page-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    page, failed = options.page.resolve(), False
    for width in (PHONE, DESKTOP, WIDE):
        for name, scheme in SCHEMES.items():
            with tempfile.TemporaryDirectory() as temporary:
                layout = check(page, Path(temporary), width, scheme)
            height = min(layout.height, MAX_HEIGHT)
            print(screenshot(page, folder, f"{page.stem}-{width}-{name}", width, height, scheme))
            for problem in layout.problems:
                print(f"{width} px, {name}: {problem}", file=sys.stderr)
            failed |= bool(layout.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
