"""One unbroken sequence of numbers and timestamps out of what a publisher sends.

Padding-only packets, which probe the uplink, are taken out without leaving a gap. A publisher that starts over with a
new SSRC continues where the old one stopped.
"""

from bisect import bisect_right, insort

_REMEMBERED_SKIPS = 256


class Timeline:
    """Maps extended sequence numbers and timestamps of the current source to outgoing ones, before viewers' offsets."""

    def __init__(self, clock_rate: int) -> None:
        self.highest = -1
        self.timestamp_shift = 0
        self._clock_rate = clock_rate
        self._shift = 0
        # Extended sequence numbers that were taken out, ascending; older ones are part of the shift.
        self._skipped: list[int] = []
        self._source_highest = -1
        # Below this a number could meet one that was given out already.
        self._floor = 0
        self._last_timestamp = 0
        self._last_at = 0.0

    def rebase(self, extended: int, timestamp: int, now: float) -> None:
        """A new source begins with this packet: go on behind the last number, at the time that has passed since."""
        self._skipped.clear()
        self._source_highest = extended - 1
        self._floor = extended
        if self.highest < 0:
            return
        self._shift = self.highest + 1 - extended
        elapsed = max(1, round((now - self._last_at) * self._clock_rate))
        self.timestamp_shift = (self._last_timestamp + elapsed - timestamp) & 0xFFFFFFFF

    def place(self, extended: int, timestamp: int, now: float) -> tuple[int, int] | None:
        """Outgoing extended sequence number and timestamp of a packet; None when it is too late for a number.

        No two packets ever get the same number: under SRTP with AES-GCM that would give the key away.
        """
        if extended < self._floor:
            return None
        out = extended + self._shift
        if self._skipped:
            out -= bisect_right(self._skipped, extended)
        mapped = (timestamp + self.timestamp_shift) & 0xFFFFFFFF
        self._source_highest = max(extended, self._source_highest)
        if out > self.highest:
            self.highest = out
            self._last_timestamp, self._last_at = mapped, now
        return out, mapped

    def skip(self, extended: int) -> bool:
        """Take a packet out. False when later ones are on their way already, so that its number must be used."""
        if extended <= self._source_highest:
            return False
        self._source_highest = extended
        insort(self._skipped, extended)
        if len(self._skipped) > _REMEMBERED_SKIPS:
            self._floor = self._skipped.pop(0)
            self._shift -= 1
        return True
