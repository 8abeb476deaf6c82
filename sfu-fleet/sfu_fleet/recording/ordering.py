"""Packets in the order of their places in a layer's timeline, which are numbers without a gap; bounded in both senses.

A missing packet is waited for, since its repair may be on the way: until so many later ones are there, or so long.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_HELD = 256
MAX_WAIT_S = 0.4


class Reorderer(Generic[T]):
    """Begins with the first number it is given; what comes from before it, or twice, is dropped."""

    def __init__(self, *, max_held: int = MAX_HELD, max_wait_s: float = MAX_WAIT_S) -> None:
        self._max_held = max_held
        self._max_wait_s = max_wait_s
        self._held: dict[int, tuple[T, float]] = {}
        self._next = -1

    def push(self, number: int, item: T, now: float) -> Iterator[tuple[T, bool]]:
        """Take an item; those whose turn it is, each with whether something is missing in front of it."""
        if self._next < 0:
            self._next = number
        if number >= self._next:
            self._held.setdefault(number, (item, now))
        return self._due(now)

    def _due(self, now: float) -> Iterator[tuple[T, bool]]:
        gap = False
        while self._held:
            entry = self._held.pop(self._next, None)
            if entry is not None:
                self._next += 1
                yield entry[0], gap
                gap = False
                continue
            first = min(self._held)
            if len(self._held) <= self._max_held and now - self._held[first][1] < self._max_wait_s:
                return
            self._next = first
            gap = True
