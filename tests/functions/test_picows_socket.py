"""Sockets of picows' as a peer can use and misuse them (RFC 6455), and fan-out to one that does not keep up."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from picows import WSUpgradeRequest, ws_create_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from functions.signaling.backlog import Priority
from functions.signaling.fan_out import WINDOW_S, Channel, Membership, batch_frame
from functions.signaling.outbox import Outbox
from functions.signaling.picows_socket import MAX_MESSAGE_BYTES, MAX_UNREAD, PicowsSocket
from functions.signaling.transport import PeerGone
from shared.protocol.codec import CODECS
from shared.protocol.errors import CloseCode
from shared.protocol.messages import ChatEvent, Events, Viewers, decode_server, encode
from shared.state.rooms import Position

BINARY = CODECS[0]


class Pair:
    """Both ends of one socket."""

    def __init__(self, server: PicowsSocket, client: ClientConnection) -> None:
        self.server = server
        self.client = client
        self.stuck = 0

    def outbox(self) -> Outbox:
        return self.server.outbox(BINARY, self._on_stuck)

    async def send_raw(self, *frames: Frame, mask: bool = True) -> None:
        """Frames that the client library would not send."""
        for frame in frames:
            self.client.transport.write(frame.serialize(mask=mask))

    def _on_stuck(self) -> None:
        self.stuck += 1


@asynccontextmanager
async def pair(*, small_buffers: bool = False) -> AsyncIterator[Pair]:
    opened: asyncio.Future[PicowsSocket] = asyncio.get_running_loop().create_future()

    def accept(_: WSUpgradeRequest) -> PicowsSocket:
        return PicowsSocket(opened.set_result)

    listener = socket.create_server(("127.0.0.1", 0))
    if small_buffers:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = await ws_create_server(accept, sock=listener, max_frame_size=MAX_MESSAGE_BYTES, use_aiofastnet=False)
    try:
        # A queue of one message: what the test does not read stays in the server.
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        async with connect(url, max_queue=1, compression=None, max_size=None) as client:
            yield Pair(await opened, client)
    finally:
        server.close()


async def test_frames_are_received_in_order_as_bytes_or_text() -> None:
    async with pair() as both:
        for message in (b"\x00\xff", "täxt", b""):
            await both.client.send(message)
        assert [await both.server.receive() for _ in range(3)] == [b"\x00\xff", "täxt", b""]


async def test_a_message_in_parts_is_put_together_around_control_frames() -> None:
    async with pair() as both:
        await both.send_raw(Frame(Opcode.BINARY, b"one ", fin=False), Frame(Opcode.PING, b"?"))
        await both.send_raw(Frame(Opcode.CONT, b"two ", fin=False), Frame(Opcode.CONT, b"three"))
        assert await both.server.receive() == b"one two three"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(Opcode.CONT, b"of nothing")], 1002),
        ([Frame(Opcode.BINARY, b"a", fin=False), Frame(Opcode.BINARY, b"b")], 1002),
        ([Frame(Opcode.TEXT, b"\xff\xfe")], 1007),
        ([Frame(Opcode.BINARY, bytes(MAX_MESSAGE_BYTES + 1))], 1009),
        ([Frame(Opcode.BINARY, b"", fin=False)] + [Frame(Opcode.CONT, b"", fin=False)] * MAX_UNREAD, 1009),
        ([Frame(Opcode.BINARY, bytes(60_000), fin=False)] + [Frame(Opcode.CONT, bytes(60_000), fin=False)] * 5, 1009),
    ],
)
async def test_what_the_rfc_forbids_closes_the_socket_with_the_rfcs_code(frames: list[Frame], code: int) -> None:
    async with pair() as both:
        await both.send_raw(*frames)
        async with asyncio.timeout(10):
            await both.client.wait_closed()
            assert both.client.close_code == code
            with pytest.raises(PeerGone):
                await both.server.receive()


async def test_a_frame_of_an_extension_that_was_not_negotiated_closes_the_socket() -> None:
    async with pair() as both:
        whole = bytearray(Frame(Opcode.BINARY, b"compressed").serialize(mask=True))
        whole[0] |= 0x40
        both.client.transport.write(bytes(whole))
        async with asyncio.timeout(10):
            await both.client.wait_closed()
            assert both.client.close_code == 1002


async def test_an_unmasked_frame_closes_the_socket() -> None:
    async with pair() as both:
        await both.send_raw(Frame(Opcode.BINARY, b"plain"), mask=False)
        async with asyncio.timeout(10):
            await both.client.wait_closed()
            assert both.client.close_code == 1002


async def test_the_peers_code_is_told_and_answered() -> None:
    async with pair() as both:
        await both.client.send(b"last words")
        closing = asyncio.create_task(both.client.close(4321, "bye"))
        assert await both.server.receive() == b"last words"
        with pytest.raises(PeerGone) as gone:
            await both.server.receive()
        assert gone.value.code == 4321
        await closing
        assert both.client.close_code == 4321


async def test_a_link_that_breaks_has_no_code() -> None:
    async with pair() as both:
        both.client.transport.abort()
        with pytest.raises(PeerGone) as gone:
            await asyncio.wait_for(both.server.receive(), 10)
        assert gone.value.code is None


async def test_our_close_arrives_with_its_code_behind_all_frames() -> None:
    async with pair() as both:
        outbox = both.outbox()
        outbox.put(Viewers(7))
        await both.server.close(CloseCode.DISPLACED)
        assert await both.client.recv() == encode(Viewers(7))
        with pytest.raises(ConnectionClosed):
            await both.client.recv()
        assert both.client.close_code == CloseCode.DISPLACED


async def test_closing_a_peer_that_reads_nothing_takes_no_longer_than_a_second_or_so() -> None:
    async with pair(small_buffers=True) as both:
        outbox = both.outbox()
        for _ in range(100):
            outbox.put_shared(batch_frame([(1, encode(_chat(1, 20_000)))]), Priority.EVENTS)
        async with asyncio.timeout(10):
            await both.server.close(CloseCode.TOO_SLOW)
            with pytest.raises(PeerGone):
                await both.server.receive()


async def test_a_flood_that_nobody_looks_at_stops_being_read() -> None:
    async with pair() as both:
        for number in range(10 * MAX_UNREAD):
            await both.send_raw(Frame(Opcode.BINARY, bytes([number % 256]) * 1000))
        await asyncio.sleep(0.3)
        assert len(both.server._unread) < 3 * MAX_UNREAD
        got = [await asyncio.wait_for(both.server.receive(), 10) for _ in range(10 * MAX_UNREAD)]
        assert [frame[0] for frame in got] == [number % 256 for number in range(10 * MAX_UNREAD)]


async def test_a_member_that_falls_behind_and_comes_back_misses_and_doubles_nothing() -> None:
    async with pair(small_buffers=True) as slow, pair() as quick:
        channel = Channel()
        members = [Membership(both.outbox()) for both in (slow, quick)]
        for member in members:
            channel.add(member)
            member.activate(Position("epoch", 0, "", "", []))
        got = asyncio.create_task(_offsets(quick.client, 600))
        await _say(channel, range(1, 401))
        assert members[0].outbox.write is None
        assert members[0].outbox.waiting > 0
        assert await _offsets(slow.client, 400) == list(range(1, 401))
        await _say(channel, range(401, 601))
        assert await _offsets(slow.client, 200) == list(range(401, 601))
        assert await got == list(range(1, 601))
        assert [member.outbox.write is not None for member in members] == [True, True]
        assert slow.stuck == quick.stuck == 0
        assert len(channel) == 2
        assert [channel.discard(member) for member in members] == [True, True]
        assert len(channel) == 0


async def _say(channel: Channel, offsets: range) -> None:
    for offset in offsets:
        channel.collect([(offset, encode(_chat(offset, 2000)))])
        if offset % 10 == 0:
            await asyncio.sleep(WINDOW_S)
    await asyncio.sleep(2 * WINDOW_S)


async def _offsets(client: ClientConnection, count: int) -> list[int]:
    offsets: list[int] = []
    async with asyncio.timeout(20):
        while len(offsets) < count:
            frame = await client.recv()
            assert isinstance(frame, bytes)
            message = decode_server(frame)
            assert isinstance(message, Events)
            offsets += [message.base + delta for delta, _ in message.events]
    return offsets


def _chat(number: int, size: int) -> ChatEvent:
    return ChatEvent("p", "Somebody", number, "x" * size)
