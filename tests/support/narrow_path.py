"""A UDP path with a bottleneck, delay and loss, for kernels without netem.

It stands between a browser and a worker: the browser is told its port instead of the worker's. What goes towards the
client queues behind a rate, and is lost when the queue is full; the way back is not narrowed. Delay and loss are those
of both ways, each way having half of the delay.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Self

QUEUE_S = 0.4
# IP and UDP headers count, as they do on a real link.
OVERHEAD = 28


class NarrowPath:
    """An async context manager. `bitrate`, `rtt_s` and `loss` (a share of the packets) may be changed at any time.

    A bit rate of None is as wide as the machine.
    """

    def __init__(
        self, worker: tuple[str, int], bitrate: int | None = None, *, rtt_s: float = 0.0, loss: float = 0.0
    ) -> None:
        self.bitrate = bitrate
        self.rtt_s = rtt_s
        self.loss = loss
        self.lost = 0
        self._random = random.Random(1)
        self._worker = worker
        self._client: tuple[str, int] | None = None
        self._cut_off: set[tuple[str, int]] = set()
        self._free_at = 0.0
        self._inside: asyncio.DatagramTransport | None = None
        self._outside: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """Where the client sends to."""
        assert self._outside is not None
        return int(self._outside.get_extra_info("sockname")[1])

    def cut(self) -> None:
        """Let nothing through to or from where the client is now: only another address of its gets through again."""
        if self._client is not None:
            self._cut_off.add(self._client)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._outside, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self._inside, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_worker), remote_addr=self._worker
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for side in (self._inside, self._outside):
            if side is not None:
                side.close()

    def _from_client(self, data: bytes, address: tuple[str, int]) -> None:
        if address in self._cut_off:
            return
        self._client = address
        if not self._is_lost():
            self._later(asyncio.get_running_loop().time(), self._send_in, data)

    def _from_worker(self, data: bytes, _address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._is_lost():
            return
        if self.bitrate is None:
            self._later(now, self._deliver, data)
            return
        starts = max(now, self._free_at)
        if starts - now > QUEUE_S:
            self.lost += 1
            return
        self._free_at = starts + (len(data) + OVERHEAD) * 8 / self.bitrate
        self._later(self._free_at, self._deliver, data)

    def _is_lost(self) -> bool:
        if not self.loss or self._random.random() >= self.loss:
            return False
        self.lost += 1
        return True

    def _later(self, at: float, deliver: Callable[[bytes], None], data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = at + self.rtt_s / 2
        if due <= loop.time():
            deliver(data)
        else:
            loop.call_at(due, deliver, data)

    def _send_in(self, data: bytes) -> None:
        if self._inside is not None and not self._inside.is_closing():
            self._inside.sendto(data)

    def _deliver(self, data: bytes) -> None:
        if self._client is None or self._client in self._cut_off:
            return
        if self._outside is not None and not self._outside.is_closing():
            self._outside.sendto(data, self._client)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received(data, addr)
