"""ICE over TCP (RFC 6544), passive side: the way in for networks that let no UDP through.

Each datagram travels behind its length in two bytes (RFC 4571). A connection stands for nothing until a connectivity
check on it has been answered, and everything that a stranger can make us keep is bounded.
"""

import asyncio
import socket
from typing import Literal, Protocol, cast

from structlog import get_logger

from sfu_fleet.metrics import Metrics

StreamAddress = tuple[str, int, Literal["tcp"]]

MAX_FRAME = 2_048
# A peer that takes its packets this slowly has a picture of a second ago on the way: more would only be older.
MAX_BUFFERED = 256 * 1024
MAX_CONNECTIONS = 4_096
# Connections that have not proved themselves; the oldest makes room for the next one.
MAX_STRANGERS = 256
PROOF_S = 10.0
# What a closed connection may take to have its last packets sent.
LINGER_S = 5.0
_BACKLOG = 256

log = get_logger(__name__)


class Receiver(Protocol):
    """What takes the datagrams that came over connections."""

    def receive(self, data: bytes, address: StreamAddress) -> None:
        """Take a datagram."""

    def is_proven(self, address: StreamAddress) -> bool:
        """Whether a connectivity check came from there and was right."""

    def forget(self, address: StreamAddress) -> None:
        """The connection is gone."""


class Streams:
    """The listening sockets and all connections, by address."""

    def __init__(self, receiver: Receiver, metrics: Metrics) -> None:
        self.receiver = receiver
        self._metrics = metrics
        self._servers: list[asyncio.Server] = []
        self._connections: dict[StreamAddress, _Connection] = {}
        self._strangers: dict[StreamAddress, _Connection] = {}

    async def listen(self, sock: socket.socket) -> None:
        """Take connections on a bound socket."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), sock=sock, backlog=_BACKLOG)
        self._servers.append(server)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.abort()

    def hang_up(self, address: StreamAddress) -> None:
        """Close a connection once what it was given is sent."""
        connection = self._connections.get(address)
        if connection is not None:
            connection.close()

    def send(self, data: bytes | memoryview, address: StreamAddress) -> int:
        """Send a datagram, or drop it when the peer does not keep up.

        Raises:
            OSError: it was dropped, or there is no such connection.
        """
        connection = self._connections.get(address)
        if connection is None:
            raise ConnectionResetError("the connection is gone")
        return connection.send(data)

    def opened(self, connection: "_Connection") -> None:
        """A stranger has connected."""
        if len(self._connections) >= MAX_CONNECTIONS:
            self.dropped(connection, "tcp_full")
        elif len(self._strangers) >= MAX_STRANGERS:
            # Whoever means it sends its check at once, so the oldest is the least likely to.
            self.dropped(next(iter(self._strangers.values())), "tcp_stranger")
        self._connections[connection.address] = self._strangers[connection.address] = connection

    def proven(self, connection: "_Connection") -> None:
        """It is a peer of ours."""
        self._strangers.pop(connection.address, None)

    def closed(self, connection: "_Connection") -> None:
        """A connection is gone, for whatever reason."""
        address = connection.address
        self._strangers.pop(address, None)
        if self._connections.get(address) is connection:
            del self._connections[address]
            self.receiver.forget(address)

    def dropped(self, connection: "_Connection", why: str) -> None:
        """Cut a connection that does not behave."""
        self._metrics.drop(why)
        connection.abort()


class _Connection(asyncio.Protocol):
    """One connection: takes frames apart and puts them together."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._proven = False
        self.address: StreamAddress = ("", 0, "tcp")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not peer:
            # It has gone again already.
            self._transport.abort()
            return
        self.address = (peer[0], peer[1], "tcp")
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PROOF_S, self._streams.dropped, self, "tcp_stranger")
        self._streams.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._deadline is not None:
            self._deadline.cancel()
        self._streams.closed(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        position, size = 0, len(buffer)
        while position + 2 <= size and self._transport is not None:
            length = buffer[position] << 8 | buffer[position + 1]
            if length > MAX_FRAME:
                self._streams.dropped(self, "tcp_frame")
                break
            end = position + 2 + length
            if end > size:
                break
            self._take(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]

    def send(self, data: bytes | memoryview) -> int:
        """Write a frame whole or not at all."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is closing")
        if transport.get_write_buffer_size() > MAX_BUFFERED:
            raise BlockingIOError("the peer does not keep up")
        # A copy: `data` may be memory that the next packet is written to.
        transport.write(len(data).to_bytes(2, "big") + data)
        return len(data)

    def close(self) -> None:
        """Close once everything is sent, and after a moment in any case."""
        if self._transport is not None:
            self._transport.close()
            self._deadline = asyncio.get_running_loop().call_later(LINGER_S, self.abort)

    def abort(self) -> None:
        # Closed for sure in a moment; what is left in the buffer is not looked at any more.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _take(self, frame: bytes) -> None:
        streams = self._streams
        streams.receiver.receive(frame, self.address)
        if self._proven:
            return
        if streams.receiver.is_proven(self.address):
            self._proven = True
            streams.proven(self)
            if self._deadline is not None:
                self._deadline.cancel()
        elif not frame or frame[0] > 3:
            # Nothing but checks makes sense from somebody unknown.
            streams.dropped(self, "tcp_stranger")
