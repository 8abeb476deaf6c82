"""The cloud load balancer's stand-in: a proxy with health checks, least connections and no memory of its own.

It looks at the first line of a connection, no further: a room socket goes to the port where a function takes those. (A
browser never sends the request for a socket on a connection that it has used before.)

It runs as a child and not in the supervisor's loop: a test (or a prompt) that blocks that loop must not stall the
connections that it is waiting for, and the bytes of a thousand sockets must not delay supervision.

Usage: `python -m shared.stack.balancer --listen-fd FD --backend HOST:PORT:SOCKET_PORT [--backend …]`
"""

import argparse
import asyncio
import re
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import uvloop

from . import probe

CHUNK: Final = 64 * 1024  # read at once, and waiting for a slow receiver in each direction before reading stops
_CONNECT_TIMEOUT_S: Final = 2.0
_PROBE_INTERVAL_S: Final = 1.0
# When one side has said that it will send no more, the other may still take this long to finish.
_HALF_CLOSED_S: Final = 300.0
# Who has not said by then what they want (RFC 9112, section 3) gets nothing.
_REQUEST_LINE_TIMEOUT_S: Final = 10.0
_SOCKET_REQUEST: Final = re.compile(rb"GET /v1/rooms/[^/ ]+/socket[ ?]")
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@dataclass(eq=False)
class Backend:
    """One function process."""

    host: str
    port: int
    socket_port: int
    ready: bool = False
    connections: int = 0


class Balancer:
    """Accepts on one socket and connects each client to one backend."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = list(backends)
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Proxy until `stop` is set; then cut what is open, as a load balancer does that is taken away."""
        server = await asyncio.start_server(self._accepted, sock=listener, limit=CHUNK)
        probing = [asyncio.create_task(self._keep_probing(backend)) for backend in self._backends]
        try:
            await stop.wait()
        finally:
            server.close()
            tasks = [*probing, *self._connections]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def candidates(self) -> list[Backend]:
        """Backends in the order in which to try them.

        The ready ones, least connections first. When none is ready, all: as with real load balancers, a health check
        that fails everywhere says more about the check than about the backends.
        """
        ready = [backend for backend in self._backends if backend.ready] or self._backends
        return sorted(ready, key=lambda backend: backend.connections)

    async def _keep_probing(self, backend: Backend) -> None:
        while True:
            backend.ready = await probe.http_ok(backend.port, host=backend.host)
            await asyncio.sleep(_PROBE_INTERVAL_S)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream's callback always runs as a task
        self._connections.add(task)
        try:
            await self._proxy(reader, writer)
        except asyncio.CancelledError:
            # Only `serve` cancels, and this task ends here: Python 3.11 would log a cancelled one as a fault.
            return
        finally:
            self._connections.discard(task)
            _drop(writer)

    async def _proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_LINE_TIMEOUT_S):
                line = await reader.readline()
        except (OSError, TimeoutError, ValueError):
            return
        if not line:
            return
        opened = await self._connect(to_socket=bool(_SOCKET_REQUEST.match(line)))
        if opened is None:
            writer.write(_UNAVAILABLE)
            await asyncio.gather(_finish(writer), return_exceptions=True)
            return
        backend, backend_reader, backend_writer = opened
        backend_writer.write(line)
        try:
            up = asyncio.create_task(_pump(reader, backend_writer))
            down = asyncio.create_task(_pump(backend_reader, writer))
            if await _both(up, down):
                await asyncio.gather(_finish(writer), _finish(backend_writer), return_exceptions=True)
        finally:
            backend.connections -= 1
            _drop(backend_writer)

    async def _connect(self, *, to_socket: bool) -> tuple[Backend, asyncio.StreamReader, asyncio.StreamWriter] | None:
        for backend in self.candidates():
            # Counted before it is connected, or a burst would all go to the same one.
            backend.connections += 1
            port = backend.socket_port if to_socket else backend.port
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    reader, writer = await asyncio.open_connection(backend.host, port, limit=CHUNK)
            except (OSError, TimeoutError):
                backend.connections -= 1
                backend.ready = False
                continue
            except BaseException:
                backend.connections -= 1
                raise
            # Back to the end of the queue among equals, so that idle backends take turns.
            self._backends.remove(backend)
            self._backends.append(backend)
            return backend, reader, writer
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=CHUNK)
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _both(up: asyncio.Task[None], down: asyncio.Task[None]) -> bool:
    """Run both directions to their ends; an error in one ends both. Did both end well?"""
    try:
        done, pending = await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        if pending and not any(task.exception() for task in done):
            await asyncio.wait(pending, timeout=_HALF_CLOSED_S)
    finally:
        for task in (up, down):
            task.cancel()
        # A connection that breaks is an ordinary end of a connection, so errors are looked at here and go no further.
        ends = await asyncio.gather(up, down, return_exceptions=True)
    return not any(ends)


async def _finish(writer: asyncio.StreamWriter) -> None:
    """Close after what is still buffered was sent, as long as the receiver takes it."""
    writer.close()
    try:
        async with asyncio.timeout(_HALF_CLOSED_S):
            await writer.wait_closed()
    except (TimeoutError, asyncio.CancelledError):
        writer.transport.abort()
        raise
    except OSError:
        return


def _drop(writer: asyncio.StreamWriter) -> None:
    """Cut a connection, unless it was closed in order: asyncio fails to abort a transport that is closed already."""
    if not writer.is_closing():
        writer.transport.abort()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="shared.stack.balancer")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--backend", action="append", required=True, metavar="HOST:PORT:SOCKET_PORT")
    arguments = parser.parse_args()
    parts = [value.rsplit(":", 2) for value in arguments.backend]
    backends = [Backend(host, int(port), int(socket_port)) for host, port, socket_port in parts]
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await Balancer(backends).serve(socket.socket(fileno=arguments.listen_fd), stop)


if __name__ == "__main__":
    uvloop.run(_main())
