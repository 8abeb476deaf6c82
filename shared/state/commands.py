"""Commands from one function process to the others that serve a room: quick, and safe to miss.

Whatever a command says is in Redis before it is sent, and every receiver looks there on an interval as well. They go
over sharded pub/sub (Redis 7 and later, Valkey), so that on a cluster only a room's own shard carries them.
"""

from typing import TypeAlias

import msgspec
from redis.asyncio import Redis, RedisCluster


class _Command(msgspec.Struct, frozen=True, array_like=True):
    """One MessagePack array."""


class Knocked(_Command, frozen=True, tag=1):
    """The list of those who wait has changed: for the processes that serve moderators."""


class Decided(_Command, frozen=True, tag=2):
    """These participants were admitted or rejected: whoever has one of them waiting calls `enter` again."""

    participants: list[str]


class Displaced(_Command, frozen=True, tag=3):
    """This connection's place was taken by a newer one of the same identity: close it."""

    connection: str


class Reconfigured(_Command, frozen=True, tag=4):
    """The waiting room or its auto-accept switch changed: whoever has people waiting calls `enter` again."""


class Removed(_Command, frozen=True, tag=5):
    """The room was deleted: close all of its sockets."""


Command: TypeAlias = Knocked | Decided | Displaced | Reconfigured | Removed

_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def command_channel(room: str) -> str:
    """The channel of a room's commands; subscribe with SSUBSCRIBE."""
    return f"room:{{{room}}}:commands"


def decode_command(payload: bytes) -> Command | None:
    """The command, or None for one of a later version."""
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError:
        return None


async def send_command(redis: Redis | RedisCluster, room: str, command: Command) -> None:
    """Send a command to all processes that serve the room.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached in time. Nothing is lost but time.
    """
    await redis.execute_command("SPUBLISH", command_channel(room), msgspec.msgpack.encode(command))
