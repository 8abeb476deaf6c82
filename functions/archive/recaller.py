"""Brings back what MongoDB keeps of a room, its settings and its bans, when Redis has lost it.

Asked whenever this process begins to serve a room, and beside everything else: a room must open without MongoDB.
"""

import asyncio

from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from shared.state.archive import RoomArchive, recall
from shared.state.control import RoomControl
from shared.tasks import end

RETRY_S = 5.0
MAX_TRIES = 12

log = get_logger(__name__)


class Recaller:
    """One per process."""

    def __init__(self, redis: Redis, archive: RoomArchive) -> None:
        self._control = RoomControl(redis)
        self._archive = archive
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, room: str) -> None:
        """Bring the room's settings and bans back if they are missing; again until MongoDB answers."""
        if room not in self._tasks:
            task = asyncio.create_task(self._recall(room), name=f"recall-{room}")
            self._tasks[room] = task
            task.add_done_callback(lambda _: self._tasks.pop(room, None))

    async def stop(self) -> None:
        """Give up what is under way."""
        await end(*self._tasks.values())

    async def _recall(self, room: str) -> None:
        for _ in range(MAX_TRIES):
            try:
                if await recall(self._control, self._archive, room):
                    log.info("room_recalled", room=room)
            except (PyMongoError, RedisError, OSError) as error:
                log.warning("room_not_recalled", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            else:
                return
