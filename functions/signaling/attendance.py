"""Reports who this process serves, learns how many there are, and tells the rooms.

Redis holds the truth (`shared.state.presence`); here is only when to ask: every two seconds per room, and at once, but
not more than a few times a second, after somebody came or went.
"""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.signaling.backlog import Priority
from functions.signaling.hub import Hub
from shared.protocol.messages import Stats, Viewers
from shared.state.presence import Attendance, Audience, Entered, Seat

INTERVAL_S = 2.0
DEBOUNCE_S = 0.1

VIEWERS, STATS = 1, 2
"""What ephemeral frames are conflated by."""

log = get_logger(__name__)


class AttendanceDesk:
    """One per process."""

    def __init__(self, redis: Redis, hub: Hub, instance: str) -> None:
        self.attendance = Attendance(redis, instance)
        self._hub = hub
        self._audiences: dict[str, Audience] = {}
        self._changed: set[str] = set()
        self._due = asyncio.Event()
        self.on_removed: Callable[[str], None] = lambda _room: None

    async def enter(self, room: str, seat: Seat) -> Entered:
        """Let somebody in, or say why not.

        Raises:
            redis.exceptions.RedisError: nobody was let in; try again later.
        """
        entered = await self.attendance.enter(room, seat)
        self._note(room)
        return entered

    def leave(self, room: str, connection: str) -> None:
        """Somebody has gone."""
        self.attendance.leave(room, connection)
        self._note(room)

    def audience(self, room: str) -> Audience | None:
        """A room's figures as they were last seen."""
        return self._audiences.get(room)

    async def run(self) -> None:
        """Report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report_on_interval(), name="attendance")
            tasks.create_task(self._report_changes(), name="attendance-changes")

    async def hand_in(self) -> None:
        """Report everything once more, so that those who have gone are not counted until their lease ends."""
        for room in self.attendance.rooms():
            await self._report(room)

    def _note(self, room: str) -> None:
        self._changed.add(room)
        self._due.set()

    async def _report_on_interval(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            for room in self.attendance.rooms():
                await self._report(room)

    async def _report_changes(self) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self._due.clear()
            rooms, self._changed = self._changed, set()
            for room in rooms:
                await self._report(room)

    async def _report(self, room: str) -> None:
        try:
            audience = await self.attendance.refresh(room)
        except (RedisError, OSError) as error:
            metrics.PRESENCE_ERRORS.inc()
            log.warning("presence_not_reported", error=type(error).__name__)
            return
        if audience.removed:
            # Whoever missed the command hears of it here.
            self.on_removed(room)
        if not self._hub.members(room):
            self._audiences.pop(room, None)
            self._measure()
            return
        before = self._audiences.get(room)
        self._audiences[room] = audience
        self._measure()
        if before is None or before.viewers != audience.viewers:
            self._hub.broadcast(room, Viewers(audience.viewers), Priority.EPHEMERAL, VIEWERS)
        if before is None or before[1:5] != audience[1:5]:
            stats = Stats(0, 0, audience.peak, audience.visitors, audience.messages)
            self._hub.broadcast(room, stats, Priority.EPHEMERAL, STATS)

    def _measure(self) -> None:
        fullest = max((audience.connections for audience in self._audiences.values()), default=0)
        metrics.ROOM_CONNECTIONS_MAX.set(fullest)
