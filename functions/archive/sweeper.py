"""Deletes what belonged to rooms that were deleted, a piece at a time, by any number of processes at once."""

import asyncio

from pymongo.errors import PyMongoError
from structlog import get_logger

from functions import metrics
from shared.state.archive import RoomArchive
from shared.state.audience import AudienceHistory
from shared.state.directory import RoomDirectory

POLL_S = 15.0
EVENTS_AT_ONCE = 1000
ROOMS_AT_ONCE = 20

log = get_logger(__name__)


class Sweeper:
    """One per process. `run` until cancelled."""

    def __init__(self, directory: RoomDirectory, archive: RoomArchive, history: AudienceHistory) -> None:
        self._directory = directory
        self._archive = archive
        self._history = history

    async def run(self) -> None:
        """Sweep for ever; a MongoDB that is away is waited for."""
        while True:
            try:
                await self.sweep()
            except (PyMongoError, TimeoutError) as error:
                metrics.ARCHIVE_ERRORS.labels("mongodb").inc()
                log.warning("rooms_not_swept", error=type(error).__name__)
            await asyncio.sleep(POLL_S)

    async def sweep(self) -> int:
        """Sweep the rooms that are due; how many there were."""
        rooms = await self._directory.to_sweep(ROOMS_AT_ONCE)
        for room in rooms:
            left = True
            while left:
                left = await self._archive.sweep(room, EVENTS_AT_ONCE) == EVENTS_AT_ONCE
            await self._history.sweep(room)
            await self._directory.swept(room)
            log.info("room_swept", room=room)
        return len(rooms)
