"""What is wrong with a publisher's stream that viewers will see and the publisher could change.

Told from numbers, times and reports alone: nothing is decoded. A warning that was given stays.
"""

from enum import StrEnum

from sfu_fleet.rtcp import SenderReport

# So many steps back in time are no accident of a restarted source.
_B_FRAMES = 3
# A viewer who joins sees nothing until the next keyframe.
KEYFRAME_PATIENCE_S = 4.0
# Sender reports that are nearer to each other say little about the clock.
_DRIFT_AFTER_S = 20.0
# Of a thousand: players stretch or drop sound to make up for more.
_DRIFT_LIMIT = 2.0
_HALF, _WHOLE = 1 << 31, 1 << 32


class Trouble(StrEnum):
    """What is wrong."""

    B_FRAMES = "b_frames"
    KEYFRAMES_LATE = "keyframes_late"
    CLOCK_DRIFT = "clock_drift"


class StreamHealth:
    """Watches one track; `warnings` grows."""

    def __init__(self, clock_rate: int) -> None:
        self.warnings: set[Trouble] = set()
        self._clock_rate = clock_rate
        self._highest = -1
        self._timestamp: int | None = None
        self._steps_back = 0
        self._asked_at: float | None = None
        self._first_report: SenderReport | None = None

    def restarted(self) -> None:
        """Another source has taken over: its numbers have nothing to do with those before."""
        self._highest = -1
        self._timestamp = self._first_report = None

    def packet(self, extended: int, timestamp: int) -> None:
        """A packet: in a stream without B-frames time does not go back while the numbers go on."""
        if extended <= self._highest:
            return
        self._highest = extended
        before, self._timestamp = self._timestamp, timestamp
        if before is not None and (timestamp - before) % _WHOLE > _HALF:
            self._steps_back += 1
            if self._steps_back >= _B_FRAMES:
                self.warnings.add(Trouble.B_FRAMES)

    def asked(self, now: float) -> None:
        """A keyframe was asked for."""
        if self._asked_at is None:
            self._asked_at = now

    def keyframe(self) -> None:
        """A keyframe has begun."""
        self._asked_at = None

    def look(self, now: float) -> None:
        """See whether something that should have happened has not."""
        if self._asked_at is not None and self._highest >= 0 and now - self._asked_at > KEYFRAME_PATIENCE_S:
            self.warnings.add(Trouble.KEYFRAMES_LATE)

    def report(self, report: SenderReport) -> None:
        """Compare the media clock with the wall clock of the same report."""
        if self._first_report is None:
            self._first_report = report
            return
        wall = (report.ntp - self._first_report.ntp) / _WHOLE
        if wall < _DRIFT_AFTER_S:
            return
        media = ((report.timestamp - self._first_report.timestamp) % _WHOLE) / self._clock_rate
        # Differences of more than half a round of the timestamp cannot be told from a restart.
        if media < _HALF / self._clock_rate and abs(media / wall - 1) * 1_000 > _DRIFT_LIMIT:
            self.warnings.add(Trouble.CLOCK_DRIFT)
        if wall > _DRIFT_AFTER_S * 3:
            self._first_report = report
