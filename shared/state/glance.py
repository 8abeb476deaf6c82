"""What Redis knows of a room that somebody looks at from outside, in one round trip."""

from typing import NamedTuple

from redis.asyncio import Redis, RedisCluster

from shared.state.control import Settings, parsed_settings
from shared.state.keys import room_keys


class Glance(NamedTuple):
    """Whether a room is live, since which offset of its log (µs since 1970, or 0), who watches, and its settings."""

    session: str
    offset: int
    viewers: int
    settings: Settings


async def glance(redis: Redis | RedisCluster, room: str) -> Glance:
    """Look at a room.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached in time.
    """
    live, viewers, settings = room_keys(room, "live", "viewers", "settings")
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.hmget(live, ["session", "offset"])
        pipeline.hlen(viewers)
        pipeline.hgetall(settings)
        (session, offset), watching, fields = await pipeline.execute()
    return Glance(session.decode() if session else "", int(offset or 0), int(watching), parsed_settings(fields))
