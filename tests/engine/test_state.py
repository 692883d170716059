from __future__ import annotations

from mlptrain.engine.state import add_prefix, select_prefix


def test_prefixed_states_stay_separate() -> None:
    state = {**add_prefix("optimizer", {"step": 3, "m": 1}), **add_prefix("optimizer2", {"step": 4})}
    assert state == {"optimizer.step": 3, "optimizer.m": 1, "optimizer2.step": 4}
    assert select_prefix("optimizer", state) == {"step": 3, "m": 1} and select_prefix("nothing", state) == {}
