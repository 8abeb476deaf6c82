"""What waits for one socket that does not keep up: in order of importance, conflated, bounded."""

from collections import deque
from enum import IntEnum
from typing import Any, NamedTuple

from functions import metrics

MAX_FRAMES = 512
MAX_BYTES = 4 * 1024 * 1024


class Priority(IntEnum):
    """What leaves first when a socket is behind."""

    CONTROL = 0
    EVENTS = 1
    EPHEMERAL = 2


class _Waiting(NamedTuple):
    form: Any
    size: int
    conflate: int


class Backlog:
    """Frames in whatever form their socket takes them."""

    __slots__ = ("_bytes", "_queues", "frames")

    def __init__(self) -> None:
        self.frames = 0
        self._bytes = 0
        self._queues: tuple[deque[_Waiting], ...] | None = None  # most sockets never need them

    def add(self, form: object, size: int, priority: Priority, conflate: int) -> bool:
        """Keep a frame of `size` bytes; of ephemeral ones with one `conflate`, the latest. False: over the bound."""
        if self._queues is None:
            self._queues = (deque(), deque(), deque())
        queue = self._queues[priority]
        if priority is Priority.EPHEMERAL:
            self._conflate(queue, conflate)
        queue.append(_Waiting(form, size, conflate))
        self.frames += 1
        metrics.BACKLOG.inc()
        self._bytes += size
        return self.frames <= MAX_FRAMES and self._bytes <= MAX_BYTES

    def take(self) -> Any:  # noqa: ANN401 - the form that was added
        """The frame that leaves next; there must be one."""
        assert self._queues is not None  # noqa: S101 - said above
        waiting = next(queue for queue in self._queues if queue).popleft()
        self.frames -= 1
        metrics.BACKLOG.dec()
        self._bytes -= waiting.size
        return waiting.form

    def clear(self) -> None:
        """Forget everything."""
        self._queues = None
        if self.frames:
            metrics.BACKLOG.dec(self.frames)
            metrics.DROPPED.inc(self.frames)
        self.frames = self._bytes = 0

    def _conflate(self, queue: deque[_Waiting], conflate: int) -> None:
        kept = [waiting for waiting in queue if waiting.conflate != conflate]
        dropped = len(queue) - len(kept)
        if dropped:
            metrics.CONFLATED.inc(dropped)
            metrics.BACKLOG.dec(dropped)
            self.frames -= dropped
            self._bytes -= sum(waiting.size for waiting in queue if waiting.conflate == conflate)
            queue.clear()
            queue.extend(kept)
