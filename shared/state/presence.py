"""Who is in a room: admission, exact counts over all processes, and a sample of the people.

A seat belongs to a participant, however many connections they have, so counts are of people. Each process holds a lease
on the seats of its connections; a process that dies takes them along within `LEASE_MS`. Whoever comes back through
another process before that finds their own seat, also when the room is full.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.state.keys import room_keys
from shared.state.log_script import LIFETIME_S
from shared.state.scripts import load_script

CAPACITY = 1500
LEASE_MS = 6000
KNOCK_LAPSE_MS = 15_000
SAMPLE = 50

_SEATS = ("viewers", "hosts", "leases", "held", "info")


class Seat(NamedTuple):
    """A connection that wants in, or is in.

    `watches`: it counts as a viewer and towards the capacity. `moderates`: bans and the waiting room do not apply.
    """

    connection: str
    participant: str
    name: str
    role: str
    watches: bool
    moderates: bool = False


class Entrance(IntEnum):
    """What became of a wish to enter."""

    SEATED = 0
    WAITING = 1
    BANNED = 2
    REJECTED = 3
    FULL = 4
    KNOCKED = 5
    REMOVED = 6


class Entered(NamedTuple):
    """`value` is for SEATED the viewers, for WAITING and KNOCKED (the first time) the position from 1 on.

    For BANNED it is 0 (bans are for good), for REJECTED the ms until one may knock again, else 0.
    """

    outcome: Entrance
    value: int


class Audience(NamedTuple):
    """A room's figures. `visitors` is everybody ever (a HyperLogLog: 0.8 % off, 12 KiB at most), `messages` as well."""

    viewers: int
    peak: int
    visitors: int
    waiting: int
    messages: int
    epoch: str
    offset: int
    connections: int
    """At all processes."""
    removed: bool = False
    """The room was deleted: whoever is in it has to go."""


class Person(NamedTuple):
    """Somebody in a room."""

    participant: str
    name: str
    role: str


class People(NamedTuple):
    """How many people are in a room, and some of them: those who run it first, then viewers at random."""

    total: int
    sample: list[Person]


class Attendance:
    """The seats of this process's connections. One per process; `instance` must be new at each start.

    Methods on one room wait for each other, so that what this process says of a room is never older than what it said
    before. Every async method raises `redis.exceptions.RedisError` when the server cannot be reached in time.
    """

    def __init__(self, redis: Redis | RedisCluster, instance: str, *, capacity: int = CAPACITY) -> None:
        self._redis = redis
        self._instance = instance
        self._capacity = capacity
        self._enter = load_script(redis, "enter", "seats")
        self._refresh = load_script(redis, "refresh", "seats")
        self._people = load_script(redis, "people")
        self._rooms: dict[str, _Room] = {}

    async def enter(self, room: str, seat: Seat) -> Entered:
        """Let a connection in, atomically over all processes: ban, waiting room, capacity.

        For a connection that waits, call it again every few seconds, and when told of a decision: a knock lapses after
        `KNOCK_LAPSE_MS`. Entering twice does no harm.
        """
        async with self._using(room) as state:
            names = (*_SEATS, "visitors", "settings", "bans", "approved", "waiting", "lapses", "knocks", "rejected")
            outcome, value = await self._enter(
                keys=room_keys(room, *names),
                args=[
                    *self._header(),
                    self._capacity,
                    KNOCK_LAPSE_MS,
                    seat.connection,
                    seat.participant,
                    seat.name,
                    seat.role,
                    int(seat.watches),
                    int(seat.moderates),
                ],
            )
            entered = Entered(Entrance(outcome), int(value))
            if entered.outcome is Entrance.SEATED:
                state.seats[seat.connection] = seat
                # Somebody new under an id that has just left: it stays.
                state.left.pop(seat.connection, None)
        return entered

    def leave(self, room: str, connection: str) -> None:
        """Give up a connection's seat; the others are told at the next `refresh`. A second time does nothing."""
        state = self._rooms.get(room)
        if state is not None and (seat := state.seats.pop(connection, None)):
            state.left[connection] = seat.participant

    async def refresh(self, room: str) -> Audience:
        """Renew the lease, hand in who left, learn the figures. Every 2 s per room, and soon after somebody left."""
        async with self._using(room) as state:
            leaving = dict(state.left)
            changes = [part for pair in leaving.items() for part in pair]
            answer = await self._report(room, "", len(state.seats), changes)
            if answer[0] == b"UNKNOWN":
                # The lease ended, Redis lost it, or an answer was lost: say all of it again.
                seats = list(state.seats.values())
                everything = [part for seat in seats for part in (*seat[:4], int(seat.watches))]
                leaving = dict(state.left)
                answer = await self._report(room, "1", len(seats), everything)
            for connection in leaving:
                state.left.pop(connection, None)
        viewers, peak, visitors, waiting, messages, epoch, offset, connections, removed = answer
        return Audience(
            viewers, peak, visitors, waiting, messages, epoch.decode(), int(offset), connections, removed == 1
        )

    async def people(self, room: str, limit: int = SAMPLE) -> People:
        """How many people are in the room, and a sample of them."""
        total, *flat = await self._people(keys=room_keys(room, "viewers", "hosts"), args=[limit])
        sample = []
        for participant, packed in zip(flat[::2], flat[1::2], strict=True):
            name, role, _ = msgspec.msgpack.decode(packed)
            sample.append(Person(participant.decode(), name, role))
        return People(int(total), sample)

    def rooms(self) -> list[str]:
        """Rooms in which this process has seats, or has to hand in that it no longer has any."""
        return list(self._rooms)

    async def _report(self, room: str, anew: str, connections: int, rest: Iterable[str | int]) -> list[Any]:
        names = (*_SEATS, "visitors", "waiting", "lapses", "knocks", "settings", "bans", "approved")
        answer = await self._refresh(keys=room_keys(room, *names), args=[*self._header(), anew, connections, *rest])
        return list(answer)

    def _header(self) -> list[str | int]:
        return [self._instance, LEASE_MS, LIFETIME_S]

    @asynccontextmanager
    async def _using(self, room: str) -> AsyncIterator["_Room"]:
        """The room's state, to oneself; forgotten when nobody uses it and nothing is in it."""
        state = self._rooms.setdefault(room, _Room())
        state.users += 1
        try:
            async with state.lock:
                yield state
        finally:
            state.users -= 1
            if not (state.users or state.seats or state.left):
                del self._rooms[room]


