"""The door of each room on this process: who waits outside, which moderators see them, and word of decisions."""

import asyncio
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from shared.protocol import messages as m
from shared.state.commands import Command, Decided, Displaced, Knocked, Reconfigured, Removed, send_command
from shared.state.presence import Seat
from shared.state.waiting import WaitingRoom

RECHECK_S = 5.0

log = get_logger(__name__)


class Socket(Protocol):
    """A connection, as the door sees it."""

    id: str
    seat: Seat | None

    def put(self, message: m.ServerMessage) -> None:
        """Send a message."""

    def displace(self) -> None:
        """Close: a newer connection of the same identity took this one's place."""

    def expel(self) -> None:
        """Close: this participant was banned."""

    def remove(self) -> None:
        """Close: the room is no more."""


class Door:
    """One per process."""

    def __init__(self, redis: Redis) -> None:
        self.waiting_room = WaitingRoom(redis)
        self._redis = redis
        self._moderators: dict[str, set[Socket]] = {}
        self._waiting: dict[str, dict[str, asyncio.Event]] = {}
        self._sockets: dict[str, Socket] = {}
        self._rooms: dict[str, str] = {}
        self._knocked: set[str] = set()
        # What each moderator was last shown, by connection: the same again is not sent.
        self._shown: dict[str, m.Knocks] = {}
        self._wake = asyncio.Event()

    def rooms(self) -> list[str]:
        """Rooms at whose door somebody waits here."""
        return list(self._waiting)

    def add(self, room: str, socket: Socket, *, moderates: bool) -> None:
        """A socket is in; a moderator is shown who waits."""
        self._sockets[socket.id] = socket
        self._rooms[socket.id] = room
        if moderates:
            self._moderators.setdefault(room, set()).add(socket)
            self._look(room)

    def remove(self, room: str, socket: Socket) -> None:
        """A socket has gone."""
        self._sockets.pop(socket.id, None)
        self._rooms.pop(socket.id, None)
        self._shown.pop(socket.id, None)
        moderators = self._moderators.get(room, set())
        moderators.discard(socket)
        if not moderators:
            self._moderators.pop(room, None)

    def wait(self, room: str, participant: str) -> asyncio.Event:
        """The event that is set when a decision about a participant may have been made."""
        return self._waiting.setdefault(room, {}).setdefault(participant, asyncio.Event())

    async def stop_waiting(self, room: str, participant: str, *, gone: bool) -> None:
        """A participant was let in or turned away, or, if `gone`, waits no more."""
        waiting = self._waiting.get(room, {})
        waiting.pop(participant, None)
        if not waiting:
            self._waiting.pop(room, None)
        if gone:
            try:
                await self.waiting_room.cancel(room, participant)
                await self.tell(room, Knocked())
            except (RedisError, OSError) as error:
                log.warning("knock_not_cancelled", error=type(error).__name__)

    async def tell(self, room: str, command: Command) -> None:
        """Send a command to every process that serves the room, this one included; missing it costs seconds only."""
        self.on_command(room, command)
        try:
            await send_command(self._redis, room, command)
        except (RedisError, OSError) as error:
            log.warning("command_not_sent", command=type(command).__name__, error=type(error).__name__)

    def on_command(self, room: str, command: Command) -> None:
        """Act on a command, from this process or another."""
        match command:
            case Knocked():
                self._look(room)
            case Decided():
                for participant in command.participants:
                    if event := self._waiting.get(room, {}).get(participant):
                        event.set()
                self._look(room)
            case Reconfigured():
                for event in self._waiting.get(room, {}).values():
                    event.set()
                self._look(room)
            case Displaced():
                if displaced := self._sockets.get(command.connection):
                    displaced.displace()

            case Removed():
                self.clear(room)

    def clear(self, room: str) -> None:
        """Close the sockets of a room that was deleted."""
        for socket in [s for s in self._sockets.values() if self._rooms.get(s.id) == room]:
            socket.remove()

    def on_ban(self, room: str, participant: str) -> None:
        """Close the sockets of somebody who was banned."""
        for socket in [s for s in self._sockets.values() if s.seat and s.seat.participant == participant]:
            if self._rooms.get(socket.id) == room:
                socket.expel()

    async def run(self) -> None:
        """Show moderators who waits, when that changes and every few seconds, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._wake.wait()
                rooms = self._knocked & self._moderators.keys()
            except TimeoutError:
                rooms = set(self._moderators)
            self._wake.clear()
            self._knocked.clear()
            for room in rooms:
                await self._show(room)

    def _look(self, room: str) -> None:
        if room in self._moderators:
            self._knocked.add(room)
            self._wake.set()

    async def _show(self, room: str) -> None:
        try:
            knocks = await self.waiting_room.knocks(room)
        except (RedisError, OSError) as error:
            log.warning("knocks_not_read", error=type(error).__name__)
            return
        message = m.Knocks([m.Knock(knock.participant, knock.name) for knock in knocks.first], knocks.total)
        for socket in tuple(self._moderators.get(room, ())):
            shown = self._shown.get(socket.id)
            if shown != message and (shown is not None or knocks.total):
                self._shown[socket.id] = message
                socket.put(message)
