from __future__ import annotations

import io

from mlptrain.reporting.profile import render_profile
from mlptrain.reports import Profile


def shown(profile: Profile) -> str:
    stream = io.StringIO()
    render_profile(profile, stream)
    return stream.getvalue()


def test_a_line_a_phase_and_the_share_of_the_peak():
    # 3e9 operations in 0.5 s of products, 6e9 a second; 2 s in all, so 1.5e9 of 12e9 a second.
    text = shown(Profile({"products": 0.5, "gather": 1.25, "the rest": 0.25}, 2.0, 3_000_000_000, 12e9))
    assert text.splitlines() == [
        "",
        "where 2.00 s of training went:",
        "  products          0.500 s   25%  ########",
        "  gather            1.250 s   62%  ###################",
        "  the rest          0.250 s   12%  ####",
        "matrix products ran at 6.0 GFLOP/s, 50% of the 12.0 of large ones",
        "on these threads; training as a whole reached 12% of that peak",
    ]


def test_nothing_trained():
    text = shown(Profile({"the rest": 0.0}, 0.0, 0, 1e9))
    assert "0%" in text and "GFLOP" not in text
    assert Profile({}, 0.0, 0, 1e9).share_of_peak == 0 == Profile({}, 0.0, 0, 1e9).speed
