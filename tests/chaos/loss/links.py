"""A TCP proxy whose links can be cut, or go silent without being closed, or get slow, as links in the world do."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.tcp_proxy import TcpProxy


class _Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._ends = near, far

    def cut(self) -> None:
        """Reset both sides; what was under way is lost."""
        for end in self._ends:
            end.transport.abort()
        self.flowing.set()


class Links(TcpProxy[_Link]):
    """Connects everybody to `target_port` by links that can be broken.

    While `delay_s` is not 0, what is sent arrives so much later at least, in order.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port, chunk=64 * 1024)
        self.delay_s = 0.0
        self._links: set[_Link] = set()

    @contextmanager
    def link(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Iterator[_Link]:
        """One that can be found as long as it lasts."""
        link = _Link(near, far)
        self._links.add(link)
        try:
            yield link
        finally:
            self._links.discard(link)

    async def way(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on what comes, while it flows."""
        with suppress(OSError):
            while data := await reader.read(self.chunk):
                await link.flowing.wait()
                if self.delay_s:
                    # What comes meanwhile waits in the reader: it arrives together, no sooner than it should.
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()

    def cut(self, share: float, rng: random.Random) -> int:
        """Cut this share of the links; how many."""
        chosen = self._chosen(share, rng)
        for link in chosen:
            link.cut()
        return len(chosen)

    async def silence(self, share: float, seconds: float, rng: random.Random, *, then_cut: bool) -> int:
        """Let nothing through on this share of the links for a while, in either direction; how many."""
        chosen = self._chosen(share, rng)
        for link in chosen:
            link.flowing.clear()
        await asyncio.sleep(seconds)
        for link in chosen:
            if then_cut:
                link.cut()
            link.flowing.set()
        return len(chosen)

    def _chosen(self, share: float, rng: random.Random) -> list[_Link]:
        return rng.sample(list(self._links), max(1, round(len(self._links) * share))) if self._links else []