class _Room:
    """What this process knows of its seats in a room. `left`: connection → participant, not handed in yet."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.seats: dict[str, Seat] = {}
        self.left: dict[str, str] = {}


async def viewers_of(redis: Redis | RedisCluster, room: str) -> int:
    """How many viewers a room has; for those who have no seats there. Up to one lease behind when a process died."""
    (key,) = room_keys(room, "viewers")
    return int(await redis.hlen(key))


async def people_page(
    redis: Redis | RedisCluster, room: str, *, after: str = "", limit: int
) -> tuple[int, list[Person], str | None]:
    """How many people are in a room, a page of them in the order of their ids, and the id that the next is after."""
    keys = room_keys(room, "hosts", "viewers")
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hkeys(key)
        hosts, viewers = await pipeline.execute()
    # A room has no more than `CAPACITY` viewers, so all ids are few.
    wanted = sorted(who for who in {*hosts, *viewers} if who.decode() > after)[: limit + 1]
    page = wanted[:limit]
    if not page:
        return len({*hosts, *viewers}), [], None
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, [who.decode() for who in page])
        packed = await pipeline.execute()
    people = []
    for who, host, viewer in zip(page, *packed, strict=True):
        # Who left in between is left out.
        if (seat := host or viewer) is not None:
            name, role, _ = msgspec.msgpack.decode(seat)
            people.append(Person(who.decode(), name, role))
    return len({*hosts, *viewers}), people, page[-1].decode() if len(wanted) > limit else None


class Figures(NamedTuple):
    """What Redis counts of a room, for those who have no seats there."""

    peak: int
    visitors: int
    waiting: int
    messages: int
    watch_s: int


async def figures_of(redis: Redis | RedisCluster, room: str) -> Figures:
    """A room's figures."""
    info, visitors, waiting = room_keys(room, "info", "visitors", "waiting")
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.hmget(info, ["peak", "messages", "watch_s"])
        pipeline.pfcount(visitors)
        pipeline.zcard(waiting)
        (peak, messages, watch_s), ever, at_the_door = await pipeline.execute()
    return Figures(int(peak or 0), int(ever), int(at_the_door), int(messages or 0), int(watch_s or 0))
