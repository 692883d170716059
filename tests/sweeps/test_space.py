from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random
from typing import Any

import pytest

from mlptrain.sweeps.space import Choice, Interval, Space, fingerprint

SMALL = Space({"a": Choice((1, 2, 3)), "b": Choice(("x", "y"))})


def names(points: Any) -> list[str]:
    return [fingerprint(point) for point in points]


def test_a_grid_is_numbered_with_the_last_parameter_fastest() -> None:
    space = Space({"a": Choice((1, 2)), "b": Interval(3, 5, True), "c": Choice(("x",))})
    assert space.size == 6 and space.varied == ("a", "b")
    points = [space.point(index) for index in range(6)]
    assert [(p["a"], p["b"]) for p in points] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert list(points[0]) == ["a", "b", "c"]


def test_points_are_computed_from_their_number() -> None:
    space = Space({key: Interval(1, 10**6, True) for key in "abcdef"})
    assert space.size == 10**36
    assert space.point(0) == dict.fromkeys("abcdef", 1)
    assert space.point(10**36 - 1) == dict.fromkeys("abcdef", 10**6)


def test_integers_are_uniform_with_both_bounds() -> None:
    rng = Random(0)
    drawn = Counter(Interval(1, 4, True).draw(rng) for _ in range(4000))
    assert sorted(drawn) == [1, 2, 3, 4] and all(900 < count < 1100 for count in drawn.values())


def test_logarithmic_integers_include_the_last() -> None:
    rng = Random(0)
    drawn = Counter(Interval(1, 8, True, log=True).draw(rng) for _ in range(4000))
    assert sorted(drawn) == list(range(1, 9)) and drawn[1] > drawn[2] > drawn[4] > drawn[8] > 100


def test_logarithmic_numbers_are_uniform_in_their_logarithm() -> None:
    rng, interval = Random(0), Interval(1e-3, 1.0, False, log=True)
    drawn = [interval.draw(rng) for _ in range(3000)]
    assert all(1e-3 <= value <= 1 for value in drawn)
    for low in (1e-3, 1e-2, 1e-1):
        assert 900 < sum(low <= value < 10 * low for value in drawn) < 1100


def test_uniform_numbers_have_few_digits_and_are_within_bounds() -> None:
    rng, interval = Random(1), Interval(0.1, 0.3, False)
    for value in (interval.draw(rng) for _ in range(200)):
        assert 0.1 <= value <= 0.3 and len(repr(value)) <= 8
    assert interval.count is None
    with pytest.raises(ValueError):
        interval.at(0)


def test_steps_start_at_min_and_end_at_or_below_max() -> None:
    interval = Interval(0.1, 0.55, False, step=0.1)
    assert interval.count == 5
    assert [interval.at(index) for index in range(5)] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {interval.draw(Random(seed)) for seed in range(60)} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert Interval(0.0, 0.3, False, step=0.1).count == 4  # 0.3/0.1 is 2.9999999999999996
    assert Interval(0, 2**63 - 1, True).count == 2**63
    assert {Interval(8, 64, True, log=True, step=8).draw(Random(s)) for s in range(300)} == set(range(8, 65, 8))


def test_probabilities() -> None:
    choice = Choice(("a", "b"), (0.9, 0.1))
    rng = Random(0)
    drawn = Counter(choice.draw(rng) for _ in range(2000))
    assert 1700 < drawn["a"] < 1900


def test_a_continuous_space_has_no_size_and_no_points() -> None:
    space = Space({"a": Interval(0.0, 1.0, False)})
    assert space.size is None
    with pytest.raises(ValueError):
        space.point(0)


def test_samples_are_distinct_and_follow_the_seed() -> None:
    space = Space({"a": Interval(1, 6, True), "b": Choice((1, 2, 3, 4))})
    first = names(space.sample(3, 20))
    assert len(set(first)) == 20
    assert first == names(space.sample(3, 20)) != names(space.sample(4, 20))


def test_samples_end_with_the_space() -> None:
    assert sorted(names(SMALL.sample(0, 100))) == sorted(names(map(SMALL.point, range(6))))


def test_improbable_points_come_last() -> None:
    space = Space({"a": Choice(("often", "never"), (1 - 1e-12, 1e-12)), "b": Choice((1, 2))})
    assert [point["a"] for point in space.sample(0, 4)] == ["often", "often", "never", "never"]


def test_longer_samples_begin_like_shorter_ones() -> None:
    space = Space({"a": Interval(0.0, 1.0, False)})
    assert list(space.sample(5, 3)) == list(islice(space.sample(5, 50), 3))
