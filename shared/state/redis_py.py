"""What redis-py 8.1 gets wrong, mended in one place; `tests/shared/state/test_redis_py.py` says when it may go.

A write to a connection that somebody else has closed meanwhile, as a cluster's client does when a shard fails, fails
with an `AttributeError` or a `TypeError` (redis-py's issue 4287): no caller takes that for a lost connection, and
nothing tries it again.
"""

from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

UNMENDED: Final = AbstractConnection._send_packed_command  # noqa: SLF001 - what is mended is private


async def send(connection: Any, command: Iterable[bytes]) -> None:  # noqa: ANN401 - a connection's insides
    """Write, and wait until there is room for more.

    Raises:
        ConnectionResetError: the connection was closed; redis-py makes a `ConnectionError` of it.
    """
    try:
        connection._writer.writelines(command)  # noqa: SLF001 - as the method in whose place this is
        await connection._writer.drain()  # noqa: SLF001
    except (AttributeError, TypeError) as error:
        raise ConnectionResetError("closed while it was being written to") from error


def mend() -> None:
    """Have all asynchronous connections of this process do so. Once is enough, more does no harm."""
    AbstractConnection._send_packed_command = send  # type: ignore[assignment, method-assign]  # noqa: SLF001
