"""The TCP balancer: who gets a connection, and that it hands on every byte and every end of a stream."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.stack.balancer import CHUNK, Backend, Balancer
from shared.stack.ports import free_ports

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server:
    """A function process' stand-in: answers the health check, and hands every other connection to a handler."""

    def __init__(self, handler: Handler) -> None:
        self.ready = True
        self.served = 0
        self.port = 0
        self._handler = handler
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                if not writer.is_closing():
                    writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        first = await reader.readline()
        if first.startswith(b"GET /health/ready "):
            writer.write(HEALTHY if self.ready else HEALTHY.replace(b"200 OK", b"503 No"))
            writer.close()
            return
        self.served += 1
        await self._handler(reader, writer)


async def echo_until_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only when the client has said that it is done: works only if the end is handed on."""
    data = await reader.read()
    writer.write(str(len(data)).encode())
    writer.close()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"held\n")
    await reader.read()
    writer.close()


@asynccontextmanager
async def balancing(*servers: Server, settle: bool = True) -> AsyncIterator[tuple[int, list[Backend]]]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    backends = [Backend("127.0.0.1", server.port, server.port) for server in servers]
    stop = asyncio.Event()
    task = asyncio.create_task(Balancer(backends).serve(listener, stop))
    try:
        if settle:
            await until(
                lambda: all(backend.ready == server.ready for backend, server in zip(backends, servers, strict=True))
            )
        yield port, backends
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_a_half_closed_connection_still_gets_its_whole_answer() -> None:
    async with Server(echo_until_end).running() as server, balancing(server) as (port, _):
        assert await exchange(port, b"hello\n" + b"x" * 3_000_000) == b"3000000"


async def test_what_a_server_sends_before_it_closes_arrives_whole() -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"y" * 5_000_000)
        writer.close()

    async with Server(pour).running() as server, balancing(server) as (port, _):
        assert len(await exchange(port, b"go\n")) == 5_000_000


async def test_connections_go_where_the_fewest_are() -> None:
    async with Server(hold).running() as one, Server(hold).running() as two, balancing(one, two) as (port, _):
        writers = []
        for _ in range(6):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"go\n")
            await reader.readline()
            writers.append(writer)
        assert (one.served, two.served) == (3, 3)
        for writer in writers:
            writer.close()


async def test_a_dead_backend_is_skipped_at_once() -> None:
    async with Server(echo_until_end).running() as alive, Server(echo_until_end).running() as dead:
        gone = Server(echo_until_end)
        gone.port = dead.port
        async with balancing(alive, dead) as (port, backends):
            # Seen as ready by the last check, and nothing listens there any more.
            backends[1].port = free_port()
            assert [await exchange(port, b"a\n") for _ in range(4)] == [b"0"] * 4
            assert alive.served == 4


async def test_a_backend_that_is_not_ready_gets_nothing() -> None:
    draining = Server(echo_until_end)
    draining.ready = False
    async with Server(echo_until_end).running() as alive, draining.running(), balancing(alive, draining) as (port, _):
        await asyncio.gather(*(exchange(port, b"a\n") for _ in range(6)))
        assert (alive.served, draining.served) == (6, 0)


async def test_a_backend_that_becomes_ready_again_is_used_again() -> None:
    server = Server(echo_until_end)
    server.ready = False
    async with server.running(), balancing(server) as (_, backends):
        server.ready = True
        await until(lambda: backends[0].ready)


async def test_without_any_backend_a_client_is_told_to_come_back() -> None:
    server = Server(echo_until_end)
    server.port = free_port()
    async with balancing(server, settle=False) as (port, _):
        answer = await exchange(port, b"GET / HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in answer


async def test_a_slow_reader_stops_the_sender_instead_of_filling_memory() -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=CHUNK)
        try:
            while True:
                writer.write(b"z" * CHUNK)
                await writer.drain()
                sent += CHUNK
        except ConnectionError:
            return

    async with Server(pour).running() as server, balancing(server) as (port, _):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"go\n")
        try:
            before = -1
            while before != sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.3)
        finally:
            client.close()
        # The kernel's buffers of two connections (some MB on loopback), and a few chunks of ours.
        assert 0 < sent < 32_000_000


async def test_a_connection_that_is_cut_counts_no_longer() -> None:
    async with Server(hold).running() as server, balancing(server) as (port, backends):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"go\n")
        await reader.readline()
        assert backends[0].connections == 1
        writer.transport.abort()
        await until(lambda: backends[0].connections == 0)


def free_port() -> int:
    return free_ports(1)[0]


@pytest.mark.parametrize(("connections", "first"), [((0, 0), 0), ((3, 1), 1), ((1, 3), 0)])
def test_candidates_are_ordered_by_connections(connections: tuple[int, int], first: int) -> None:
    backends = [Backend("127.0.0.1", n, n, ready=True, connections=count) for n, count in enumerate(connections)]
    assert Balancer(backends).candidates()[0] is backends[first]
