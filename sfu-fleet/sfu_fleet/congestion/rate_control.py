"""Additive increase, multiplicative decrease (draft-ietf-rmcat-gcc-02, section 5.5).

Far from what the way was last seen to carry the rate grows by 8 % a second, near to it by about half a packet for each
response time. It falls to 0.85 of what arrives.
"""

from math import sqrt

from sfu_fleet.congestion.trendline import Signal

START = 500_000.0
MIN, MAX = 30_000.0, 100_000_000.0
_BETA = 0.85
_GROWTH_PER_S = 0.08
# No more than this share of what arrives, and a little: the rest is untried.
_UNTRIED, _UNTRIED_MORE = 1.5, 10_000.0
# The mean of what arrived when there was over-use, and how much it varies, in kbit/s, as libwebrtc keeps them.
_CAPACITY_WEIGHT = 0.05
_DEVIATION_START, _DEVIATION_MIN, _DEVIATION_MAX = 0.4, 0.4, 2.5
_DEVIATIONS = 3.0
# For additive increase: 30 frames a second in packets of 1,200 bytes; the response is a round trip and this.
_FRAMES_PER_S, _PACKET_BITS = 30.0, 9_600.0
_RESPONSE_MS = 100.0
_ADDITIVE_MIN = 4_000.0
# Between two decreases there is time for the first one to be felt.
_SETTLE_MIN_MS, _SETTLE_MAX_MS = 10.0, 200.0


class RateControl:
    """The delay-based estimate: `rate`."""

    def __init__(self) -> None:
        self.rate = START
        self.decreases = 0
        self._holding = True
        self._updated_at = 0.0
        self._decreased_at = -1.0
        self._capacity = -1.0
        self._deviation = _DEVIATION_START

    def update(self, signal: Signal, acknowledged: float, now: float, rtt: float) -> None:
        """Follow the detector; `acknowledged` is 0.0 while it is not known."""
        if signal is Signal.OVERUSE:
            self._decrease(acknowledged, now, rtt)
        elif signal is Signal.UNDERUSE:
            # Queues are being emptied: do not fill them again before they are.
            self._holding = True
        elif self._holding:
            self._holding = False
        else:
            self._increase(acknowledged, min(max(now - self._updated_at, 0.0), 1_000.0) / 1_000.0, rtt)
        self._updated_at = now

    def raise_to(self, rate: float) -> None:
        """A probe found at least so much."""
        if rate > self.rate:
            self.rate = min(rate, MAX)
            if self._capacity >= 0.0 and rate / 1_000.0 > self._upper():
                self._capacity = -1.0

    def _increase(self, acknowledged: float, seconds: float, rtt: float) -> None:
        if self._capacity >= 0.0 and acknowledged / 1_000.0 > self._upper():
            self._capacity = -1.0
        if self._capacity >= 0.0:
            frame = self.rate / _FRAMES_PER_S
            packets = float(int(frame / _PACKET_BITS) + 1)
            grown = self.rate + max(_ADDITIVE_MIN, frame / packets * 1_000.0 / (rtt + _RESPONSE_MS)) * seconds
        else:
            grown = self.rate * (1.0 + _GROWTH_PER_S * seconds)
        if acknowledged > 0.0:
            # What has been found already, by a probe for instance, stays.
            grown = min(grown, max(self.rate, _UNTRIED * acknowledged + _UNTRIED_MORE))
            # A viewer is sent the smallest layer whatever the estimate: what arrives is carried.
            grown = max(grown, _BETA * acknowledged)
        self.rate = min(grown, MAX)

    def _decrease(self, acknowledged: float, now: float, rtt: float) -> None:
        settle = min(max(rtt, _SETTLE_MIN_MS), _SETTLE_MAX_MS)
        settling = self._decreased_at >= 0.0 and now - self._decreased_at < settle
        if settling and not 0.0 < acknowledged < 0.5 * self.rate:
            return
        carried = acknowledged if acknowledged > 0.0 else self.rate
        self.rate = max(MIN, min(self.rate, _BETA * carried))
        if acknowledged > 0.0:
            self._note_capacity(acknowledged / 1_000.0)
        self._holding = True
        self._decreased_at = now
        self.decreases += 1

    def _note_capacity(self, kbps: float) -> None:
        if self._capacity >= 0.0 and not self._lower() <= kbps <= self._upper():
            self._capacity = -1.0
        if self._capacity < 0.0:
            self._capacity, self._deviation = kbps, _DEVIATION_START
            return
        self._capacity = (1.0 - _CAPACITY_WEIGHT) * self._capacity + _CAPACITY_WEIGHT * kbps
        error = self._capacity - kbps
        norm = max(self._capacity, 1.0)
        self._deviation = (1.0 - _CAPACITY_WEIGHT) * self._deviation + _CAPACITY_WEIGHT * error * error / norm
        self._deviation = min(max(self._deviation, _DEVIATION_MIN), _DEVIATION_MAX)

    def _upper(self) -> float:
        return self._capacity + _DEVIATIONS * sqrt(self._deviation * self._capacity)

    def _lower(self) -> float:
        return max(0.0, self._capacity - _DEVIATIONS * sqrt(self._deviation * self._capacity))
