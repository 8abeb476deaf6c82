"""The estimate of one transport: from raw feedback packets and the log of what was sent, to bit/s."""

from typing import Protocol

import msgspec

from sfu_fleet import transport_feedback
from sfu_fleet.congestion.acknowledged import AcknowledgedRate
from sfu_fleet.congestion.groups import PacketGroups
from sfu_fleet.congestion.loss_based import LossBased
from sfu_fleet.congestion.rate_control import RateControl
from sfu_fleet.congestion.sent import FIRST, SIZE, Departures, SentLog
from sfu_fleet.congestion.telling import Telling
from sfu_fleet.congestion.trendline import Signal, Trendline
from sfu_fleet.transport_feedback import TICKS_PER_REFERENCE

_TICK_MS = 0.25
# Until a report tells the round trip.
_RTT_MS = 200.0
# One reference time is 24 bits wide.
_REFERENCES = 1 << 24
# A probe that is to count: packets and bytes of it that arrived (libwebrtc's probe bitrate estimator).
_PROBE_PACKETS = 4
_PROBE_SHARE = 0.8
_PROBE_LONGEST_MS = 1_000.0
# Arriving faster than it was sent by more than this is a measurement that went wrong.
_PROBE_FASTER = 2.0
# Arriving at less than this share of what was sent, the way is full, and a little less is what it carries.
_PROBE_SLOWER, _PROBE_CARRIED = 0.9, 0.95


class Estimate(msgspec.Struct, frozen=True):
    """What is known of a way. `acknowledged` is 0 until half a second has arrived; `loss` is a share."""

    bitrate: int
    acknowledged: int
    loss: float
    signal: Signal
    feedbacks: int
    refused: int
    decreases: int
    acknowledged_bytes: int


class Controller(Protocol):
    """What estimates one way: `Congestion`, or that of native/congestion.py, which says the same to the last bit."""

    @property
    def departures(self) -> Departures:
        """What numbers the packets of this transport."""

    @property
    def highest(self) -> int:
        """The latest number (extended) that feedback has spoken of; -1 before any."""

    def feed(self, packet: bytes, now_us: int) -> float:
        """Take one RTCP packet of feedback (FMT 15); the estimate, 0.0 where it is malformed, which changes nothing."""

    def note_rtt(self, rtt: float) -> None:
        """Take a round trip in milliseconds, of receiver reports."""

    def probed(self, first: int, end: int, now_us: int) -> float:
        """What a probe found in bit/s, of which the packets from `first` up to `end` were; 0.0: nothing for sure."""

    def raise_to(self, bitrate: float) -> None:
        """Take what a probe found for the estimate, where it is more."""

    def attend(self, below: float, every_us: int) -> None:
        """Which estimates `due` is to let through from now on: see `telling`."""

    def due(self, now_us: int) -> bool:
        """Whether the estimate is to be told now; then it counts as told."""

    def estimate(self) -> Estimate:
        """What is known now."""


