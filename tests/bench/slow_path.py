"""A slow way to a server on this machine, as mobile networks have: a TCP proxy with delay, jitter and a bit rate."""

import asyncio
import random
from contextlib import suppress
from typing import Final, Self

import msgspec

_CHUNK: Final = 16 * 1024
# What lies in the network's queues at most; then whoever sends has to wait, as with a full window.
_IN_FLIGHT: Final = 32


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Each way takes `delay_s` and up to `jitter_s` more; each connection has `bits_per_s` to itself each way."""

    delay_s: float
    jitter_s: float
    bits_per_s: float


# A phone's: a round trip of 80 to 140 ms, and a megabit a second.
MOBILE: Final = Network(delay_s=0.04, jitter_s=0.03, bits_per_s=1_000_000.0)


class SlowPath:
    """An async context manager: `port` leads to `target_port` through a network."""

    def __init__(self, target_port: int, network: Network, *, seed: int = 1) -> None:
        self.port = 0
        self.connections = 0
        self._target_port = target_port
        self._network = network
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.CancelledError, OSError):
            # The end of the proxy, or of one side: Python 3.11 would log it as a fault.
            return
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_CHUNK)
        self.connections += 1
        ways = [
            asyncio.create_task(self._way(reader, far_writer)),
            asyncio.create_task(self._way(far_reader, writer)),
        ]
        try:
            # The end of one direction is the end of the connection; what was under way by then still arrives.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.close()
            with suppress(OSError):
                writer.close()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        delivering = asyncio.create_task(_deliver(under_way, writer))
        free_at = 0.0
        try:
            while data := await reader.read(_CHUNK):
                # What comes in takes its turn on the link, then travels.
                free_at = max(free_at, loop.time()) + len(data) * 8 / self._network.bits_per_s
                due = free_at + self._network.delay_s + self._random.uniform(0, self._network.jitter_s)
                await under_way.put((due, data))
            await under_way.put((0.0, b""))
            await delivering
        except OSError:
            return
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)


async def _deliver(under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    """In order, as TCP has it: jitter delays what comes after as well."""
    loop = asyncio.get_running_loop()
    while True:
        due, data = await under_way.get()
        if not data:
            return
        if (wait_s := due - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        writer.write(data)
        await writer.drain()
