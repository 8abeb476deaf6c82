"""Puts the blocks of all tracks in the order of their time: a frame is complete later than the sound beside it."""

import heapq
from collections.abc import Iterator

import msgspec

from sfu_fleet.recording.depacketize import Format

# Longer than a frame may be on its way, reordering included.
HOLD_S = 0.5


class Block(msgspec.Struct, frozen=True):
    """One frame of a track at a time in seconds."""

    track: int
    at: float
    data: bytes
    keyframe: bool
    format: Format | None = None


class Interleaver:
    """Holds blocks back by a little of their own time."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._heap: list[tuple[float, int, Block]] = []
        self._count = 0
        self._newest = float("-inf")

    def push(self, block: Block) -> Iterator[Block]:
        """Take a block; those that are due."""
        self._count += 1
        heapq.heappush(self._heap, (block.at, self._count, block))
        self._newest = max(self._newest, block.at)
        while self._heap and self._heap[0][0] <= self._newest - self._hold_s:
            yield heapq.heappop(self._heap)[2]

    def rest(self) -> Iterator[Block]:
        """All that is left."""
        while self._heap:
            yield heapq.heappop(self._heap)[2]
