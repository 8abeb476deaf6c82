"""A slow way to a server on this machine, as mobile networks have: a TCP proxy with delay, jitter and a bit rate."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from shared.tasks import end
from tests.support.tcp_proxy import TcpProxy

# What lies in the network's queues at most; then whoever sends has to wait, as with a full window.
_IN_FLIGHT: Final = 32


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Each way takes `delay_s` and up to `jitter_s` more; each connection has `bits_per_s` to itself each way."""

    delay_s: float
    jitter_s: float
    bits_per_s: float


# A phone's: a round trip of 80 to 140 ms, and a megabit a second.
MOBILE: Final = Network(delay_s=0.04, jitter_s=0.03, bits_per_s=1_000_000.0)


class SlowPath(TcpProxy[None]):
    """Connects everybody to `target_port` through a network."""

    def __init__(self, target_port: int, network: Network, *, seed: int = 1) -> None:
        super().__init__(target_port, chunk=16 * 1024)
        self.connections = 0
        self._network = network
        self._random = random.Random(seed)

    @contextmanager
    def link(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Iterator[None]:  # noqa: ARG002 - the base's
        """Nothing is kept but how many there were."""
        self.connections += 1
        yield

    async def way(self, link: None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG002
        """Hand on what comes when it is due. What was under way when it ended still arrives."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        delivering = asyncio.create_task(_deliver(under_way, writer))
        free_at = 0.0
        try:
            while data := await reader.read(self.chunk):
                # What comes in takes its turn on the link, then travels.
                free_at = max(free_at, loop.time()) + len(data) * 8 / self._network.bits_per_s
                due = free_at + self._network.delay_s + self._random.uniform(0, self._network.jitter_s)
                await under_way.put((due, data))
            await under_way.put((0.0, b""))
            await delivering
        except OSError:
            return
        finally:
            await end(delivering)


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
