"""The waiting room: who is at the door, and decisions about them. Entering itself is `presence.Attendance.enter`.

Knocks lapse unless renewed, so people who went away, or whose process died, disappear by themselves. Approvals are
remembered for as long as the room has state in Redis.
"""

from typing import Any, NamedTuple

from redis.asyncio import Redis, RedisCluster

from shared.state.keys import room_keys
from shared.state.log_script import LIFETIME_S
from shared.state.scripts import load_script

REJECTION_MS = 5 * 60 * 1000
SAMPLE = 100


class Knock(NamedTuple):
    """Somebody who waits."""

    participant: str
    name: str


class Knocks(NamedTuple):
    """How many wait, and those who have waited longest."""

    total: int
    first: list[Knock]


class WaitingRoom:
    """Decisions about those who wait.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis
        self._decide = load_script(redis, "decide")

    async def admit(self, room: str, participant: str | None = None) -> list[str]:
        """Let somebody in, or everybody who waits; the participants that this was about. Tell them by a command."""
        return await self._decided(room, participant, "accept")

    async def reject(self, room: str, participant: str | None = None) -> list[str]:
        """Turn somebody away for `REJECTION_MS`, or everybody who waits; the participants that this was about."""
        return await self._decided(room, participant, "reject")

    async def cancel(self, room: str, participant: str) -> None:
        """The participant went away and waits no more."""
        await self._decided(room, participant, "cancel")

    async def knocks(self, room: str, limit: int = SAMPLE) -> Knocks:
        """Who waits, first come first."""
        waiting, names = room_keys(room, "waiting", "knocks")
        total = int(await self._redis.zcard(waiting))
        members: list[Any] = await self._redis.zrange(waiting, 0, limit - 1) if total else []
        first = [member.decode() for member in members]
        if not first:
            return Knocks(0, [])
        found: list[Any] = await self._redis.hmget(names, first)
        return Knocks(
            total, [Knock(who, name.decode()) for who, name in zip(first, found, strict=True) if name is not None]
        )

    async def _decided(self, room: str, participant: str | None, decision: str) -> list[str]:
        names = ("waiting", "lapses", "knocks", "approved", "rejected")
        chosen = await self._decide(
            keys=room_keys(room, *names), args=[participant or "", decision, REJECTION_MS, LIFETIME_S]
        )
        return [member.decode() for member in chosen]
