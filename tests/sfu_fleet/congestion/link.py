"""A link that exists on paper: a bottleneck with a queue, loss, jitter and somebody else's packets. Virtual time.

A sender sends as much as it is told, or as much as its estimate says; the receiver reports every 50 ms, as Chromium
does. Nothing here is random but for what a seed decides.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush

from sfu_fleet.congestion.estimator import Congestion, Controller
from sfu_fleet.transport_feedback import Arrivals

FEEDBACK_S = 0.05
PACKET = 1_200
TICK_S = 0.005


class Link:
    """`capacity` is bit/s at a time; `cross` what another flow sends of it, which does not give way."""

    def __init__(
        self,
        capacity: Callable[[float], float],
        *,
        delay_s: float = 0.02,
        queue_s: float = 0.4,
        loss: float = 0.0,
        jitter_s: float = 0.0,
        cross: Callable[[float], float] = lambda _: 0.0,
        seed: int = 1,
    ) -> None:
        self.capacity = capacity
        self.delay_s = delay_s
        self.queue_s = queue_s
        self.loss = loss
        self.jitter_s = jitter_s
        self.cross = cross
        self.rng = random.Random(seed)
        self.free_at = 0.0
        self.dropped = 0

    def carry(self, now: float, size: int) -> float | None:
        """When a packet arrives; None: it does not."""
        rate = max(self.capacity(now) - self.cross(now), 1_000.0)
        starts = max(now, self.free_at)
        if starts - now > self.queue_s:
            self.dropped += 1
            return None
        self.free_at = starts + size * 8 / rate
        if self.rng.random() < self.loss:
            return None
        return self.free_at + self.delay_s + self.rng.random() * self.jitter_s


class Flow:
    """One sender over a link. `target` is bit/s to send; None: what the estimate says."""

    def __init__(self, link: Link, *, target: float | None = None, congestion: Controller | None = None) -> None:
        self.link = link
        self.target = target
        # Numbers on the wire wrap soon.
        self.congestion = congestion or Congestion(65_000)
        self.now = 10.0
        self.history: list[tuple[float, int]] = []
        self.longest_queue_s = 0.0
        # What is done with feedback, besides feeding it.
        self.watch: Callable[[bytes, int], None] = lambda _packet, _now: None
        self._arrivals = Arrivals()
        self._credit = 0.0
        # (time, order, number) of packets on their way, and (time, order, feedback) on the way back.
        self._under_way: list[tuple[float, int, int]] = []
        self._returning: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._feedback_at = self.now + FEEDBACK_S

    @property
    def bitrate(self) -> int:
        return int(self.congestion.estimate().bitrate)

    def send(self, size: int = PACKET) -> None:
        number = self.congestion.departures.add(round(self.now * 1e6), size)
        arrival = self.link.carry(self.now, size)
        if arrival is not None:
            self._order += 1
            heappush(self._under_way, (arrival, self._order, number))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.step()

    def step(self) -> None:
        self.now += TICK_S
        self._credit += (self.target if self.target is not None else self.bitrate) * TICK_S / 8
        while self._credit >= PACKET:
            self._credit -= PACKET
            self.send()
        self.longest_queue_s = max(self.longest_queue_s, self.link.free_at - self.now)
        while self._under_way and self._under_way[0][0] <= self.now:
            at, _, number = heappop(self._under_way)
            self._arrivals.arrived(number, at)
        if self.now >= self._feedback_at:
            self._feedback_at += FEEDBACK_S
            for packet in self._arrivals.take(1, 2):
                self._order += 1
                heappush(self._returning, (self.now + self.link.delay_s, self._order, packet))
        while self._returning and self._returning[0][0] <= self.now:
            packet = heappop(self._returning)[2]
            now_us = round(self.now * 1e6)
            assert self.congestion.feed(packet, now_us)
            self.watch(packet, now_us)
            self.history.append((self.now, self.bitrate))

    def mean(self, seconds: float) -> float:
        """The mean estimate of the latest seconds."""
        found = [bitrate for at, bitrate in self.history if at > self.now - seconds]
        return sum(found) / len(found)
