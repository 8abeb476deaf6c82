"""What we know of one incoming RTP source: extended sequence numbers, loss and jitter (RFC 3550, appendix A)."""

from sfu_fleet.rtcp import ReceptionReport, SenderReport
from sfu_fleet.rtp import sequence_delta

# RFC 3550, appendix A.1: a larger jump is a restart, not loss.
MAX_DROPOUT = 3_000
MAX_MISORDER = 1_000
# Extended numbers begin one cycle up, so that a packet from before the first one does not go below zero.
_FIRST_CYCLE = 0x10000


class Reception:
    """Receive statistics of one SSRC."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.highest = -1
        self.received = 0
        self._clock_rate = clock_rate
        self._base = 0
        self._reported_expected = 0
        self._reported_received = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._last_report = 0
        self._last_report_at = 0.0

    @property
    def lost(self) -> int:
        """Packets lost since the start; packets sent again count as received."""
        return self.highest + 1 - self._base - self.received if self.highest >= 0 else 0

    @staticmethod
    def first_number(sequence: int) -> int:
        """The extended number that the first packet gets."""
        return _FIRST_CYCLE + sequence

    def receive(self, sequence: int, timestamp: int, now: float) -> int | None:
        """Count a packet; its extended sequence number, or None when it is too old to matter.

        A jump forward is not counted as loss.
        """
        if self.highest < 0:
            self._base = self.highest = extended = self.first_number(sequence)
        else:
            delta = sequence_delta(sequence, self.highest & 0xFFFF)
            extended = self.highest + delta
            if delta < -MAX_MISORDER or extended < 0:
                return None
            if delta > MAX_DROPOUT:
                self._base += delta - 1
            self.highest = max(extended, self.highest)
        self.received += 1
        transit = now * self._clock_rate - timestamp
        if self._transit is not None:
            # Timestamps wrap: the difference counts modulo 2^32.
            difference = abs((transit - self._transit + 0x80000000) % 0x100000000 - 0x80000000)
            self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return extended

    def number(self, sequence: int) -> int:
        """The extended number of a packet that is not counted yet."""
        return self.highest + sequence_delta(sequence, self.highest & 0xFFFF)

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Remember when the source's clock was told: the source measures its round trip with that."""
        self._last_report = report.ntp >> 16 & 0xFFFFFFFF
        self._last_report_at = now

    def report(self, now: float) -> ReceptionReport:
        """A report block, and the beginning of the next interval."""
        expected = self.highest + 1 - self._base
        interval_expected = expected - self._reported_expected
        interval_lost = interval_expected - (self.received - self._reported_received)
        self._reported_expected, self._reported_received = expected, self.received
        fraction = (interval_lost << 8) // interval_expected if interval_expected > 0 and interval_lost > 0 else 0
        delay = int((now - self._last_report_at) * 65536) if self._last_report else 0
        return ReceptionReport(
            ssrc=self.ssrc,
            fraction_lost=min(fraction, 255),
            lost=self.lost,
            highest_sequence=self.highest - _FIRST_CYCLE & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last_report=self._last_report,
            delay=delay,
        )
