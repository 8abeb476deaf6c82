"""Reactions, typing and viewers' own figures: aggregated before they leave a process, and again before a socket.

However many people react, a room gets a handful of frames a second. All of it may be lost; what is lost is not missed.
"""

import asyncio
from collections import Counter
from typing import Literal, TypeAlias

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from functions import metrics
from functions.signaling.backlog import Priority
from functions.signaling.bus import ephemeral_channel
from functions.signaling.hub import Hub
from shared.protocol import messages as m
from shared.protocol.fields import MAX_TYPING_NAMES

# Two ticks, one before the bus and one behind it, stay below the 250 ms that are promised.
TICK_S = 0.1
TYPING_S = 4.0
MAX_KINDS = 16
REACTIONS, TYPING = 3, 4
"""What ephemeral frames are conflated by; see `attendance` for the others."""


class _Reacted(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Reactions of a process' sockets since its last tick."""

    counts: dict[str, int]


class _Typed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """People of a process who type: participant → name."""

    people: dict[str, str]


_Heard: TypeAlias = _Reacted | _Typed
_decoder: msgspec.msgpack.Decoder[_Heard] = msgspec.msgpack.Decoder(_Heard)


class _RoomTraffic:
    """What waits to be told, and who types: participant → (name, until when in loop time)."""

    def __init__(self) -> None:
        self.reacted: Counter[str] = Counter()
        self.typed: dict[str, str] = {}
        self.to_show: Counter[str] = Counter()
        self.typing: dict[str, tuple[str, float]] = {}
        self.typing_shown: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        return not (self.reacted or self.typed or self.to_show or self.typing or self.typing_shown)


class Ephemeral:
    """One per process."""

    def __init__(self, redis: Redis, hub: Hub) -> None:
        self._redis = redis
        self._hub = hub
        self._rooms: dict[str, _RoomTraffic] = {}

    def react(self, room: str, reaction: str, count: int) -> None:
        """Somebody reacted."""
        reacted = self._room(room).reacted
        if reaction in reacted or len(reacted) < MAX_KINDS:
            reacted[reaction] += count

    def type(self, room: str, participant: str, name: str) -> None:
        """Somebody is typing."""
        self._room(room).typed[participant] = name

    def on_ephemeral(self, room: str, data: bytes) -> None:
        """Something came over the bus, our own included."""
        try:
            heard = _decoder.decode(data)
        except msgspec.DecodeError:
            return  # of a later version
        traffic = self._room(room)
        if isinstance(heard, _Reacted):
            traffic.to_show.update(heard.counts)
        else:
            until = asyncio.get_running_loop().time() + TYPING_S
            for participant, name in heard.people.items():
                traffic.typing[participant] = (name, until)

    async def run(self) -> None:
        """Tell and show until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = asyncio.get_running_loop().time()
            for room, traffic in list(self._rooms.items()):
                self._show(room, traffic, now)
                await self._tell(room, traffic)
                if traffic.idle:
                    del self._rooms[room]

    def _room(self, room: str) -> _RoomTraffic:
        return self._rooms.setdefault(room, _RoomTraffic())

    async def _tell(self, room: str, traffic: _RoomTraffic) -> None:
        news: list[_Heard] = []
        if traffic.reacted:
            news.append(_Reacted(dict(traffic.reacted)))
            traffic.reacted.clear()
        if traffic.typed:
            news.append(_Typed(dict(traffic.typed)))
            traffic.typed.clear()
        for item in news:
            command: tuple[Literal["SPUBLISH"], str, bytes] = (
                "SPUBLISH",
                ephemeral_channel(room),
                msgspec.msgpack.encode(item),
            )
            try:
                await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            except (RedisError, OSError):
                metrics.BUS_ERRORS.inc()

    def _show(self, room: str, traffic: _RoomTraffic, now: float) -> None:
        if traffic.to_show:
            counts = [m.ReactionCount(name, count) for name, count in traffic.to_show.most_common(MAX_KINDS)]
            traffic.to_show.clear()
            self._hub.broadcast(room, m.Reactions(counts), Priority.EPHEMERAL, REACTIONS)
        for participant in [who for who, (_, until) in traffic.typing.items() if until < now]:
            del traffic.typing[participant]
        if traffic.typing or traffic.typing_shown:
            typing = tuple(sorted(traffic.typing))
            if typing != traffic.typing_shown:
                traffic.typing_shown = typing
                names = [traffic.typing[who][0] for who in typing[:MAX_TYPING_NAMES]]
                self._hub.broadcast(room, m.TypingNotice(names, len(typing)), Priority.EPHEMERAL, TYPING)
