"""How packets of the Python plane leave: together or one by one, the same packets arrive."""

import errno
import socket
import sys
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pylibsrtp import Policy

from sfu_fleet.datagrams import Datagrams, OneByOne, Together, datagrams, ffi
from sfu_fleet.dtls import Inbound, Outbound, SrtpKeys
from sfu_fleet.ice import Address, MediaSocket
from sfu_fleet.metrics import Metrics
from tests.sfu_fleet.peer import rtp_packet

KEYS = SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", bytes(44), bytes(44))
together_only = pytest.mark.skipif(sys.platform != "linux", reason="sendmmsg is of Linux")
LIBRARY = ffi.dlopen(None)
Make = Callable[[MediaSocket], Datagrams]


@pytest.fixture
async def media_socket() -> AsyncIterator[MediaSocket]:
    found = await MediaSocket.open("127.0.0.1", 0, Metrics(), ipv6_host="::1")
    yield found
    found.close()


def receiver(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(5)
    return sock


def send(outgoing: Datagrams, outbound: Outbound, number: int, address: Address) -> int:
    packet = rtp_packet(number, timestamp=0, payload=bytes((number % 256,)) * 100)
    place = outgoing.place()
    outgoing.view[place : place + len(packet)] = packet
    return outgoing.add(outbound, len(packet), address)


@pytest.mark.parametrize("make", [OneByOne, pytest.param(datagrams, marks=together_only)])
async def test_every_packet_arrives_once_and_in_order(make: Make, media_socket: MediaSocket) -> None:
    outgoing, outbound, inbound = make(media_socket), Outbound(KEYS), Inbound(KEYS)
    with receiver() as sock:
        for number in range(150):
            assert send(outgoing, outbound, number, sock.getsockname()) == 12 + 100 + 16
        assert outgoing.flush() == 0
        arrived = [inbound.unprotect(sock.recv(2048)) for _ in range(150)]
    assert arrived == [rtp_packet(n, timestamp=0, payload=bytes((n % 256,)) * 100) for n in range(150)]


@together_only
async def test_both_families_are_served_by_turns(media_socket: MediaSocket) -> None:
    outgoing = datagrams(media_socket)
    assert isinstance(outgoing, Together)
    with receiver() as one, receiver("::1") as other:
        ways = [(sock, Outbound(KEYS), Inbound(KEYS)) for sock in (one, other)]
        for number in range(10):
            for sock, outbound, _ in ways:
                assert send(outgoing, outbound, number, sock.getsockname())
        assert outgoing.flush() == 0
        for sock, _, inbound in ways:
            numbers = [int.from_bytes(inbound.unprotect(sock.recv(2048))[2:4], "big") for _ in range(10)]
            assert numbers == list(range(10))


@together_only
async def test_one_that_cannot_be_sent_is_counted_and_takes_no_other_with_it(media_socket: MediaSocket) -> None:
    outgoing, outbound, inbound = datagrams(media_socket), Outbound(KEYS), Inbound(KEYS)
    with receiver() as sock:
        send(outgoing, outbound, 0, sock.getsockname())
        # Port 0 is no destination (RFC 768 has it for "none"): the kernel refuses it.
        send(outgoing, outbound, 1, ("127.0.0.1", 0))
        send(outgoing, outbound, 2, sock.getsockname())
        assert outgoing.flush() == 1
        assert [int.from_bytes(inbound.unprotect(sock.recv(2048))[2:4], "big") for _ in range(2)] == [0, 2]


@together_only
async def test_packets_of_equal_size_to_one_peer_are_a_train_and_arrive_as_they_were(media_socket: MediaSocket) -> None:
    calls: list[int] = []

    def counted(descriptor: int, messages: Any, count: int, flags: int) -> int:  # noqa: ANN401 - a cffi pointer
        calls.append(count)
        return int(LIBRARY.sendmmsg(descriptor, messages, count, flags))

    outgoing = Together(media_socket, SimpleNamespace(sendmmsg=counted))
    outbound, inbound = Outbound(KEYS), Inbound(KEYS)
    with receiver() as sock, receiver() as other:
        here, there = sock.getsockname(), other.getsockname()
        for number, address in enumerate([here] * 5 + [there] + [here] * 3):
            send(outgoing, outbound, number, address)
        assert outgoing.flush() == 0
        assert calls == [3]
        numbers = [int.from_bytes(inbound.unprotect(sock.recv(2048))[2:4], "big") for _ in range(8)]
        assert numbers == [0, 1, 2, 3, 4, 6, 7, 8]


@together_only
async def test_where_the_kernel_takes_no_trains_packets_are_sent_again_one_by_one(media_socket: MediaSocket) -> None:
    refused: list[int] = []

    def refuse_trains(descriptor: int, messages: Any, count: int, flags: int) -> int:  # noqa: ANN401 - a cffi pointer
        if messages[0].header.control_length:
            refused.append(count)
            ffi.errno = errno.EINVAL
            return -1
        return int(LIBRARY.sendmmsg(descriptor, messages, 1, flags))

    outgoing = Together(media_socket, SimpleNamespace(sendmmsg=refuse_trains))
    outbound, inbound = Outbound(KEYS), Inbound(KEYS)
    with receiver() as sock:
        address = sock.getsockname()
        for number in range(10):
            send(outgoing, outbound, number, address)
            if number == 4:
                outgoing.flush()
        outgoing.flush()
        assert refused == [1]
        assert [int.from_bytes(inbound.unprotect(sock.recv(2048))[2:4], "big") for _ in range(10)] == list(range(10))


async def test_without_the_system_call_packets_go_one_by_one(
    media_socket: MediaSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu_fleet.datagrams.sys.platform", "darwin")
    assert isinstance(datagrams(media_socket), OneByOne)
