"""Tells room sockets what a session gets, and that it is to go: gathered for a moment, the latest, a room at a time."""

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from sfu_fleet.metrics import Metrics
from shared.protocol.messages import QualityNotice
from shared.state.qualities import Leaving, Notice, Told

TICK_S = 0.25

Send = Callable[[str, list[Notice]], Awaitable[None]]


class QualityNews:
    """One per worker. What cannot be sent is dropped: it would be old by the time it could."""

    def __init__(self, send: Send, metrics: Metrics) -> None:
        self._send = send
        self._metrics = metrics
        self._rooms: dict[str, dict[tuple[str, type[Notice]], Notice]] = {}

    def tell(self, room: str, notice: QualityNotice) -> None:
        """A session's quality has changed."""
        self._rooms.setdefault(room, {})[notice.session, Told] = Told(notice)

    def leave(self, room: str, session: str, participant: str) -> None:
        """A session is to be replaced by one at another worker."""
        self._rooms.setdefault(room, {})[session, Leaving] = Leaving(session, participant)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            rooms, self._rooms = self._rooms, {}
            for room, notices in rooms.items():
                try:
                    await self._send(room, list(notices.values()))
                except (RedisError, OSError):
                    self._metrics.qualities_lost.inc(len(notices))
