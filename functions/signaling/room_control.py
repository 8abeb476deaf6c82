"""What moderators do in a room: delete, silence, ban, change settings, open the door; and the list of who is there."""

from typing import TypeAlias

from redis.asyncio import Redis

from functions.signaling.attendance import AttendanceDesk
from functions.signaling.door import Door
from functions.signaling.text import clean_text
from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode, ProtocolError
from shared.security.tokens import Claims, Grant
from shared.state.commands import Decided, Reconfigured
from shared.state.control import Change, RoomControl, SettingsRefused

DEFAULT_TIME_OUT_S = 600

ControlMessage: TypeAlias = m.Moderate | m.Configure | m.Admit | m.People


class RoomDesk:
    """Carries out control requests. One per process."""

    def __init__(self, redis: Redis, door: Door, attendance: AttendanceDesk) -> None:
        self._control = RoomControl(redis)
        self._door = door
        self._attendance = attendance

    async def carry_out(self, room: str, claims: Claims, message: ControlMessage) -> m.ServerMessage:
        """Carry out a request; the answer to it.

        Raises:
            ProtocolError: FORBIDDEN without `moderate`, MALFORMED when a field that the action needs is missing.
            redis.exceptions.RedisError: whether it was done is not known; doing it again is harmless.
        """
        if isinstance(message, m.People):
            people = await self._attendance.attendance.people(room)
            sample = [m.Person(person.participant, person.name, person.role) for person in people.sample]
            return m.PeopleList(message.request, people.total, sample)
        if Grant.MODERATE not in claims.grants:
            problem = "the token does not grant moderate"
            raise ProtocolError(ErrorCode.FORBIDDEN, problem, reference=message.request)
        match message:
            case m.Moderate():
                await self._moderate(room, claims.sub, message)
            case m.Configure():
                await self._configure(room, message)
            case m.Admit():
                decide = self._door.waiting_room.admit if message.accept else self._door.waiting_room.reject
                await self._door.tell(room, Decided(await decide(room, message.participant)))
        return m.Done(message.request)

    async def _moderate(self, room: str, moderator: str, message: m.Moderate) -> None:
        def missing(field: str) -> ProtocolError:
            return ProtocolError(ErrorCode.MALFORMED, f"this action needs {field}", reference=message.request)

        if message.action == m.ModerationAction.DELETE:
            if message.offset is None:
                raise missing("an offset")
            await self._control.delete(room, message.offset)
            return
        participant = message.participant
        if participant is None:
            raise missing("a participant")
        if participant == moderator:
            raise ProtocolError(ErrorCode.FORBIDDEN, "not against yourself", reference=message.request)
        match message.action:
            case m.ModerationAction.TIME_OUT:
                await self._control.time_out(room, participant, message.seconds or DEFAULT_TIME_OUT_S)
            case m.ModerationAction.BAN:
                # The log tells every process, and the one that serves them closes.
                await self._control.ban(room, participant)
            case m.ModerationAction.LIFT:
                await self._control.lift(room, participant)
            case _:
                raise ProtocolError(
                    ErrorCode.MALFORMED, f"action {message.action} is not known", reference=message.request
                )

    async def _configure(self, room: str, message: m.Configure) -> None:
        change = Change(
            title=None if message.title is None else clean_text(message.title),
            category=None if message.category is None else clean_text(message.category),
            slow_mode_s=message.slow_mode_s,
            waiting_room=message.waiting_room,
            auto_accept=message.auto_accept,
            blocked_terms=message.blocked_terms,
        )
        try:
            await self._control.configure(room, change)
        except SettingsRefused as error:
            raise ProtocolError(ErrorCode.MALFORMED, str(error), reference=message.request) from None
        if message.waiting_room is not None or message.auto_accept is not None:
            await self._door.tell(room, Reconfigured())
