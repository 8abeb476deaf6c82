"""Empties a worker without anybody's noticing: people are told to make another session beside the present one.

Publishers first, since all others follow them; viewers at a measured pace, so that the rest of the fleet is not
stampeded. The same for an operator's drain, a deployment, scale-in and the end of the host. What is left at the
deadline is ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from structlog import get_logger

from sfu_fleet.cascade.feed import Feed
from sfu_fleet.cascade.pull import Pull
from sfu_fleet.metrics import Metrics
from sfu_fleet.publisher import Publisher
from sfu_fleet.rooms import Rooms
from sfu_fleet.session import Session, State
from sfu_fleet.subscriber import Subscriber

TICK_S: Final = 0.1
# A word may get lost, and another worker may have had no room: it is said again.
AGAIN_S: Final = 4.0

log = get_logger(__name__)

Phase = Literal["serving", "draining", "drained"]


class Progress(msgspec.Struct, frozen=True):
    """How far a drain is: `told` counts who was asked to go, `left` who is still here, `ended` whom we ended."""

    phase: Phase
    reason: str = ""
    elapsed_s: float = 0.0
    deadline_s: float = 0.0
    told: int = 0
    ended: int = 0
    left: dict[str, int] = {}


class Drain:
    """One per worker. `tell` sends word to whose session it is; `elsewhere` says whether another worker takes any."""

    def __init__(
        self,
        rooms: Rooms,
        tell: Callable[[str, str, str], None],
        elsewhere: Callable[[], Awaitable[bool]],
        metrics: Metrics,
        *,
        moves_per_s: float,
        deadline_s: float,
    ) -> None:
        self._rooms = rooms
        self._tell = tell
        self._elsewhere = elsewhere
        self._metrics = metrics
        self._moves_per_s = moves_per_s
        self._deadline_s = deadline_s
        self._clock = asyncio.get_running_loop().time
        self._task: asyncio.Task[None] | None = None
        self._reason = ""
        self._began = 0.0
        self._told_at: dict[str, float] = {}
        self._told = 0
        self._ended = 0

    @property
    def progress(self) -> Progress:
        """How far it is."""
        if self._task is None:
            return Progress("serving", left=self._rooms.counts())
        return Progress(
            "drained" if self._task.done() else "draining",
            self._reason,
            round(self._clock() - self._began, 1),
            self._deadline_s,
            self._told,
            self._ended,
            self._rooms.counts(),
        )

    def start(self, reason: str) -> None:
        """Take nothing new, and move everybody away."""
        if self._task is not None:
            return
        log.info("draining", reason=reason, **self._rooms.counts())
        self._rooms.draining = True
        self._metrics.draining.set(1)
        self._reason, self._began = reason, self._clock()
        self._told_at.clear()
        self._told = self._ended = 0
        self._task = asyncio.get_running_loop().create_task(self._run(), name="drain")

    def cancel(self) -> None:
        """Take sessions again; who has gone has gone."""
        if self._task is None:
            return
        self._task.cancel()
        self._task = None
        self._rooms.draining = False
        self._metrics.draining.set(0)
        for room in self._rooms.rooms():
            for feed in room.feeds.values():
                feed.leaving = feed.source is room.publisher and room.origin is None
        log.info("drain_cancelled", told=self._told, **self._rooms.counts())

    async def wait(self) -> None:
        """Until it is done. A drain that was not started is."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def move(self, session_id: str) -> bool:
        """Have one session moved, by itself; whether it is here and can be."""
        session = next((found for found in self._rooms.sessions() if found.id == session_id), None)
        if not isinstance(session, Publisher | Subscriber):
            return False
        self._ask(session)
        return True

    async def _run(self) -> None:
        if await self._can_move():
            budget = 0.0
            while self._left() and self._clock() - self._began < self._deadline_s:
                budget = min(self._moves_per_s, budget + self._moves_per_s * TICK_S)
                budget -= self._step(int(budget))
                await asyncio.sleep(TICK_S)
        left = self._left()
        self._ended = len(left)
        await self._rooms.drain()
        log.info("drained", reason=self._reason, told=self._told, ended=self._ended)

    async def _can_move(self) -> bool:
        try:
            return bool(self._left()) and await self._elsewhere()
        except ConnectionError:
            return False

    def _left(self) -> list[Session]:
        return [session for session in self._rooms.sessions() if not isinstance(session, Pull)]

    def _step(self, viewers: int) -> int:
        """Tell those whose turn it is; how many viewers that were."""
        now, spent = self._clock(), 0
        for session in self._rooms.sessions():
            if isinstance(session, Feed):
                # Edges of a publisher here go over when that is elsewhere; those of an edge need only another parent.
                session.leaving = session.leaving or isinstance(session.source, Pull)
            elif now - self._told_at.get(session.id, float("-inf")) < AGAIN_S or session.state is not State.CONNECTED:
                continue
            elif isinstance(session, Publisher):
                if session.superseded_at is None:
                    self._ask(session)
            elif isinstance(session, Subscriber) and spent < viewers:
                self._ask(session)
                spent += 1
        return spent

    def _ask(self, session: Session) -> None:
        if session.id not in self._told_at:
            self._told += 1
            self._metrics.moves.labels(session.kind).inc()
        self._told_at[session.id] = self._clock()
        self._tell(session.room, session.id, session.identity.participant)
