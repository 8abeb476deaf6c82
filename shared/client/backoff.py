"""Exponential back-off with full jitter: many clients that lose one server do not come back in step."""

import random


class Backoff:
    """Each delay is uniform in [0, ceiling), and the ceiling doubles from `first_s` up to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng
        self._ceiling_s = first_s

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self._longest_s, 2 * ceiling_s)
        return self._rng.uniform(0, ceiling_s)

    def reset(self) -> None:
        """The trouble is over."""
        self._ceiling_s = self._first_s
