"""What waits to be sent to one socket: bounded, in order, one frame in flight.

A reader that stalls fills its own outbox and nobody else's; then its connection is closed with a code that tells it to
come back and resume.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from functions import metrics

MAX_FRAMES = 512
MAX_BYTES = 4 * 1024 * 1024

Send = Callable[[bytes], Awaitable[None]]


class Outbox:
    """Frames for one socket. `overflowed` is set when the bound was reached; nothing is taken after that."""

    def __init__(self) -> None:
        self.overflowed = asyncio.Event()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._flushed = asyncio.Event()
        self._flushed.set()

    def put(self, frame: bytes) -> None:
        """Queue a frame. Frames are shared between sockets: they are never changed."""
        if self.overflowed.is_set():
            return
        if len(self._frames) >= MAX_FRAMES or self._bytes + len(frame) > MAX_BYTES:
            self.overflowed.set()
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._flushed.clear()
        self._filled.set()
        metrics.DELIVERIES.inc()

    async def drain_into(self, send: Send) -> None:
        """Send what is queued, for ever, one frame at a time. Raises what `send` raises when the peer has gone."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._frames:
                frame = self._frames.popleft()
                await send(frame)
                self._bytes -= len(frame)
            self._flushed.set()

    async def flushed(self) -> None:
        """Wait until everything queued has been sent."""
        await self._flushed.wait()
