"""When a viewer's way is probed for more than it is being sent, and what follows: a pure machine.

An estimate ends near what is sent. Whether the way carries the next layer shows only when that much is sent, which a
probe does for some tens of milliseconds: packets again, as retransmissions, at the rate that is in question. A probe
that confirms the rate makes the estimate, one that does not is repeated more and more rarely, down to once in eight
seconds. All probes together are a small share of what a viewer gets, and where there is nothing to find out there are
none.
"""

from enum import StrEnum

import msgspec

from sfu_fleet.congestion.estimator import Estimate

# A probe has so many bursts, and a burst a packet at least (libwebrtc: five packets and 15 ms at least).
BURSTS = 6
BURST_MIN_S = 0.005
PACKET = 1_200
# So much at a time of what is known to get through: a longer step may fill a queue that a shorter one shows is there.
LARGEST_STEP = 3.0
# Of the rate that is wanted: a measurement ends a little below what was sent.
_ABOVE = 1.1
# Probes may send this share of what is acknowledged, begin with a few probes in hand, and save up no more than that.
SHARE = 0.05
CREDIT_START, CREDIT_MAX = 40_000.0, 60_000.0
# For so long after a sign of congestion there is no probe; signs that do not end put it off by no more than the other.
CALM_S, CALM_MAX_S = 3.0, 12.0
# After one that failed there is none for so long, doubling.
RETRY_S, RETRY_MAX_S = 2.0, 8.0
# After a success more is probed for at once, if more is wanted.
NEXT_S = 0.4
# Feedback about a probe comes within this time, or never.
RESULT_S = 1.0
# As many probes in a row as were not carried out as meant, and probing is given up for a while.
_FUTILE = 4
FUTILE_S = 60.0


class ProbeState(StrEnum):
    """What a viewer's prober does."""

    IDLE = "idle"
    PROBING = "probing"
    WAITING = "waiting"
    FUTILE = "futile"


class Probe(msgspec.Struct, frozen=True):
    """A cluster to send: BURSTS bursts of `burst_bytes`, `interval_s` apart, at `bitrate` together."""

    bitrate: float
    burst_bytes: int
    interval_s: float


class ProbeController:
    """Decides for one viewer. Times are seconds of any steady clock."""

    def __init__(self, now: float) -> None:
        self.state = ProbeState.IDLE
        self.probe: Probe | None = None
        self.found = 0.0
        self.probes = 0
        self.bytes = 0
        self._credit = CREDIT_START
        self._acknowledged: int | None = None
        self._retry_s = RETRY_S
        # When the next probe may be, by the latest one's outcome, and with what signs of congestion add to that.
        self._due = self._not_before = now + NEXT_S
        self._decreases = 0
        self._futile = 0

    @property
    def conclusive(self) -> bool:
        """Whether probes tell what the estimate cannot; else something else has to."""
        return self.state is not ProbeState.FUTILE

    def look(self, now: float, wanted: float, known: Estimate) -> Probe | None:
        """A probe to send now. `wanted` is the bit rate in question, 0.0 for none."""
        if self._acknowledged is not None:
            self._credit = min(CREDIT_MAX, self._credit + SHARE * (known.acknowledged_bytes - self._acknowledged))
        self._acknowledged = known.acknowledged_bytes
        if known.decreases != self._decreases:
            self._decreases = known.decreases
            self._not_before = max(self._not_before, min(now + CALM_S, self._due + CALM_MAX_S))
        if self.state is ProbeState.PROBING:
            return None
        if wanted <= known.bitrate:
            self.state = ProbeState.IDLE
            return None
        if now < self._not_before:
            if self.state is not ProbeState.FUTILE:
                self.state = ProbeState.WAITING
            return None
        probe = _plan(min(_ABOVE * wanted, LARGEST_STEP * max(known.bitrate, known.acknowledged)))
        size = BURSTS * probe.burst_bytes
        if size > self._credit:
            self.state = ProbeState.WAITING
            return None
        self._credit -= size
        self.bytes += size
        self.probes += 1
        self.probe = probe
        self.state = ProbeState.PROBING
        return probe

    def ended(self, now: float, found: float, *, overusing: bool) -> float:
        """A probe was measured, 0.0 where it could not be. Returns the bit/s that it confirms, 0.0 for none."""
        probe, self.probe = self.probe, None
        self.state = ProbeState.WAITING
        self.found = found
        if probe is None:
            return 0.0
        wait_s = self._retry_s
        if found <= 0.0:
            # Too few packets to send again, a loop that was late, feedback that was lost.
            self._futile += 1
            wait_s = RETRY_S
            if self._futile >= _FUTILE:
                self.state = ProbeState.FUTILE
                self._futile = 0
                wait_s = FUTILE_S
        else:
            self._futile = 0
            # While a queue grows nothing is taken for more than it was.
            found = 0.0 if overusing else found
            if found >= 0.9 * probe.bitrate / _ABOVE:
                self._retry_s = RETRY_S
                wait_s = NEXT_S
            else:
                self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s)
        self._due = self._not_before = now + wait_s
        return found


def _plan(bitrate: float) -> Probe:
    interval_s = max(BURST_MIN_S, PACKET * 8 / bitrate)
    return Probe(bitrate, round(bitrate * interval_s / 8), interval_s)
