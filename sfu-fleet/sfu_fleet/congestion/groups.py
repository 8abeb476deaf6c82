"""Packets that were sent together are judged together (draft-ietf-rmcat-gcc-02, sections 5.1 and 5.2)."""

# Packets that leave within this time of a group's first one belong to it, and so do those that the network delivers in
# one go after having held them up.
BURST_MS = 5.0
_LONGEST_BURST_MS = 100.0
# A step of the delay that is longer than this is a clock that was set or a route that was gone: begin anew.
_OUTAGE_MS = 3_000.0


class PacketGroups:
    """Tells how much longer the way was for a group than for the one before."""

    def __init__(self) -> None:
        self._first_sent = self._last_sent = 0.0
        self._first_arrived = self._last_arrived = 0.0
        self._previous_sent = self._previous_arrived = 0.0
        # Groups so far, up to two: a difference needs two that are complete.
        self._groups = 0

    def note(self, sent: float, arrived: float) -> tuple[float, float] | None:
        """Note a packet; (between departures, between arrivals) of the two latest groups when it begins another."""
        if self._groups == 0:
            self._begin(sent, arrived)
            self._groups = 1
            return None
        if sent < self._first_sent:
            # Out of order: what it could tell has been told by its own group.
            return None
        if self._belongs(sent, arrived):
            self._last_sent = max(self._last_sent, sent)
            self._last_arrived = max(self._last_arrived, arrived)
            return None
        found = None
        if self._groups == 2:
            sent_delta = self._last_sent - self._previous_sent
            arrived_delta = self._last_arrived - self._previous_arrived
            if abs(arrived_delta - sent_delta) > _OUTAGE_MS:
                self._begin(sent, arrived)
                self._groups = 1
                return None
            found = sent_delta, arrived_delta
        self._previous_sent, self._previous_arrived = self._last_sent, self._last_arrived
        self._groups = 2
        self._begin(sent, arrived)
        return found

    def _begin(self, sent: float, arrived: float) -> None:
        self._first_sent = self._last_sent = sent
        self._first_arrived = self._last_arrived = arrived

    def _belongs(self, sent: float, arrived: float) -> bool:
        if sent - self._first_sent <= BURST_MS:
            return True
        between = arrived - self._last_arrived
        return (
            between <= BURST_MS
            and between - (sent - self._last_sent) < 0.0
            and arrived - self._first_arrived < _LONGEST_BURST_MS
        )
