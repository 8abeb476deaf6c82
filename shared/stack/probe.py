"""Small questions to a local server: does it listen, is it ready. One connection each, bounded in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.probe import TIMEOUT_S, answers


async def http_ok(port: int, path: str = "/health/ready", host: str = "127.0.0.1") -> bool:
    """Does a GET answer 200?"""
    return await answers(host, port, path)


async def redis_pong(port: int, host: str = "127.0.0.1") -> bool:
    """Does PING answer PONG? While the append-only file is read it answers LOADING."""
    return await _first_line(host, port, b"PING\r\n") == b"+PONG\r\n"


async def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Is a connection accepted?"""
    try:
        async with asyncio.timeout(TIMEOUT_S), _connection(host, port):
            return True
    except (OSError, TimeoutError):
        return False


async def _first_line(host: str, port: int, request: bytes) -> bytes:
    try:
        async with asyncio.timeout(TIMEOUT_S), _connection(host, port) as (reader, writer):
            writer.write(request)
            return await reader.readline()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line longer than the reader's limit
        return b""


@asynccontextmanager
async def _connection(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
