"""The native intake: batches, decryption of known peers, and what it refuses."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pylibsrtp import Policy

from sfu_fleet.congestion.sent import FIRST
from sfu_fleet.dtls import Ciphers, Inbound, Libsrtp, LibsrtpContext, Outbound, SrtpKeys
from sfu_fleet.ice import Address, Credentials, IceAgent
from sfu_fleet.native import build, gcm
from sfu_fleet.native.addresses import UdpAddress, address_of, sockaddr
from sfu_fleet.native.congestion import NativeCongestion
from sfu_fleet.native.intake import NativeIntake
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import rtp_packet
from tests.sfu_fleet.sanitizers import abuse, compiled

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="the native intake needs a C compiler")

PROFILE = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
KEY = bytes(range(44))
RECEIVER_REPORT = bytes.fromhex("80c90001000003e8")


class Listener:
    """What the intake handed on."""

    def __init__(self) -> None:
        self.raw: list[tuple[bytes, Address]] = []
        self.opened: list[tuple[bytes, IceAgent, bool]] = []
        self.refused: list[str] = []
        self.estimated: list[IceAgent] = []
        self.fed = 0

    def receive(self, data: bytes, address: Address) -> None:
        self.raw.append((data, address))

    def receive_opened(self, data: bytes, agent: IceAgent, *, rtcp: bool) -> None:
        self.opened.append((data, agent, rtcp))

    def receive_estimate(self, agent: IceAgent) -> None:
        self.estimated.append(agent)

    def count_feedback(self, count: int) -> None:
        self.fed += count

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)


class Port:
    """A socket read by the intake, and a peer's socket."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self.intake = NativeIntake()
        self.listener = Listener()
        self.ours, self.peer = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self.ours, self.peer):
            sock.bind((host, 0))
        self.ours.setblocking(False)
        self.intake.read(self.ours, self.listener)
        handler: Any = None
        self.agent = IceAgent(Credentials.generate(), handler)

    def send(self, data: bytes) -> None:
        self.peer.sendto(data, self.ours.getsockname())

    def close(self) -> None:
        self.intake.close()
        self.ours.close()
        self.peer.close()


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"])
async def port(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - an async iterator to pytest
    found = Port(*request.param)
    yield found
    found.close()


def protected(payloads: int) -> Iterator[bytes]:
    sender = Outbound(SrtpKeys(PROFILE, "", b"", KEY))
    context = LibsrtpContext(SrtpKeys(PROFILE, "", b"", KEY))
    for number in range(payloads):
        yield context._session.protect(rtp_packet(number, timestamp=0, payload=bytes(100), marker=False))
    yield sender.protect_rtcp(RECEIVER_REPORT)


async def test_more_than_one_batch_is_read_in_order(port: Port) -> None:
    for number in range(200):
        port.send(b"\x00" + number.to_bytes(2, "big"))
    await eventually(lambda: len(port.listener.raw) == 200, "all datagrams")
    assert [int.from_bytes(data[1:], "big") for data, _ in port.listener.raw] == list(range(200))
    assert {address for _, address in port.listener.raw} == {port.peer.getsockname()}


@pytest.mark.parametrize("made", [Libsrtp, gcm.ciphers], ids=["libsrtp", "fastest"])
async def test_packets_of_a_known_peer_come_decrypted(port: Port, made: Callable[[], Ciphers]) -> None:
    keys = SrtpKeys(PROFILE, "", KEY, b"")
    inbound = Inbound(keys, made().rtcp_in(keys))
    port.intake.agree(port.agent, inbound)
    port.intake.learn(port.agent, port.peer.getsockname())
    for data in protected(3):
        port.send(data)
    port.send(b"\x16dtls")
    await eventually(lambda: len(port.listener.opened) == 4 and port.listener.raw, "everything")
    assert [rtcp for _, _, rtcp in port.listener.opened] == [False, False, False, True]
    assert port.listener.opened[1][0] == rtp_packet(1, timestamp=0, payload=bytes(100), marker=False)
    assert port.listener.opened[3][0] == RECEIVER_REPORT
    assert all(agent is port.agent for _, agent, _ in port.listener.opened)
    assert port.listener.raw == [(b"\x16dtls", port.peer.getsockname())]


async def test_forged_replayed_and_overlong_packets_are_counted_and_go_no_further(port: Port) -> None:
    inbound = Inbound(SrtpKeys(PROFILE, "", KEY, b""))
    port.intake.learn(port.agent, port.peer.getsockname())
    port.intake.agree(port.agent, inbound)
    first, *_ = protected(1)
    for data in (first, first, first[:-1] + b"?", b"\x80\x60" + bytes(1950), b"\x80" + bytes(3000), b"\x80"):
        port.send(data)
    await eventually(lambda: len(port.listener.refused) == 4 and port.listener.raw, "everything")
    assert len(port.listener.opened) == 1
    assert port.listener.refused == ["srtp_unprotect", "srtp_unprotect", "too_long", "too_long"]
    assert [data for data, _ in port.listener.raw] == [b"\x80"]


async def test_what_is_forgotten_is_a_stranger_s_again(port: Port) -> None:
    inbound = Inbound(SrtpKeys(PROFILE, "", KEY, b""))
    port.intake.learn(port.agent, port.peer.getsockname())
    port.intake.agree(port.agent, inbound)
    one, two, three = list(protected(3))[:3]
    port.send(one)
    await eventually(lambda: port.listener.opened, "the first")
    port.intake.agree(port.agent, None)
    port.send(two)
    await eventually(lambda: len(port.listener.raw) == 1, "undecrypted without keys")
    port.intake.agree(port.agent, inbound)
    port.intake.forget(port.peer.getsockname())
    port.intake.remove(port.agent)
    port.send(three)
    await eventually(lambda: len(port.listener.raw) == 2, "undecrypted from a stranger")
    assert [data for data, _ in port.listener.raw] == [two, three]


async def test_an_agent_s_number_is_given_again_without_its_keys(port: Port) -> None:
    port.intake.learn(port.agent, port.peer.getsockname())
    port.intake.agree(port.agent, Inbound(SrtpKeys(PROFILE, "", KEY, b"")))
    port.intake.forget(port.peer.getsockname())
    port.intake.remove(port.agent)
    handler: Any = None
    port.intake.learn(IceAgent(Credentials.generate(), handler), port.peer.getsockname())
    first, *_ = protected(1)
    port.send(first)
    await eventually(lambda: port.listener.raw, "undecrypted")
    assert not port.listener.opened


async def test_feedback_goes_to_its_controller_and_is_told_now_and_then(port: Port) -> None:
    controller = NativeCongestion()
    for _ in range(100):
        controller.departures.add(time.monotonic_ns() // 1000, 1000)
    port.intake.learn(port.agent, port.peer.getsockname())
    port.intake.agree(port.agent, Inbound(SrtpKeys(PROFILE, "", KEY, b"")))
    port.intake.follow(port.agent, controller)
    sender = Outbound(SrtpKeys(PROFILE, "", b"", KEY))
    for number in range(5):
        port.send(sender.protect_rtcp(feedback(number)))
    await eventually(lambda: port.listener.fed == 5, "all of it")
    # The first estimate is told, the rest come too soon after it.
    assert port.listener.estimated == [port.agent]
    assert controller.estimate().feedbacks == 5
    assert not port.listener.opened
    # In company of something else, or once nobody follows, it is handed on.
    port.send(sender.protect_rtcp(RECEIVER_REPORT + feedback(5)))
    port.intake.follow(port.agent, None)
    port.send(sender.protect_rtcp(feedback(6)))
    await eventually(lambda: len(port.listener.opened) == 2, "the others")
    assert controller.estimate().feedbacks == 5


def feedback(number: int) -> bytes:
    """One packet arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1)."""
    base = (FIRST + number).to_bytes(2, "big")
    return (
        b"\x8f\xcd\x00\x05" + bytes(8) + base + b"\x00\x01" + b"\x00\x00\x01" + bytes((number,)) + b"\x20\x01\x04\x00"
    )


async def test_it_may_be_closed_while_it_hands_on(port: Port) -> None:
    closed = asyncio.Event()

    def close(data: bytes, address: Address) -> None:  # noqa: ARG001 - a receiver's signature
        if not closed.is_set():
            port.intake.close()
            closed.set()

    port.listener.receive = close  # type: ignore[method-assign]
    for _ in range(10):
        port.send(b"\x00")
    await asyncio.wait_for(closed.wait(), 5)


@pytest.mark.parametrize("address", [("127.0.0.1", 5), ("10.200.3.4", 65_535), ("::1", 7, 0, 0), ("fe80::1", 9, 3, 2)])
def test_an_address_survives_the_way_to_the_kernel_and_back(address: UdpAddress) -> None:
    assert address_of(sockaddr(address)) == address


def test_other_families_have_no_address() -> None:
    assert address_of(bytes(128)) is None


def test_the_native_intake_holds_under_the_sanitizers(tmp_path: Path) -> None:
    congestion = str(build.PLANE.sources[0].with_name("congestion.c"))
    program = compiled("abuse_intake", tmp_path, congestion, *build.PLANE.libraries)
    assert "40000 calls" in abuse(program, 1, 40_000)
