"""How time goes for a viewer who catches up: the past, drawn together."""

import msgspec

# Of all video (RFC 3551, section 5): nothing else is caught up with.
VIDEO_CLOCK_RATE = 90_000


class Haste(msgspec.Struct, frozen=True):
    """How a viewer who begins in the past catches up: `speed` times as fast as time goes.

    What the track has from `since` to `until` (its timestamps) is drawn together to end at `until`, and sent at that
    pace: a player sees a stream in which everything arrives when it should, and has no reason to hold it back.
    """

    since: int
    until: int
    speed: int

    def drawn(self, timestamp: int) -> int:
        """Where one of the track's timestamps comes to lie."""
        before = (self.until - timestamp) & 0xFFFFFFFF
        return self.until - before // self.speed if 0 < before < 0x80000000 else timestamp

    def due(self, timestamp: int) -> float:
        """So many seconds after the beginning it is time for a packet; at once, when that is not in the past."""
        if not 0 < (self.until - timestamp) & 0xFFFFFFFF < 0x80000000:
            return 0.0
        media = (timestamp - self.since + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return media // self.speed / VIDEO_CLOCK_RATE
