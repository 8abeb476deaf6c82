"""Appends to room logs: whatever arrived for a room within a tick goes in one script call.

An idle room appends at once; a busy one waits for the rest of the tick, which never exceeds 5 ms.
"""

import asyncio
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from functions import metrics
from shared.state.rooms import Appended, RoomLog, Submission

TICK_S = 0.005
MAX_BATCH = 256
MAX_WAITING = 10_000

Answer = Callable[[Appended | None], None]
"""Told the outcome; None when whether it was appended is not known. The same id makes sending it again harmless."""


class Appender:
    """One per process."""

    def __init__(self, log: RoomLog) -> None:
        self._log = log
        self._waiting: dict[str, list[tuple[Submission, Answer]]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, room: str, message: Submission, answer: Answer) -> None:
        """Append one message; `answer` is called once, at once when more wait than this process is willing to hold."""
        if self._count >= MAX_WAITING:
            answer(None)
            return
        self._count += 1
        if room in self._waiting:
            self._waiting[room].append((message, answer))
            return
        self._waiting[room] = [(message, answer)]
        task = asyncio.create_task(self._flush(room), name=f"append-{room}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _flush(self, room: str) -> None:
        try:
            while batch := self._waiting[room][:MAX_BATCH]:
                began = time.perf_counter()
                del self._waiting[room][:MAX_BATCH]
                await self._append(room, batch)
                if len(self._waiting[room]) < MAX_BATCH:
                    # Those who arrive within the tick go together; with nobody waiting the next starts a new task.
                    await asyncio.sleep(max(0.0, TICK_S - (time.perf_counter() - began)))
        finally:
            for _, answer in self._waiting.pop(room):
                self._count -= 1
                answer(None)

    async def _append(self, room: str, batch: list[tuple[Submission, Answer]]) -> None:
        results: list[Appended | None]
        started = time.perf_counter()
        try:
            results = list(await self._log.append(room, [message for message, _ in batch]))
        except (RedisError, OSError):
            results = [None] * len(batch)
        metrics.APPEND_SECONDS.observe(time.perf_counter() - started)
        metrics.APPEND_BATCH.observe(len(batch))
        for (_, answer), result in zip(batch, results, strict=True):
            self._count -= 1
            metrics.APPENDED.labels(result.outcome.name.lower() if result else "unknown").inc()
            answer(result)
