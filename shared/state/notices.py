"""What processes that serve rooms have for the archive beside the log: samples of audiences, and rooms that were full.

They wait in one bounded list in Redis, so that who serves sockets needs no MongoDB, and an outage of it costs delay.
What the archive does with a notice is harmless when it is done twice.
"""

import time

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.state.scripts import load_script

MAX_WAITING = 200_000
BATCH = 500
LEASE_MS = 10_000
FULL_INTERVAL_S = 600

_WAITING, _LEASE = "{notices}:waiting", "{notices}:lease"


class _Notice(msgspec.Struct, frozen=True, array_like=True):
    """One MessagePack array."""


class Sample(_Notice, frozen=True, tag=1):
    """A room's audience in a slot of `audience.SLOT_S` seconds, numbered since 1970.

    `qualities` are of the slot `qualities_slot`: height of the picture in lines (0: none) → viewers that get it.
    """

    room: str
    slot: int
    viewers: int
    peak: int
    visitors: int
    messages: int
    watch_s: int
    qualities_slot: int
    qualities: dict[int, int]


class RoomFull(_Notice, frozen=True, tag=2):
    """Somebody was turned away because the room is full; told once in a while."""

    room: str
    at_ms: int
    capacity: int


Notice = Sample | RoomFull

_decoder: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


class Notices:
    """The list. Every method raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(self, redis: Redis | RedisCluster, instance: str) -> None:
        self._redis = redis
        self._instance = instance
        self._push = load_script(redis, "push_notice")
        self._take = load_script(redis, "take_notices")
        self._settle = load_script(redis, "settle_notices")

    async def push(self, *notices: Notice) -> int:
        """Add some; how many old ones were dropped for it."""
        if not notices:
            return 0
        args: list[str | bytes | float] = [MAX_WAITING, *map(msgspec.msgpack.encode, notices)]
        return int(await self._push(keys=[_WAITING], args=args))

    async def room_full(self, room: str, capacity: int) -> None:
        """Somebody was turned away; said once in `FULL_INTERVAL_S` for each room."""
        if await self._redis.set(f"{{notices}}:full:{room}", "1", nx=True, ex=FULL_INTERVAL_S):
            await self.push(RoomFull(room, int(time.time() * 1000), capacity))

    async def take(self) -> list[bytes]:
        """The oldest that wait, at most `BATCH`; none when another process moves them. Call `settle` with them next."""
        found = await self._take(keys=[_WAITING, _LEASE], args=[self._instance, LEASE_MS, BATCH])
        return list(found)

    async def settle(self, taken: list[bytes]) -> None:
        """They are where they belong."""
        if taken:
            await self._settle(keys=[_WAITING, _LEASE], args=[self._instance, len(taken), taken[0]])


def decode_notice(raw: bytes) -> Notice | None:
    """The notice, or None for one of a later version."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError:
        return None
