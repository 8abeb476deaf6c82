"""What SFU workers tell people with a media session, by the function processes that have their sockets.

Over sharded pub/sub, like commands, and safe to miss: it is said again every few seconds.
"""

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.protocol.messages import QualityNotice
from shared.state.keys import room_keys


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag="leaving"):
    """A session's worker is about to go, and whose session it is: another one is to be made beside it."""

    session: str
    participant: str


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """What a viewer gets."""

    notice: QualityNotice


Notice = Told | Leaving

_decoder: msgspec.msgpack.Decoder[list[Notice]] = msgspec.msgpack.Decoder(list[Notice])


def quality_channel(room: str) -> str:
    """The channel of a room's notices; subscribe with SSUBSCRIBE."""
    return room_keys(room, "qualities")[0]


def decode_qualities(payload: bytes) -> list[Notice]:
    """The notices; none where they are of a later version."""
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError:
        return []


async def send_qualities(redis: Redis | RedisCluster, room: str, notices: list[Notice]) -> None:
    """Tell all processes that serve the room.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached in time.
    """
    await redis.execute_command("SPUBLISH", quality_channel(room), msgspec.msgpack.encode(notices))
