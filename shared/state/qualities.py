"""What viewers get at present, told by SFU workers to the function processes that have their sockets.

Over sharded pub/sub, like commands, and safe to miss: it is said again every few seconds.
"""

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.protocol.messages import QualityNotice
from shared.state.keys import room_keys

_decoder = msgspec.msgpack.Decoder(list[QualityNotice])


def quality_channel(room: str) -> str:
    """The channel of a room's notices; subscribe with SSUBSCRIBE."""
    return room_keys(room, "qualities")[0]


def decode_qualities(payload: bytes) -> list[QualityNotice]:
    """The notices; none where they are of a later version."""
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError:
        return []


async def send_qualities(redis: Redis | RedisCluster, room: str, notices: list[QualityNotice]) -> None:
    """Tell all processes that serve the room.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached in time.
    """
    await redis.execute_command("SPUBLISH", quality_channel(room), msgspec.msgpack.encode(notices))
