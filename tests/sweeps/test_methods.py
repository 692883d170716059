from __future__ import annotations

from itertools import islice

from mlptrain.sweeps import samplers
from mlptrain.sweeps.space import Choice, Interval, Space

SMALL = Space({"a": Choice((1, 2, 3)), "b": Choice(("x", "y"))})


def names(points):
    return [samplers.fingerprint(point) for point in points]


def test_random_points_do_not_repeat_and_follow_the_seed():
    space = Space({"a": Interval(1, 6, True), "b": Choice((1, 2, 3, 4))})
    first = names(samplers.random(space, 3, 20))
    assert len(set(first)) == 20
    assert first == names(samplers.random(space, 3, 20)) != names(samplers.random(space, 4, 20))


def test_a_small_space_is_exhausted_and_then_over():
    assert sorted(names(samplers.random(SMALL, 0, 100))) == sorted(names(samplers.grid(SMALL)))


def test_what_is_hardly_ever_drawn_comes_in_the_end():
    space = Space({"a": Choice(("often", "never"), (1 - 1e-12, 1e-12)), "b": Choice((1, 2))})
    points = list(samplers.random(space, 0, 4))
    assert [point["a"] for point in points] == ["often", "often", "never", "never"]


def test_a_longer_search_begins_as_a_shorter_one():
    space = Space({"a": Interval(0.0, 1.0, False)})
    assert list(samplers.random(space, 5, 3)) == list(islice(samplers.random(space, 5, 50), 3))
