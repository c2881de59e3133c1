"""Sets of numbers as sorted, disjoint, closed ranges: [(1, 17), (20, 20)]. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

Ranges = list[tuple[int, int]]


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort ranges and join those that overlap or touch. Empty ones (first above last) vanish."""
    joined: Ranges = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def size(ranges: Iterable[tuple[int, int]]) -> int:
    """How many numbers they hold."""
    return sum(last - first + 1 for first, last in ranges)


def contains(ranges: Ranges, number: int) -> bool:
    """Tell whether a number is in one of the (normal) ranges."""
    place = bisect_right(ranges, number, key=lambda one: one[0]) - 1
    return place >= 0 and number <= ranges[place][1]


def overlap(left: Ranges, right: Ranges) -> bool:
    """Tell whether two (normal) sets have a number in common."""
    one = two = 0
    while one < len(left) and two < len(right):
        if left[one][1] < right[two][0]:
            one += 1
        elif right[two][1] < left[one][0]:
            two += 1
        else:
            return True
    return False


def coarse(ranges: Ranges, limit: int) -> Ranges:
    """Return at most `limit` ranges that hold all these numbers: the smallest holes are closed first."""
    if len(ranges) <= limit:
        return ranges
    holes = sorted(after[0] - before[1] for before, after in pairwise(ranges))
    # Holes up to this width close; of several as wide as this, all.
    width = holes[len(ranges) - limit - 1]
    joined = [ranges[0]]
    for first, last in ranges[1:]:
        if first - joined[-1][1] <= width:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def common(left: Ranges, right: Ranges) -> Ranges:
    """The numbers that are in both (normal) sets."""
    found: Ranges = []
    one = two = 0
    while one < len(left) and two < len(right):
        first, last = max(left[one][0], right[two][0]), min(left[one][1], right[two][1])
        if first <= last:
            found.append((first, last))
        if left[one][1] < right[two][1]:
            one += 1
        else:
            two += 1
    return found


def without(left: Ranges, right: Ranges) -> Ranges:
    """The numbers of one (normal) set that are not in the other."""
    rest: Ranges = []
    two = 0
    for first, last in left:
        while two < len(right) and right[two][1] < first:
            two += 1
        place = two
        while place < len(right) and right[place][0] <= last:
            if right[place][0] > first:
                rest.append((first, right[place][0] - 1))
            first = max(first, right[place][1] + 1)  # noqa: PLW2901 - what is left of this range
            place += 1
        if first <= last:
            rest.append((first, last))
    return rest
