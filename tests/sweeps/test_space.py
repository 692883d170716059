from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mlptrain.sweeps.space import Choice, Interval, Space


def test_a_grid_is_numbered_with_the_last_parameter_fastest():
    space = Space({"a": Choice((1, 2)), "b": Interval(3, 5, True), "c": Choice(("x",))})
    assert space.size == 6 and space.varied == ("a", "b")
    points = list(space.points())
    assert [(p["a"], p["b"]) for p in points] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert list(points[0]) == ["a", "b", "c"]


def test_a_grid_of_astronomic_size_is_made_a_point_at_a_time():
    space = Space({key: Interval(1, 10**6, True) for key in "abcdef"})
    assert space.size == 10**36
    points = space.points()
    assert next(points) == dict.fromkeys("abcdef", 1)
    assert space.point(10**36 - 1) == dict.fromkeys("abcdef", 10**6)


def test_whole_numbers_are_uniform_and_both_bounds_come():
    rng = Random(0)
    drawn = Counter(Interval(1, 4, True).draw(rng) for _ in range(4000))
    assert sorted(drawn) == [1, 2, 3, 4] and all(900 < count < 1100 for count in drawn.values())


def test_logarithmic_whole_numbers_reach_the_last_and_prefer_the_small():
    rng = Random(0)
    drawn = Counter(Interval(1, 8, True, log=True).draw(rng) for _ in range(4000))
    assert sorted(drawn) == list(range(1, 9)) and drawn[1] > drawn[2] > drawn[4] > drawn[8] > 100


def test_logarithmic_numbers_are_uniform_in_their_logarithm():
    rng, interval = Random(0), Interval(1e-3, 1.0, False, log=True)
    drawn = [interval.draw(rng) for _ in range(3000)]
    assert all(1e-3 <= value <= 1 for value in drawn)
    for low in (1e-3, 1e-2, 1e-1):
        assert 900 < sum(low <= value < 10 * low for value in drawn) < 1100


def test_uniform_numbers_have_few_digits_and_stay_within_bounds():
    rng, interval = Random(1), Interval(0.1, 0.3, False)
    for value in (interval.draw(rng) for _ in range(200)):
        assert 0.1 <= value <= 0.3 and len(repr(value)) <= 8
    assert interval.count is None
    with pytest.raises(ValueError):
        interval.at(0)


def test_steps_start_at_min_and_end_at_or_below_max():
    interval = Interval(0.1, 0.55, False, step=0.1)
    assert interval.count == 5
    assert [interval.at(index) for index in range(5)] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {interval.draw(Random(seed)) for seed in range(60)} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert Interval(0.0, 0.3, False, step=0.1).count == 4  # 0.3/0.1 is 2.9999999999999996
    assert {Interval(8, 64, True, log=True, step=8).draw(Random(s)) for s in range(300)} == set(range(8, 65, 8))


def test_probabilities():
    choice = Choice(("a", "b"), (0.9, 0.1))
    rng = Random(0)
    drawn = Counter(choice.draw(rng) for _ in range(2000))
    assert 1700 < drawn["a"] < 1900


def test_a_continuous_space_has_no_size_and_no_points():
    space = Space({"a": Interval(0.0, 1.0, False)})
    assert space.size is None and list(space.points()) == []
    with pytest.raises(ValueError):
        space.point(0)
