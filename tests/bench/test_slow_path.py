"""The slow path delays, narrows, and hands on every byte in order."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.bench.slow_path import Network, SlowPath

SLOW = Network(delay_s=0.05, jitter_s=0.02, bits_per_s=2_000_000)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_every_byte_comes_back_in_order_and_no_sooner_than_delay_and_rate_allow() -> None:
    sent = random.Random(1).randbytes(50_000)
    async with echo() as port, SlowPath(port, SLOW) as path:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", path.port)
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        # 50 kB at 2 Mbit/s are 0.2 s, and there are two ways: a lower bound, which no slow machine breaks.
        assert time.monotonic() - began >= 0.2 + 2 * 0.05
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert path.connections == 1


async def test_where_nothing_listens_the_connection_ends() -> None:
    async with SlowPath(1, SLOW) as path:
        reader, writer = await asyncio.open_connection("127.0.0.1", path.port)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
