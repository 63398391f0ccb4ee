"""The hit rate of the plugin's URL cache, in closed form.

A `BoundedCache` neither renews nor moves what is hit: an entry leaves a fixed time after it came,
when its life is over, or earlier when enough others have come to push it out. If an id is asked
for at random moments, ``rate`` times a second, then of the questions about it the share

    rate · stay / (1 + rate · stay)

are hits: each miss is followed by ``rate · stay`` hits on average. How long entries stay in a full
cache follows from its size: the expected number of entries that are there, the sum of the same
shares, is ``size``. (This is the characteristic-time approximation of Che, Tung and Wang, 2002, for
first in, first out, as Martina, Garetto and Leonardi have it, 2014.)

How often objects are wanted follows Zipf's law: the n-th most popular one ``1 / n ** skew`` times
as often as the first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EXACT = 1000  # ranks that are taken one by one; those behind them in groups
_GROWTH = 1.02  # of a group's ranks over those of the group before


@dataclass(frozen=True, slots=True)
class Group:
    """``count`` objects, each asked for with the same share of all questions."""

    count: float
    share: float


def zipf(objects: int, skew: float) -> list[Group]:
    """The popularity of ``objects`` objects, as groups whose shares add up to 1.

    A billion objects become about a thousand groups: a group's share is its mean, by integral.
    """
    groups = [Group(1, rank**-skew) for rank in range(1, min(objects, _EXACT) + 1)]
    first = _EXACT + 1
    while first <= objects:
        last = min(objects, math.ceil(first * _GROWTH))
        weight = _integral(last + 0.5, skew) - _integral(first - 0.5, skew)
        groups.append(Group(last - first + 1, weight / (last - first + 1)))
        first = last + 1
    total = sum(group.count * group.share for group in groups)
    return [Group(group.count, group.share / total) for group in groups]


def _integral(rank: float, skew: float) -> float:
    return math.log(rank) if skew == 1 else rank ** (1 - skew) / (1 - skew)


def hit_rate(popularity: Sequence[Group], *, rate: float, size: int, life: float) -> float:
    """The share of hits at ``rate`` questions a second, with room for ``size`` entries.

    ``life`` is the longest that an entry stays, seconds.
    """
    stay = min(life, _stay_in_a_full_cache(popularity, rate, size))
    return sum(group.count * group.share * _hits(rate * group.share, stay) for group in popularity)


def entries(popularity: Sequence[Group], *, rate: float, stay: float) -> float:
    """How many entries are there when each stays ``stay`` seconds."""
    return sum(group.count * _hits(rate * group.share, stay) for group in popularity)


def _hits(rate: float, stay: float) -> float:
    return rate * stay / (1 + rate * stay)


def _stay_in_a_full_cache(popularity: Sequence[Group], rate: float, size: int) -> float:
    if size >= sum(group.count for group in popularity):
        return math.inf
    low, high = 0.0, 1.0
    while entries(popularity, rate=rate, stay=high) < size:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if entries(popularity, rate=rate, stay=middle) < size:
            low = middle
        else:
            high = middle
    return high
