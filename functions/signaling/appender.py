"""Appends chat to room logs: whatever arrived for a room while the last call was under way goes in one script call.

An idle room appends at once; a busy one batches by itself, and never waits for a timer.
"""

import asyncio
import time

from redis.exceptions import RedisError

from functions import metrics
from shared.state.rooms import Appended, ChatMessage, RoomLog

MAX_BATCH = 256
MAX_WAITING = 10_000


class Backlogged(Exception):  # noqa: N818 - the state, not a fault of the caller
    """More messages wait for Redis than this process is willing to hold."""


class Appender:
    """One per process."""

    def __init__(self, log: RoomLog) -> None:
        self._log = log
        self._waiting: dict[str, list[tuple[ChatMessage, asyncio.Future[Appended]]]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, room: str, message: ChatMessage) -> Appended:
        """Append one message and wait for its outcome.

        Raises:
            Backlogged: nothing was sent; try again later.
            redis.exceptions.RedisError: whether it was appended is not known; the same message id makes sending it
                again harmless.
        """
        if self._count >= MAX_WAITING:
            raise Backlogged
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._count += 1
        if room in self._waiting:
            self._waiting[room].append((message, future))
        else:
            self._waiting[room] = [(message, future)]
            task = asyncio.create_task(self._flush(room), name=f"append-{room}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return await future
        finally:
            self._count -= 1

    async def _flush(self, room: str) -> None:
        try:
            while batch := self._waiting[room][:MAX_BATCH]:
                del self._waiting[room][:MAX_BATCH]
                await self._append(room, batch)
        finally:
            for _, future in self._waiting.pop(room):
                future.cancel()

    async def _append(self, room: str, batch: list[tuple[ChatMessage, asyncio.Future[Appended]]]) -> None:
        started = time.perf_counter()
        try:
            results = await self._log.append_chat(room, [message for message, _ in batch])
        except (RedisError, OSError) as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        metrics.APPEND_SECONDS.observe(time.perf_counter() - started)
        for (_, future), result in zip(batch, results, strict=True):
            metrics.APPENDED.labels(result.outcome.name.lower()).inc()
            # The sender may have gone in the meantime; the message is in the log all the same.
            if not future.done():
                future.set_result(result)

    async def stop(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
