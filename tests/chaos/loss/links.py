"""A TCP proxy whose links can be cut, or go silent without being closed, or get slow, as links in the world do."""

import asyncio
import random
from contextlib import suppress
from typing import Self

_CHUNK = 64 * 1024


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


class Links:
    """Listens on a port of its own and connects everybody to `target_port`.

    While `delay_s` is not 0, what is sent arrives so much later at least, in order.
    """

    def __init__(self, target_port: int) -> None:
        self.delay_s = 0.0
        self._target_port = target_port
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            # Only the end of the proxy cancels; Python 3.11 would log it as a fault.
            return
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_CHUNK)
        except OSError:
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, far_writer)),
            asyncio.create_task(self._pump(link, far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            # In order, so that a close frame that came last is not lost by the proxy's doing.
            with suppress(OSError):
                far_writer.close()
                writer.close()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await link.flowing.wait()
                if self.delay_s:
                    # What comes meanwhile waits in the reader: it arrives together, no sooner than it should.
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
