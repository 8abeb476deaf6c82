"""Moves what other processes noticed from Redis to where it is kept: samples of audiences, and rooms that were full."""

import asyncio

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.webhooks.announcing import Announcer
from shared.state.audience import AudienceHistory
from shared.state.directory import RoomDirectory, Totals
from shared.state.notices import Notice, Notices, RoomFull, Sample, decode_notice

POLL_S = 1.0

log = get_logger(__name__)


class NoticeMover:
    """One per process, of which one moves at a time. `run` until cancelled."""

    def __init__(
        self, notices: Notices, history: AudienceHistory, directory: RoomDirectory, announcer: Announcer
    ) -> None:
        self._notices = notices
        self._history = history
        self._directory = directory
        self._announcer = announcer

    async def run(self) -> None:
        """Move for ever; what is away is waited for."""
        while True:
            busy = False
            try:
                busy = await self.move()
            except (RedisError, PyMongoError, OSError, TimeoutError) as error:
                metrics.ARCHIVE_ERRORS.labels("mongodb" if isinstance(error, PyMongoError) else "redis").inc()
                log.warning("notices_not_moved", error=type(error).__name__)
            await asyncio.sleep(0 if busy else POLL_S)

    async def move(self) -> bool:
        """Move a batch; whether there was one."""
        taken = await self._notices.take()
        notices: list[Notice] = [notice for raw in taken if (notice := decode_notice(raw))]
        samples = [notice for notice in notices if isinstance(notice, Sample)]
        await self._history.note(samples)
        newest = {sample.room: sample for sample in sorted(samples, key=lambda sample: sample.slot)}
        for sample in newest.values():
            totals = Totals(sample.peak, sample.visitors, sample.messages, sample.watch_s)
            await self._directory.note_audience(sample.room, sample.viewers, totals)
        for notice in notices:
            if isinstance(notice, RoomFull):
                await self._announcer.room_full(notice)
        await self._notices.settle(taken)
        return bool(taken)
