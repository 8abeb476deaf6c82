"""Tells the room log when a stream starts and ends.

In order, again and again while Redis is away, and never in the way of media.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from redis.exceptions import RedisError
from structlog import get_logger

from sfu_fleet.metrics import Metrics

MAX_WAITING = 1_000
MAX_AGE_S = 300.0
RETRY_S = 0.5
_MAX_RETRY_S = 5.0

log = get_logger(__name__)


class Log(Protocol):
    """The part of `shared.state.rooms.RoomLog` that is used here."""

    def stream_started(
        self, room: str, *, session: str, worker: str, name: str, continues: str
    ) -> Awaitable[int | None]:
        """Append the event and remember who is live."""

    def stream_ended(self, room: str, *, session: str, reason: str) -> Awaitable[int | None]:
        """Append the event if that session is the live one."""


class _Event(msgspec.Struct, frozen=True):
    name: str
    room: str
    session: str
    at: float
    append: Callable[[], Awaitable[int | None]]


class StreamEvents:
    """An ordered queue of events, and the one task that appends them."""

    def __init__(self, room_log: Log, worker_id: str, metrics: Metrics) -> None:
        self._log = room_log
        self._worker_id = worker_id
        self._metrics = metrics
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(MAX_WAITING)
        self._loop = asyncio.get_running_loop()

    def started(self, room: str, session: str, name: str, continues: str = "") -> None:
        """A stream is live; `continues` is the session in whose place it goes on, if it does."""
        append = self._log.stream_started
        self._put(
            "stream_started", room, session,
            lambda: append(room, session=session, worker=self._worker_id, name=name, continues=continues),
        )  # fmt: skip

    def ended(self, room: str, session: str, reason: str) -> None:
        """A stream that was live is over."""
        append = self._log.stream_ended
        self._put("stream_ended", room, session, lambda: append(room, session=session, reason=reason))

    async def run(self) -> None:
        """Append events until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._deliver(event)
            finally:
                self._queue.task_done()

    async def flush(self, timeout_s: float) -> None:
        """Wait until all events are appended, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            log.warning("stream_events_unsent", waiting=self._queue.qsize())

    def _put(self, name: str, room: str, session: str, append: Callable[[], Awaitable[int | None]]) -> None:
        log.info(name, room=room, session=session)
        try:
            self._queue.put_nowait(_Event(name, room, session, self._loop.time(), append))
        except asyncio.QueueFull:
            self._metrics.events_lost.inc()
            log.error("stream_event_lost", event_name=name, room=room, session=session, why="queue full")  # noqa: TRY400

    async def _deliver(self, event: _Event) -> None:
        wait = RETRY_S
        while True:
            try:
                await event.append()
            except (RedisError, OSError) as error:
                self._metrics.event_failures.inc()
                if self._loop.time() - event.at > MAX_AGE_S:
                    self._metrics.events_lost.inc()
                    log.error(  # noqa: TRY400 - the error is an outage, its trace says nothing
                        "stream_event_lost", event_name=event.name, room=event.room, session=event.session, why="age"
                    )
                    return
                log.warning("stream_event_delayed", event_name=event.name, room=event.room, error=str(error))
                await asyncio.sleep(wait)
                wait = min(_MAX_RETRY_S, wait * 2)
            else:
                return
