"""Which estimates are worth telling: feedback comes up to twenty times a second, for each of a thousand viewers.

Whoever decides on the estimate says how often it must be heard, and below what a fall cannot wait.
"""

from sfu_fleet.adaptation import OVERUSE_FALL

EVERY_US = 200_000


class Telling:
    """Of one way. At first every fall is told at once, and the rest five times a second."""

    def __init__(self) -> None:
        self._below = float("inf")
        self._every_us = EVERY_US
        self._told = 0.0
        self._told_us: int | None = None

    def attend(self, below: float, every_us: int) -> None:
        """From now on tell each estimate that comes so long after the last, and at once a fall below so many bit/s."""
        self._below, self._every_us = below, every_us

    def due(self, bitrate: float, now_us: int) -> bool:
        """Whether the estimate is to be told now; then it counts as told."""
        fell = bitrate < self._told * (1 - OVERUSE_FALL) and bitrate < self._below
        if not fell and self._told_us is not None and now_us - self._told_us < self._every_us:
            return False
        self._told, self._told_us = bitrate, now_us
        return True
