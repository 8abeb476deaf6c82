"""When a packet belongs: seconds on the worker's clock, for every layer of a publisher alike.

Sender reports (RFC 3550, section 6.4.1) tell how the timestamps of a layer stand to the publisher's clock; what that
clock stands to ours is taken from the first report that arrives, once for all layers, which is what puts sound and
picture in step. Until a layer has had a report, its time is that of its arrival.
"""

from sfu_fleet.switching import Clock, signed

# How fast a layer's time may go wrong to come right: one part in twenty is neither seen nor heard.
SLEW = 0.05
# Beyond this it jumps: a report that comes late is not worth a minute of sliding.
JUMP_S = 0.5
# Where reports and arrivals disagree by more than this, the reports are wrong.
MAX_DISAGREEMENT_S = 2.0

_NTP_SECOND = 0x100000000


class PublisherClock:
    """How the publisher's clock stands to ours: what to add to its seconds; None before the first report."""

    def __init__(self) -> None:
        self.offset: float | None = None

    def heard(self, ntp: int, now: float) -> float:
        """A report came; the offset that holds from the first one on."""
        if self.offset is None:
            self.offset = now - ntp / _NTP_SECOND
        return self.offset


class LayerClock:
    """The time of one layer's timestamps. `timestamp` and `at` are of a packet that has just arrived."""

    def __init__(self, publisher: PublisherClock, rate: int, timestamp: int, at: float) -> None:
        self._publisher = publisher
        self._rate = rate
        self._anchor_timestamp = timestamp
        self._anchor_at = at
        # What is still to be added to the layer's time until it is that of the reports.
        self._owed = 0.0
        self._begun = False

    def report(self, clock: Clock, now: float) -> None:
        """A sender report, already on the layer's timeline."""
        offset = self._publisher.heard(clock.ntp, now)
        told = clock.ntp / _NTP_SECOND + offset + signed(self._anchor_timestamp - clock.timestamp) / self._rate
        wrong = told - self._anchor_at
        if abs(wrong) > MAX_DISAGREEMENT_S:
            return
        if self._begun:
            self._owed = wrong
        else:
            self._anchor_at = told

    def time_of(self, timestamp: int) -> float:
        """Seconds on our clock."""
        self._begun = True
        elapsed = signed(timestamp - self._anchor_timestamp) / self._rate
        if elapsed <= 0:
            return self._anchor_at + elapsed
        allowed = abs(self._owed) if abs(self._owed) > JUMP_S else min(abs(self._owed), elapsed * SLEW)
        paid = allowed if self._owed > 0 else -allowed
        self._owed -= paid
        self._anchor_timestamp = timestamp
        self._anchor_at += elapsed + paid
        return self._anchor_at
