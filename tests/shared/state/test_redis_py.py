"""A write to a connection that was closed meanwhile is a lost connection, whatever is found in its place."""

import asyncio
from typing import Any

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.stack.stack import LocalStack
from shared.state import redis_py
from tests.support.addresses import port_of


class _Gone:
    """A writer as CPython 3.12 leaves it when the other end has gone."""

    def writelines(self, _data: Any) -> None:  # noqa: ANN401 - whatever is written
        raise TypeError("'NoneType' object is not callable")

    def close(self) -> None:
        return


@pytest.mark.parametrize("left", [None, _Gone()], ids=["closed by ourselves", "closed by the other end"])
async def test_a_write_to_a_closed_connection_is_a_lost_connection(state: LocalStack, left: Any) -> None:  # noqa: ANN401
    connection: Any = Connection(port=port_of(state.redis_url), socket_timeout=5.0)
    await connection.connect()
    writer = connection._writer

    async def closes_between(*_: object) -> None:
        connection._writer = left

    connection.check_health = closes_between
    with pytest.raises(RedisConnectionError, match="closed while"):
        await connection.send_command("PING")
    writer.close()
    await writer.wait_closed()


async def test_it_is_still_needed() -> None:
    """When this fails, redis-py does it itself, and `redis_py` may go."""
    connection = Connection()
    with pytest.raises(AttributeError):
        await asyncio.wait_for(redis_py.UNMENDED(connection, [b"PING\r\n"]), 5)
