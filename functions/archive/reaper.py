"""Ends streams whose worker is gone and has not come back: a worker that was killed cannot say so itself.

A publisher that is still there makes a new session elsewhere within seconds, which ends the old one. This is for those
who went with their worker, or do not come back: else their rooms would be listed as live for ever.
"""

import asyncio
import time

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from shared.state.directory import RoomDirectory
from shared.state.fleet import Fleet
from shared.state.rooms import RoomLog

POLL_S = 10.0
PATIENCE_S = 30.0
ROOMS_AT_ONCE = 5000

log = get_logger(__name__)


class Reaper:
    """One per process. `run` until cancelled."""

    def __init__(
        self, directory: RoomDirectory, room_log: RoomLog, fleet: Fleet, patience_s: float = PATIENCE_S
    ) -> None:
        self._directory = directory
        self._log = room_log
        self._fleet = fleet
        self._patience_s = patience_s
        # Session → when its worker was first seen to be away.
        self._orphans: dict[str, float] = {}

    async def run(self) -> None:
        """Look for ever; what is away is waited for."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
            except (RedisError, PyMongoError, OSError, TimeoutError) as error:
                metrics.ARCHIVE_ERRORS.labels("mongodb" if isinstance(error, PyMongoError) else "redis").inc()
                log.warning("streams_not_looked_after", error=type(error).__name__)

    async def look(self) -> int:
        """End the streams that have been without a worker for long enough; how many there were."""
        workers = {worker.id for worker in await self._fleet.workers()}
        if not workers:
            # All at once is an outage of the registry, or of everything: nothing is known of any stream.
            self._orphans.clear()
            return 0
        streams = await self._directory.live_streams(ROOMS_AT_ONCE)
        now = time.monotonic()
        orphans = {session: room for room, session in streams if session.partition("-")[0] not in workers}
        self._orphans = {session: self._orphans.get(session, now) for session in orphans}
        due = [session for session, since in self._orphans.items() if now - since >= self._patience_s]
        ended = 0
        for session in due:
            if await self._log.stream_ended(orphans[session], session=session, reason="lost") is not None:
                log.info("stream_without_worker_ended", room=orphans[session])
                ended += 1
        return ended
