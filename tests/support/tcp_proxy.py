"""A TCP proxy on this machine; what happens to the bytes on their way is up to those that derive from it."""

import asyncio
from contextlib import AbstractContextManager, suppress
from typing import Generic, Self, TypeVar

from shared.tasks import end

L = TypeVar("L")


class TcpProxy(Generic[L]):
    """An async context manager: listens on `port` and connects everybody to `target_port`.

    `link` is made for each connection and lasts as long as it; `way` carries bytes in one direction until their end.
    `chunk` is how many bytes are read at a time. Another `target_port` is that of the connections from then on.
    """

    def __init__(self, target_port: int, *, chunk: int) -> None:
        self.port = 0
        self.chunk = chunk
        self.target_port = target_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def link(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> AbstractContextManager[L]:
        """What is kept of a connection."""
        raise NotImplementedError

    async def way(self, link: L, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on what comes; return at its end, or when one side has gone."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=self.chunk)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await end(*self._tasks)

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
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=self.chunk)
        except OSError:
            return
        ways: list[asyncio.Task[None]] = []
        try:
            with self.link(writer, far_writer) as link:
                ways += [
                    asyncio.create_task(self.way(link, reader, far_writer)),
                    asyncio.create_task(self.way(link, far_reader, writer)),
                ]
                # The end of one direction is the end of the connection.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*ways)
            # In order, so that a close frame that came last is not lost by the proxy's doing.
            with suppress(OSError):
                far_writer.close()
                writer.close()