class Congestion:
    """See `Controller`. `sent` is the log, which begins with the number `first`."""

    def __init__(self, first: int = FIRST) -> None:
        self.sent = SentLog(first)
        self._rtt = _RTT_MS
        self._acknowledged = AcknowledgedRate()
        self._groups = PacketGroups()
        self._trend = Trendline()
        self._rate = RateControl()
        self._loss = LossBased()
        self._telling = Telling()
        self._bitrate = self._rate.rate
        self._feedbacks = self._refused = 0
        # The latest number that feedback has spoken of, and when packets came, in ticks of 32 bits; 0: did not come.
        self._highest = -1
        self._arrivals = [0] * SIZE
        self._reference = 0

    @property
    def departures(self) -> Departures:
        """What numbers the packets of this transport."""
        return self.sent

    def feed(self, packet: bytes, now_us: int) -> float:
        """Take one RTCP packet of feedback (FMT 15); the estimate, 0.0 where it is malformed, which changes nothing."""
        try:
            feedback = transport_feedback.parse(packet)
        except ValueError:
            self._refused += 1
            return 0.0
        self._feedbacks += 1
        now = now_us / 1_000.0
        start = self._extend(feedback.reference) * TICKS_PER_REFERENCE
        base = self.sent.extended(feedback.base)
        lost = received = 0
        for index, ticks in enumerate(feedback.ticks):
            number = base + index
            if number >= self.sent.next:
                break
            if number < self.sent.next - SIZE:
                continue
            fresh = number > self._highest
            if fresh:
                self._advance(number)
            if ticks is None:
                lost += fresh
                continue
            place = number % SIZE
            entry = self.sent.find(number)
            if entry is None or number <= self._highest - SIZE or self._arrivals[place]:
                continue
            received += 1
            lost -= not fresh
            tick = start + ticks
            self._arrivals[place] = tick & 0xFFFFFFFF or 1
            self._arrived(entry[0] / 1_000.0, tick * _TICK_MS, entry[1])
        if received:
            self._acknowledged.update()
            self._rate.update(self._trend.signal, self._acknowledged.rate, now, self._rtt)
        self._loss.note(lost, received)
        self._loss.update(self._rate.rate, self._acknowledged.rate, now)
        return self._combine()

    def note_rtt(self, rtt: float) -> None:
        """Take a round trip in milliseconds, of receiver reports."""
        self._rtt = rtt

    def probed(self, first: int, end: int, now_us: int) -> float:  # noqa: ARG002 - the other one's log has short times
        """What a probe found in bit/s, of which the packets from `first` up to `end` were; 0.0: nothing for sure."""
        sent_first = sent_last = sent_bytes = last_size = 0
        packets = arrived_bytes = first_size = 0
        earliest = latest = 0
        for number in range(first, end):
            entry = self.sent.find(number)
            if entry is None:
                return 0.0
            sent_bytes += entry[1]
            if number == first:
                sent_first = entry[0]
            sent_last, last_size = entry
            arrival = self._arrivals[number % SIZE] if self._highest - SIZE < number <= self._highest else 0
            if not arrival:
                continue
            if packets == 0:
                earliest, first_size = arrival, entry[1]
            # Ticks wrap, and those of one probe lie close together.
            if _signed(arrival - earliest) > _signed(latest - earliest) or packets == 0:
                latest = arrival
            packets += 1
            arrived_bytes += entry[1]
        sent_ms = (sent_last - sent_first) / 1_000.0
        arrived_ms = _signed(latest - earliest) * _TICK_MS
        if packets < _PROBE_PACKETS or arrived_bytes < _PROBE_SHARE * sent_bytes:
            return 0.0
        if not (0.0 < sent_ms <= _PROBE_LONGEST_MS and 0.0 < arrived_ms <= _PROBE_LONGEST_MS):
            return 0.0
        sent_rate = (sent_bytes - last_size) * 8_000.0 / sent_ms
        arrived_rate = (arrived_bytes - first_size) * 8_000.0 / arrived_ms
        if arrived_rate > _PROBE_FASTER * sent_rate:
            return 0.0
        return (
            _PROBE_CARRIED * arrived_rate if arrived_rate < _PROBE_SLOWER * sent_rate else min(sent_rate, arrived_rate)
        )

    def raise_to(self, bitrate: float) -> None:
        """Take what a probe found for the estimate, where it is more."""
        self._rate.raise_to(bitrate)
        self._loss.raise_to(bitrate)
        self._combine()

    def attend(self, below: float, every_us: int) -> None:
        """Which estimates `due` is to let through from now on: see `telling`."""
        self._telling.attend(below, every_us)

    def due(self, now_us: int) -> bool:
        """Whether the estimate is to be told now; then it counts as told."""
        return self._telling.due(self._bitrate, now_us)

    @property
    def highest(self) -> int:
        """The latest number that feedback has spoken of."""
        return self._highest

    def estimate(self) -> Estimate:
        """What is known now."""
        return Estimate(
            int(self._bitrate),
            int(self._acknowledged.rate),
            self._loss.loss,
            self._trend.signal,
            self._feedbacks,
            self._refused,
            self._rate.decreases,
            self._acknowledged.bytes,
        )

    def _combine(self) -> float:
        limit = self._loss.limit
        self._bitrate = min(self._rate.rate, limit) if limit > 0.0 else self._rate.rate
        return self._bitrate

    def _arrived(self, sent: float, arrived: float, size: int) -> None:
        self._acknowledged.note(arrived, size)
        between = self._groups.note(sent, arrived)
        if between is not None:
            self._trend.update(between[0], between[1], arrived)

    def _advance(self, number: int) -> None:
        """Numbers of which nothing has been said yet."""
        for missed in range(max(self._highest + 1, number - SIZE + 1), number + 1):
            self._arrivals[missed % SIZE] = 0
        self._highest = number

    def _extend(self, reference: int) -> int:
        """The reference time without its wraps. It is a cycle at least, so that no arrival is negative."""
        step = (reference - self._reference) % _REFERENCES
        self._reference += step - _REFERENCES if step >= _REFERENCES // 2 and self._feedbacks > 1 else step
        if self._reference < _REFERENCES:
            self._reference += _REFERENCES
        return self._reference


def _signed(difference: int) -> int:
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
