"""Which packets of an uplink are missing, and when to ask for them (RFC 4585, section 6.2.1)."""

# A packet may overtake another: wait this long, and for that many later packets, before calling it lost.
REORDER_TOLERANCE_S = 0.01
REORDER_TOLERANCE_PACKETS = 3
RETRY_S = 0.08
MAX_TRIES = 8
# More than this missing at once is not repaired packet by packet, but by a keyframe.
MAX_MISSING = 200
# Repaired packets whose originals may still be on the way.
_MAX_REPAIRED = 512


class LossTracker:
    """Missing extended sequence numbers of one source."""

    def __init__(self) -> None:
        self._highest = -1
        # Sequence number -> [next time to ask, how often asked].
        self._missing: dict[int, list[float]] = {}
        # What came as a retransmission: should the original come after all, it is one too many.
        self.repaired: dict[int, None] = {}

    def __bool__(self) -> bool:
        return bool(self._missing)

    def arrived(self, extended: int, now: float) -> bool:
        """Note an arrival. False when so much is missing that it was given up: then only a keyframe helps."""
        if extended <= self._highest:
            self._missing.pop(extended, None)
            return True
        gap = extended - self._highest - 1 if self._highest >= 0 else 0
        first = self._highest + 1
        self._highest = extended
        if gap == 0:
            return True
        if gap + len(self._missing) > MAX_MISSING:
            self._missing.clear()
            return False
        for sequence in range(first, extended):
            self._missing[sequence] = [now + REORDER_TOLERANCE_S, 0]
        return True

    def is_missing(self, extended: int) -> bool:
        """Whether somebody waits for a packet.

        Where nobody does, a retransmission must not be sent on: it need not be the same as the original to the last
        bit, and no two packets may go out under one number.
        """
        return extended in self._missing

    def repair(self, extended: int) -> None:
        """Note that a packet came as a retransmission."""
        self.repaired[extended] = None
        if len(self.repaired) > _MAX_REPAIRED:
            del self.repaired[next(iter(self.repaired))]

    def due(self, now: float) -> tuple[list[int], bool]:
        """The sequence numbers to ask for now, ascending, and whether one was given up after its last try."""
        wanted: list[int] = []
        given_up = False
        for sequence, entry in list(self._missing.items()):
            late = now >= entry[0] or (entry[1] == 0 and self._highest - sequence >= REORDER_TOLERANCE_PACKETS)
            if not late:
                continue
            if entry[1] >= MAX_TRIES:
                del self._missing[sequence]
                given_up = True
                continue
            entry[0] = now + RETRY_S
            entry[1] += 1
            wanted.append(sequence)
        return sorted(wanted), given_up
