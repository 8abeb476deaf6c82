"""ICE-lite on one socket: who is answered, where packets go, and that no datagram does harm."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.ice import MAX_ADDRESSES, Credentials, IceAgent, MediaSocket, local_ufrag
from sfu_fleet.metrics import Metrics
from sfu_fleet.native import build
from sfu_fleet.native.intake import NativeIntake
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import Peer


class Handler:
    """Collects what the socket hands to a session."""

    def __init__(self) -> None:
        self.dtls: list[bytes] = []
        self.srtp: list[bytes] = []
        self.checks = 0
        self.heard_at = asyncio.get_running_loop().time()

    def on_dtls(self, data: bytes) -> None:
        self.dtls.append(data)

    def on_srtp(self, data: bytes) -> None:
        self.srtp.append(data)

    def on_opened(self, data: bytes, *, rtcp: bool) -> None:
        """Nobody has keys here."""

    def on_fed(self) -> None:
        """Nor feedback."""

    def on_check(self) -> None:
        self.checks += 1


class Side:
    """A socket with one agent."""

    def __init__(self, media_socket: MediaSocket, metrics: Metrics) -> None:
        self.socket, self.metrics, self.handler = media_socket, metrics, Handler()
        self.agent = IceAgent(Credentials.generate(), self.handler)
        media_socket.add(self.agent)

    @property
    def sdp(self) -> str:
        credentials = self.agent.credentials
        return "\r\n".join(
            [
                f"a=ice-ufrag:{credentials.ufrag}",
                f"a=ice-pwd:{credentials.password}",
                "a=fingerprint:sha-256 00",
                f"a=candidate:1 1 udp 1 127.0.0.1 {self.socket.port} typ host",
            ]
        )


@pytest.fixture(params=["asyncio", "native"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """A socket that is read by the event loop, or by the native intake."""
    if request.param == "native" and build.compiler() is None:
        pytest.skip("the native intake needs a C compiler")
    metrics = Metrics()
    intake = NativeIntake() if request.param == "native" else None
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics, intake=intake)
    yield Side(media_socket, metrics)
    media_socket.close()


async def test_an_authenticated_check_is_answered_with_the_sender_s_address(
    side: Side, peers: Callable[[], Peer]
) -> None:
    peer = peers()
    await peer.open(side.sdp)
    await peer.check()
    assert peer.mapped == side.agent.remote
    assert side.handler.checks == 1


async def test_strangers_get_no_answer(side: Side, peers: Callable[[], Peer]) -> None:
    peer = peers()
    await peer.open(side.sdp)
    peer.send_raw(peer.binding_request(password="wrong" * 5))
    peer.send_raw(peer.binding_request().replace(side.agent.credentials.ufrag.encode(), b"somebody"))
    peer.send_raw(b"\x16" + bytes(30))
    peer.send_raw(b"\x80" + bytes(30))
    peer.send_raw(b"\x50" + bytes(30))
    await eventually(lambda: sum(side.metrics.drops.values()) == 5, "five drops")
    assert side.metrics.drops == {"stun_integrity": 1, "unknown_ufrag": 1, "unknown_address": 2, "not_webrtc": 1}
    assert peer.checks_answered == 0
    assert side.agent.remote is None


async def test_packets_are_told_apart_once_the_address_is_proven(side: Side, peers: Callable[[], Peer]) -> None:
    peer = peers()
    await peer.open(side.sdp)
    await peer.check()
    peer.send_raw(b"\x16dtls")
    peer.send_raw(b"\x80srtp")
    await eventually(lambda: side.handler.srtp and side.handler.dtls, "both packets")
    assert (side.handler.dtls, side.handler.srtp) == ([b"\x16dtls"], [b"\x80srtp"])


async def test_the_selected_address_follows_the_latest_nominated_check(side: Side, peers: Callable[[], Peer]) -> None:
    peer = peers()
    await peer.open(side.sdp)
    await peer.check()
    first = side.agent.remote
    await peer.rebind()
    peer.send_raw(peer.binding_request(nominate=False))
    await eventually(lambda: side.handler.checks == 2, "the second check")
    assert side.agent.remote == first
    await peer.check()
    assert side.agent.remote != first
    assert side.agent.remote == peer.mapped


async def test_a_peer_that_thinks_it_is_controlled_is_told_of_the_conflict(
    side: Side, peers: Callable[[], Peer]
) -> None:
    peer = peers()
    await peer.open(side.sdp)
    attributes = {"USERNAME": f"{side.agent.credentials.ufrag}:{peer.ufrag}", "ICE-CONTROLLED": 1}
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    message.add_message_integrity(side.agent.credentials.key)
    peer.send_raw(bytes(message))
    await eventually(lambda: peer.errors == [487], "the error")


async def test_the_addresses_of_a_session_are_bounded(side: Side, peers: Callable[[], Peer]) -> None:
    peer = peers()
    await peer.open(side.sdp)
    for _ in range(MAX_ADDRESSES + 4):
        await peer.rebind()
        await peer.check()
    assert len(side.agent.addresses) == MAX_ADDRESSES
    assert peer.mapped in side.agent.addresses
    side.socket.remove(side.agent)
    peer.send_raw(peer.binding_request())
    await eventually(lambda: side.metrics.drops == {"unknown_ufrag": 1}, "the session to be forgotten")


async def test_a_flood_of_garbage_leaves_the_socket_working(side: Side, peers: Callable[[], Peer]) -> None:
    peer = peers()
    await peer.open(side.sdp)
    valid = peer.binding_request()
    for size in range(400):
        peer.send_raw(os.urandom(size))
        damaged = bytearray(valid)
        damaged[size % len(valid)] ^= 0xFF
        peer.send_raw(bytes(damaged))
        if size % 20 == 0:
            await asyncio.sleep(0)
    await peer.check()
    assert "internal_error" not in side.metrics.drops


@given(st.binary(max_size=60))
def test_any_bytes_have_a_user_name_or_none(data: bytes) -> None:
    assert isinstance(local_ufrag(data), str)


@given(st.binary(max_size=60), st.booleans())
async def test_any_stun_like_datagram_is_survived(tail: bytes, framed: bool) -> None:
    metrics = Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    side = Side(media_socket, metrics)
    name = side.agent.credentials.ufrag.encode() + b":peer.."
    body = b"\x00\x06" + len(name).to_bytes(2, "big") + name + bytes(-len(name) % 4) + tail
    size = len(body) if framed else 3
    data = b"\x00\x01" + size.to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + body
    media_socket.datagram_received(data, ("127.0.0.1", 9))
    media_socket.close()
    assert "internal_error" not in metrics.drops
    assert side.agent.remote is None
