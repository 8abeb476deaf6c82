"""The way into a room: limits, then the seat, with the waiting room in between where there is one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from functions.signaling.attendance import AttendanceDesk
from functions.signaling.door import RECHECK_S, Door
from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode
from shared.state.commands import Displaced, Knocked
from shared.state.limits import Admission, Holder, Limits
from shared.state.notices import Notices
from shared.state.presence import CAPACITY, Entrance, Seat


class Turned(Exception):  # noqa: N818 - turned away is not a fault of ours
    """There is no way in: what to say, and what to close with."""

    def __init__(
        self,
        code: ErrorCode,
        problem: str,
        close: CloseCode = CloseCode.FORBIDDEN,
        *,
        retry_after_ms: int | None = None,
        limit: str = "",
    ) -> None:
        """`limit` is which of `signaling.LIMITS` it was, '' when it was none."""
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.close = close
        self.retry_after_ms = retry_after_ms
        self.limit = limit


class Guest(Protocol):
    """The connection that wants in."""

    def put(self, message: m.ServerMessage) -> None:
        """Send a message."""

    async def idle(self, woken: Awaitable[object]) -> None:
        """Serve what may be said while waiting, until `woken` is done; raises when the peer goes."""


class Reception:
    """Lets connections in. One per process. Every method raises `redis.exceptions.RedisError` when Redis is away."""

    def __init__(self, limits: Limits, desk: AttendanceDesk, door: Door, notices: Notices) -> None:
        self._notices = notices
        self.limits = limits
        self._desk = desk
        self._door = door

    async def come_from(self, address: str) -> None:
        """Count a connection against its address' limits; '' is not known and not limited.

        Raises:
            Turned: too many come from there, or it is backed off.
        """
        if address:
            admitted = await self.limits.admit_address(address)
            if admitted.outcome is not Admission.OPEN:
                retry = admitted.retry_after_ms or None
                problem = "too much comes from this network address"
                limit = "backed_off" if admitted.outcome is Admission.BACKED_OFF else "address_joins"
                raise Turned(ErrorCode.BACKED_OFF, problem, CloseCode.TOO_MANY, retry_after_ms=retry, limit=limit)

    async def open(self, room: str, holder: Holder, connection: str, *, resumes: bool) -> None:
        """Count the connection against its identity's limits.

        Raises:
            Turned: there are too many, they come too fast, or the identity is backed off.
        """
        admitted = await self.limits.open(holder, connection, resumes=resumes)
        retry = admitted.retry_after_ms or None
        match admitted.outcome:
            case Admission.OPEN:
                if admitted.displaced:
                    await self._door.tell(room, Displaced(admitted.displaced))
            case Admission.TOO_MANY:
                problem = "too many connections of this identity"
                raise Turned(ErrorCode.TOO_MANY_CONNECTIONS, problem, CloseCode.TOO_MANY, limit="connections")
            case Admission.TOO_FAST:
                problem, limit = "joining too fast", "identity_joins"
                raise Turned(ErrorCode.RATE_LIMITED, problem, CloseCode.TOO_MANY, retry_after_ms=retry, limit=limit)
            case Admission.BACKED_OFF:
                problem, limit = "come back later", "backed_off"
                raise Turned(ErrorCode.BACKED_OFF, problem, CloseCode.TOO_MANY, retry_after_ms=retry, limit=limit)

    async def seat(self, room: str, seat: Seat, guest: Guest, on_waiting: Callable[[], None]) -> int:
        """Wait until there is a place; how many viewers there are then. `on_waiting` is called once if it takes time.

        Raises:
            Turned: banned, rejected, or the room is full or was deleted.
        """
        position = 0
        try:
            while True:
                decided = self._door.wait(room, seat.participant)
                decided.clear()
                outcome, value = await self._desk.enter(room, seat)
                if outcome is Entrance.SEATED:
                    await self._door.stop_waiting(room, seat.participant, gone=False)
                    return value
                if outcome is Entrance.FULL:
                    await self._notices.room_full(room, CAPACITY)
                _refuse(outcome, value)
                if position == 0:
                    on_waiting()
                if outcome is Entrance.KNOCKED:
                    await self._door.tell(room, Knocked())
                if value != position:
                    position = value
                    guest.put(m.Waiting(position))
                await guest.idle(asyncio.wait_for(decided.wait(), RECHECK_S))
        except BaseException:
            await self._door.stop_waiting(room, seat.participant, gone=position > 0)
            raise


def _refuse(outcome: Entrance, value: int) -> None:
    match outcome:
        case Entrance.BANNED:
            raise Turned(ErrorCode.BANNED, "you may not enter this room")
        case Entrance.REJECTED:
            raise Turned(ErrorCode.FORBIDDEN, "you were not let in", retry_after_ms=value)
        case Entrance.FULL:
            problem = f"the room is full: {CAPACITY} viewers"
            raise Turned(ErrorCode.ROOM_FULL, problem, CloseCode.TOO_MANY, limit="room_full")
        case Entrance.REMOVED:
            raise Turned(ErrorCode.ROOM_UNKNOWN, "the room was deleted", CloseCode.ROOM_UNKNOWN)
