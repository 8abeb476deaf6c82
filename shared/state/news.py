"""Which rooms have something to archive: found without a scan, shared between archivers, never forgotten.

A room is announced before anything is appended to a log that is at rest; the scripts refuse to append otherwise. An
archiver takes due rooms under a lease, and gives them back under the score that it took them with: an announcement
in between changed the score, and stands.
"""

import asyncio
from typing import NamedTuple

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from shared.state.keys import NEWS_SHARDS, news_key, news_key_of
from shared.state.scripts import load_script

LEASE_MS = 15_000


class Claim(NamedTuple):
    """A room that this archiver looks after until the lease ends."""

    room: str
    score: bytes


class News:
    """The announcements.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._announce = load_script(redis, "announce_news")
        self._claim = load_script(redis, "claim_news")
        self._release = load_script(redis, "release_news")

    async def announce(self, room: str) -> None:
        """Say that the room has something to archive, or will have in a moment."""
        await self._announce(keys=[news_key_of(room)], args=[room])

    async def claim(self, limit: int) -> list[Claim]:
        """Take up to `limit` due rooms of each shard.

        A shard that cannot be reached does not hold up the others: the error is raised only when none can be.
        """
        answers = await asyncio.gather(
            *(self._claim(keys=[news_key(shard)], args=[limit, LEASE_MS * 1000]) for shard in range(NEWS_SHARDS)),
            return_exceptions=True,
        )
        taken: list[list[bytes]] = []
        failed: list[BaseException] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                failed.append(answer)
            else:
                taken.append(answer)
        if not taken or any(not isinstance(error, RedisError | OSError) for error in failed):
            raise failed[0]
        return [Claim(room.decode(), score) for one in taken for room, score in zip(one[::2], one[1::2], strict=True)]

    async def release(self, claim: Claim, *, due_in_s: float | None) -> None:
        """Give a room back; None: there is nothing left to do. Does nothing when it was announced meanwhile."""
        due = "" if due_in_s is None else int(due_in_s * 1_000_000)
        await self._release(keys=[news_key_of(claim.room)], args=[claim.room, claim.score, due])
