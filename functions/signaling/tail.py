"""One blocking read that follows the logs of all rooms that a process serves.

A lost connection costs latency, never events: each log is read on from the last offset that was seen.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from shared.state.rooms import Entry, log_key, room_of

BLOCK_MS = 2000
BATCH_EVENTS = 500
RETRY_S = 0.2
INTERRUPT_RETRY_S = 0.003
# A busy process reads what has come in so long together; an idle one reads at once.
TICK_S = 0.004

# What the next read finds must be there before the room that is busiest sends again.
LEAD_S = 0.004

Deliver = Callable[[str, Sequence[Entry]], float]
"""Given a room and new entries, returns in how many seconds that room will send more."""

log = get_logger(__name__)


class Tail:
    """Reads on behalf of the hub; `deliver` gets (room, entries), oldest first, each entry once."""

    def __init__(self, redis_url: str, control: Redis, deliver: Deliver) -> None:
        self._redis_url = redis_url
        self._control = control
        self._deliver = deliver
        self._offsets: dict[str, int] = {}
        # A change of the set of rooms must reach a read that is under way: it is read again when `_wanted` is ahead of
        # `_reading`.
        self._wanted = 0
        self._reading = 0
        self._changed = asyncio.Event()
        self._occupied = asyncio.Event()
        self._client_id = 0
        # How often the connection was lost: what was read before may not be what the server has now.
        self.interruptions = 0

    def follow(self, room: str, offset: int) -> None:
        """Read the room's log from after `offset` on."""
        self._offsets[room] = offset
        self._occupied.set()
        self._change()

    def forget(self, room: str) -> None:
        """Stop reading the room's log."""
        self._offsets.pop(room, None)
        self._change()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_for_ever(), name="tail-read")
            tasks.create_task(self._interrupt_for_ever(), name="tail-interrupt")

    def _change(self) -> None:
        self._wanted += 1
        self._changed.set()

    async def _read_for_ever(self) -> None:
        while True:
            # Its own connection, since a blocking read keeps it to itself; no retries, so that a reconnect is seen here
            # and the connection's new id is learnt.
            redis = Redis.from_url(
                self._redis_url,
                protocol=3,
                single_connection_client=True,
                socket_connect_timeout=2.0,
                socket_timeout=BLOCK_MS / 1000 + 3.0,
                socket_keepalive=True,
                retry=None,
            )
            try:
                self._client_id = await redis.client_id()
                while True:
                    began = time.perf_counter()
                    pause_s = await self._read_once(redis)
                    await asyncio.sleep(max(pause_s - LEAD_S, TICK_S - (time.perf_counter() - began), 0.0))
            except (RedisError, OSError, TimeoutError) as error:
                self.interruptions += 1
                metrics.TAIL_ERRORS.inc()
                log.warning("tail_interrupted", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            finally:
                self._client_id = 0
                await redis.aclose()

    async def _read_once(self, redis: Redis) -> float:
        self._reading = self._wanted
        if not self._offsets:
            self._occupied.clear()
            await self._occupied.wait()
            return 0.0
        streams: dict[Any, Any] = {log_key(room): f"{offset}-0" for room, offset in self._offsets.items()}
        found: Any = await redis.xread(streams, count=BATCH_EVENTS, block=BLOCK_MS) or {}
        pauses_s: list[float] = []
        for key, chunks in found.items():
            room = room_of(key)
            last = self._offsets.get(room)
            entries = [
                (int(entry_id.split(b"-", 1)[0]), fields[b"e"]) for chunk in chunks for entry_id, fields in chunk
            ]
            # The room may have been left, or left and joined again at a later offset, during the read.
            fresh = [entry for entry in entries if last is not None and entry[0] > last]
            if fresh:
                self._offsets[room] = fresh[-1][0]
                pauses_s.append(self._deliver(room, fresh))
        return min(pauses_s, default=0.0)

    async def _interrupt_for_ever(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            # The read may be just about to begin when it is interrupted in vain: ask until it has begun anew.
            while self._reading < self._wanted:
                if self._client_id:
                    try:
                        await self._control.client_unblock(self._client_id)
                    except RedisError as error:
                        log.warning("tail_not_interrupted", error=type(error).__name__)
                await asyncio.sleep(INTERRUPT_RETRY_S)
