"""Does a series of measurements grow? Judged by its slope, which one peak or one garbage collection does not move."""

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Final

import msgspec

# At first caches fill, pools open connections and the allocator finds its size: that is no leak.
_SETTLING: Final = 1 / 3
# The slope looks at every pair of points; so many points say as much as thousands.
_POINTS: Final = 240
LEAST_POINTS: Final = 12


class Allowance(msgspec.Struct, frozen=True):
    """What may come on top over the time that is judged: a share of the median, or so much, whichever is more."""

    share: float
    least: float


class Trend(msgspec.Struct, frozen=True):
    """A series in figures: `first` and `last` are medians of the first and last tenth of what is judged.

    `slope_per_hour` is in the series' unit; `growth` is what that comes to over the time judged.
    """

    first: float
    last: float
    most: float
    slope_per_hour: float
    growth: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether it has not grown by more than is allowed."""
        return self.growth <= self.allowed


def trend(seconds: Sequence[float], values: Sequence[float], allowance: Allowance) -> Trend:
    """The trend of a series after its first third: the median of all pairs' slopes (Theil, Sen).

    Raises:
        ValueError: fewer than LEAST_POINTS points are left to judge.
    """
    points = [(at, value) for at, value in zip(seconds, values, strict=True) if at >= seconds[-1] * _SETTLING]
    if len(points) < LEAST_POINTS:
        raise ValueError(f"{len(points)} points to judge, at least {LEAST_POINTS} are needed")
    step = -(-len(points) // _POINTS)
    thinned = points[::step]
    slope = median((b - a) / (then - at) for (at, a), (then, b) in combinations(thinned, 2) if then > at)
    judged = [value for _, value in points]
    tenth = max(1, len(judged) // 10)
    return Trend(
        first=median(judged[:tenth]),
        last=median(judged[-tenth:]),
        most=max(values),
        slope_per_hour=slope * 3600,
        growth=slope * (points[-1][0] - points[0][0]),
        allowed=max(allowance.share * median(judged), allowance.least),
    )
