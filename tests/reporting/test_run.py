from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from mlptrain.reporting.run import make_run_reporter, render_profile
from mlptrain.training.reports import Profile
from tests.reporting import made


def test_quiet_prints_nothing() -> None:
    stream = io.StringIO()
    reporter = make_run_reporter(stream, quiet=True, no_color=False)
    for report in (made.start(2), made.progress(1, 2), made.epoch(1, 2), made.end(2)):
        reporter.show(report)
    reporter.close()
    assert stream.getvalue() == ""


def test_plain_lines_do_without_rich() -> None:
    code = (
        "import io, sys; from mlptrain.reporting.run import make_run_reporter; "
        "make_run_reporter(io.StringIO(), quiet=False, no_color=False); sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def profile_lines(profile: Profile) -> list[str]:
    stream = io.StringIO()
    render_profile(profile, stream)
    return stream.getvalue().splitlines()


def test_a_profile_has_a_line_per_phase_and_the_share_of_the_peak() -> None:
    # 3e9 operations in 0.5 s of products, 6e9 per second; 2 s in all, so 1.5e9 of 12e9 per second.
    lines = profile_lines(Profile({"products": 0.5, "gather": 1.25, "the rest": 0.25}, 2.0, 3_000_000_000, 12e9))
    assert lines[2:5] == [
        "  products          0.500 s   25%  ########",
        "  gather            1.250 s   62%  ###################",
        "  the rest          0.250 s   12%  ####",
    ]
    assert all(value in lines[5] for value in ("6.0 GFLOP/s", "50%", "12.0 GFLOP/s")) and "12%" in lines[6]


def test_the_profile_of_a_run_without_training() -> None:
    text = "\n".join(profile_lines(Profile({"the rest": 0.0}, 0.0, 0, 1e9)))
    assert "0%" in text and "GFLOP" not in text
    assert Profile({}, 0.0, 0, 1e9).share_of_peak == 0 == Profile({}, 0.0, 0, 1e9).speed
