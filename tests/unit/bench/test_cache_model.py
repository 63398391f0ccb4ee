"""The closed form of the URL cache's hit rate agrees with the cache itself."""

import pytest

from bench.cache_model import entries, hit_rate, zipf
from bench.simulation import CASES, Traffic, simulate

# Three standard deviations of 20,000 questions, and the error of the approximation.
WITHIN = 0.02


@pytest.mark.parametrize("traffic", CASES.values(), ids=CASES.keys())
def test_it_predicts_the_hit_rate_of_the_plugins_cache(traffic: Traffic) -> None:
    assert simulate(traffic, 20_000, seed=7) == pytest.approx(traffic.expected(), abs=WITHIN)


def test_groups_of_ranks_weigh_what_the_ranks_weigh() -> None:
    objects, skew = 50_000, 0.9
    weights = [rank**-skew for rank in range(1, objects + 1)]
    groups = zipf(objects, skew)
    assert sum(group.count for group in groups) == objects
    assert sum(group.count * group.share for group in groups) == pytest.approx(1)
    assert groups[0].share == pytest.approx(weights[0] / sum(weights), rel=1e-4)
    assert groups[-1].share == pytest.approx(weights[-1] / sum(weights), rel=0.02)


def test_more_nodes_hit_less_and_a_longer_life_hits_more() -> None:
    popularity = zipf(10**9, 0.9)
    rates = [hit_rate(popularity, rate=1000 / nodes, size=10**6, life=150) for nodes in (1, 4, 16)]
    assert rates == sorted(rates, reverse=True)
    lives = [hit_rate(popularity, rate=100, size=10**6, life=life) for life in (60, 150, 600)]
    assert lives == sorted(lives)


def test_a_cache_holds_no_more_than_it_has_room_for() -> None:
    popularity = zipf(100_000, 0.8)
    unbounded = entries(popularity, rate=400, stay=150)
    assert unbounded > 2_000
    bounded = hit_rate(popularity, rate=400, size=2_000, life=150)
    assert bounded < hit_rate(popularity, rate=400, size=int(unbounded) + 1, life=150)
