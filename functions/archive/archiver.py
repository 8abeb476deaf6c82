"""Writes room logs into MongoDB, in bulk, beside whatever else the process does.

Any number of archivers share the work: each takes rooms that have news under a lease (`shared.state.news`), reads them
through one consumer group (`shared.state.archive_reader`), and writes under keys that make writing twice harmless
(`shared.state.archive`). One may be killed at any point, and so may MongoDB and Redis: what was not acknowledged is
read again, what was written twice is there once. While MongoDB is away the logs in Redis are not cut, up to
`Bounds.held` events a room.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable
from typing import TypeVar

from pymongo.errors import PyMongoError
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.archive.arrears import Arrears
from functions.webhooks.announcing import Announcer
from shared.protocol.messages import SettingsChanged, StreamEnded, StreamStarted, decode_event
from shared.state.archive import RoomArchive, is_event
from shared.state.archive_reader import BATCH_EVENTS, ArchiveReader
from shared.state.control import RoomControl, Settings
from shared.state.directory import RoomDirectory
from shared.state.log_script import Bounds
from shared.state.news import LEASE_MS, Claim, News
from shared.state.rooms import Entry

POLL_S = 0.5
ROOMS_PER_SHARD = 16
ROOMS_AT_ONCE = 8
# A room that had news is looked at again soon, a silent one ever more seldom.
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 8.0
RETRY_S = 1.0
# Well before the lease ends, so that a slow room is not taken by two.
BUDGET_S = LEASE_MS / 1000 / 3

T = TypeVar("T")

log = get_logger(__name__)


class Archiver:
    """One per process. `run` until cancelled."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        archive: RoomArchive,
        directory: RoomDirectory,
        announcer: Announcer,
        instance: str,
        bounds: Bounds | None = None,
    ) -> None:
        self._news = News(redis)
        self._reader = ArchiveReader(redis, f"{instance}:{secrets.token_hex(4)}", bounds)
        self._control = RoomControl(redis, bounds)
        self._archive = archive
        self._directory = directory
        self._announcer = announcer
        self._delays: dict[str, float] = {}
        self._arrears = Arrears()
        self._at_once = asyncio.Semaphore(ROOMS_AT_ONCE)

    async def run(self) -> None:
        """Archive for ever; what is away is waited for."""
        while True:
            busy = await self._guarded(self._pass(), False)
            await asyncio.sleep(0 if busy else POLL_S)

    async def _pass(self) -> bool:
        """Look after all rooms that are due; whether there may be more."""
        claims = await self._news.claim(ROOMS_PER_SHARD)
        await asyncio.gather(*(self._look_after(claim) for claim in claims))
        return len(claims) >= ROOMS_PER_SHARD

    async def _look_after(self, claim: Claim) -> None:
        async with self._at_once:
            due = await self._guarded(self._drain(claim.room), RETRY_S)
            await self._guarded(self._news.release(claim, due_in_s=due), None)

    async def _drain(self, room: str) -> float | None:
        """Archive all that a room has; when to look again, None when it may rest."""
        deadline = time.monotonic() + BUDGET_S
        written = 0
        # First, since what follows may fail for as long as MongoDB is away.
        if lost := await self._reader.lost(room):
            metrics.LOST.inc(lost)
            log.error("unarchived_events_lost", room=room, events=lost)
        while entries := await self._reader.read(room):
            started = time.perf_counter()
            self._arrears.add(room, entries[0][0])
            # First: who sees the event in the archive may take it that what it says is kept as well.
            settings = await self._settings_after(room, entries)
            await self._archive.write(room, await self._reader.epoch(room), entries)
            await self._follow_up(room, entries, settings)
            await self._reader.settled(room, entries)
            metrics.ARCHIVE_SECONDS.observe(time.perf_counter() - started)
            metrics.ARCHIVED.inc(len(entries))
            self._arrears.remove(room)
            written += len(entries)
            if len(entries) < BATCH_EVENTS:
                # What comes next goes together with what comes after it.
                break
            if time.monotonic() > deadline:
                return 0.0
        if written == 0 and await self._reader.rest(room):
            self._delays.pop(room, None)
            return None
        delay = FIRST_DELAY_S if written else min(2 * self._delays.get(room, FIRST_DELAY_S), LONGEST_DELAY_S)
        self._delays[room] = delay
        return delay

    async def _settings_after(self, room: str, entries: list[Entry]) -> Settings | None:
        """All settings, also those that the log does not tell, where one of the events is of a change."""
        if any(is_event(raw, SettingsChanged) for _, raw in entries):
            return await self._control.settings(room)
        return None

    async def _follow_up(self, room: str, entries: list[Entry], settings: Settings | None) -> None:
        """What events mean for the room itself, and for those who want to be told of them."""
        if settings is not None:
            await self._directory.note_settings(room, settings)
        for offset, raw in entries:
            if is_event(raw, StreamStarted) or is_event(raw, StreamEnded):
                event = decode_event(raw)
                session = event.session if isinstance(event, StreamStarted) else None
                await self._directory.note_stream(room, offset, session)
        await self._announcer.entries(room, entries)

    async def _guarded(self, work: Awaitable[T], otherwise: T) -> T:
        try:
            return await work
        except (RedisError, PyMongoError, OSError, TimeoutError) as error:
            metrics.ARCHIVE_ERRORS.labels("mongodb" if isinstance(error, PyMongoError) else "redis").inc()
            log.warning("archive_interrupted", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)
            return otherwise
