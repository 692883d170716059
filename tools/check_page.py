"""Check of a report in headless Chromium: ``python tools/check_page.py runs/NAME/report.html [--output FOLDER]``.

Takes screenshots in the light and dark theme at the width of a phone and of a desktop. The exit code is 1 if the page
is wider than the window, loads anything from outside, or causes an error in the browser. Needs Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PHONE, DESKTOP = 390, 1200
DARK, LIGHT = 0, 1  # as Chromium counts colour schemes
MEASURE = """<!DOCTYPE html><body style="margin:0"><iframe id="page" src="{source}"
style="border:0;width:{width}px;height:{height}px"></iframe><pre id="result"></pre><script>
document.getElementById("page").addEventListener("load", event => {{
  const page = event.target.contentDocument.documentElement;
  document.getElementById("result").textContent = JSON.stringify({{
    width: page.scrollWidth, height: page.scrollHeight,
    loaded: event.target.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name),
    text: page.innerText.length, plots: page.querySelectorAll("svg").length}});
}});
</script></body>"""


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a headless Chromium without network."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("check_page: no Chromium on the PATH; apt-get install chromium")
    common = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    common += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    return subprocess.run([browser, *common, *arguments], capture_output=True, text=True, timeout=120, check=True)


def measure(page: Path, folder: Path, width: int) -> dict[str, Any]:
    """Return the size of the page in a window of this width, the resources it requests, and the errors."""
    wrapper = folder / f"measure-{width}.html"
    wrapper.write_text(MEASURE.format(source=page.as_uri(), width=width, height=800), encoding="utf-8")
    done = chromium("--dump-dom", wrapper.as_uri())
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    if found is None or not found[1]:
        sys.exit(f"check_page: {page} did not load\n{done.stderr[-2000:]}")
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    result: dict[str, Any] = json.loads(found[1])
    return {**result, "errors": errors}


def screenshot(page: Path, folder: Path, name: str, width: int, height: int, scheme: int) -> Path:
    """Take a screenshot of the whole page; narrow windows are frames, because Chromium has a minimum width."""
    frame, target = folder / f"frame-{name}.html", folder / f"{name}.png"
    style = f"border:0;width:{width}px;height:{height}px"
    frame.write_text(f'<body style="margin:0"><iframe src="{page.as_uri()}" style="{style}"></iframe>')
    size = f"--window-size={max(width, 500)},{height}"
    chromium(f"--screenshot={target}", size, f"--blink-settings=preferredColorScheme={scheme}", frame.as_uri())
    return target


def main() -> int:
    """Check a page and print the paths of its screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--output", type=Path, help="folder for the screenshots (default: a temporary folder)")
    options = parser.parse_args()
    folder = (options.output or Path(tempfile.mkdtemp(prefix="check-page-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    page, problems = options.page.resolve(), []
    for width in (PHONE, DESKTOP):
        found = measure(page, folder, width)
        print(f"{width} px: {found}")
        if found["width"] != width:
            problems.append(f"at {width} px the page is {found['width']} px wide")
        problems += [f"it loads {name}" for name in found["loaded"] if not name.startswith("data:")]
        problems += found["errors"]
        for scheme, code in {"light": LIGHT, "dark": DARK}.items():
            print(screenshot(page, folder, f"{width}-{scheme}", width, min(found["height"], 16000), code))
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
