"""A transport in memory between a peer and a worker, on which the n-th media packet meets a fate that a test decides.

No clock and no chance: packets are counted each way, and a pattern says for each number which copies of it arrive, and
how many packets later. STUN, DTLS and RTCP always arrive, so that what a test sees is about media alone.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from sfu_fleet.ice import MediaSocket
from sfu_fleet.rtp import is_rtcp
from tests.sfu_fleet.peer import Peer

# The number of a packet, from 0 -> after how many more packets each copy of it arrives: () is lost, (0, 0) comes twice.
Pattern = Callable[[int], tuple[int, ...]]


def clean(_number: int) -> tuple[int, ...]:
    """Everything arrives, once and in order."""
    return (0,)


def every(nth: int, *, first: int = 3) -> Pattern:
    """Each n-th packet is lost."""
    return lambda number: () if number >= first and (number - first) % nth == 0 else (0,)


def burst(start: int, length: int) -> Pattern:
    """So many in a row are lost."""
    return lambda number: () if start <= number < start + length else (0,)


def reordered(nth: int, late: int) -> Pattern:
    """Each n-th packet is overtaken by some."""
    return lambda number: (late,) if number % nth == nth - 1 else (0,)


def doubled(nth: int, late: int = 0) -> Pattern:
    """Of each n-th packet there are two, the other one later."""
    return lambda number: (0, late) if number % nth == nth - 1 else (0,)


_ports = itertools.count(1)


class _Way:
    """One direction."""

    def __init__(self, pattern: Pattern, deliver: Callable[[bytes], None]) -> None:
        self._pattern = pattern
        self._deliver = deliver
        self._held: list[tuple[int, bytes]] = []
        self.count = 0
        self.fates: Counter[int] = Counter()

    def send(self, data: bytes) -> None:
        """A datagram."""
        if not 128 <= data[0] < 192 or is_rtcp(data):
            self._soon(data)
            return
        number, self.count = self.count, self.count + 1
        copies = self._pattern(number)
        self.fates[len(copies)] += 1
        for late in copies:
            if late:
                self._held.append((number + late, data))
            else:
                self._soon(data)
        due = [held for at, held in self._held if at <= number]
        self._held = [entry for entry in self._held if entry[0] > number]
        for held in due:
            self._soon(held)

    def _soon(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._deliver, data)


class LossyPair:
    """Joins a peer to a worker's socket. `up` is towards the worker, `down` towards the peer."""

    def __init__(self, peer: Peer, media_socket: MediaSocket, *, up: Pattern = clean, down: Pattern = clean) -> None:
        # Of three parts, as those of TCP, which no datagram socket serves: the Python plane does, beside either.
        self._address: Any = ("192.0.2.1", next(_ports), "memory")
        self.up = _Way(up, lambda data: media_socket.datagram_received(data, self._address))
        self.down = down_way = _Way(down, lambda data: peer.datagram_received(data, ("", 0)))
        others: Any = media_socket._ways[3]

        def send(data: bytes, address: object) -> int:
            if address != self._address:
                return int(others(data, address))
            down_way.send(bytes(data))
            return len(data)

        media_socket._ways[3] = send
        # RTP datagrams as they were sent: without RTX a packet is sent again to the last bit.
        self.sent: dict[int, bytes] = {}

        async def rebind() -> None:
            peer._transport = self  # type: ignore[assignment]

        peer.rebind = rebind  # type: ignore[method-assign]

    def sendto(self, data: bytes, _address: object) -> None:
        """What the peer sends."""
        if 128 <= data[0] < 192 and not is_rtcp(data):
            self.sent.setdefault(int.from_bytes(data[2:4], "big"), data)
        self.up.send(data)

    def is_closing(self) -> bool:
        """Never: there is nothing to close."""
        return False

    def close(self) -> None:
        """There is nothing to close."""
