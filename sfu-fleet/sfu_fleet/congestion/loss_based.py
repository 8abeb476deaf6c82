"""The loss-based part (draft-ietf-rmcat-gcc-02, section 6): less by half of what is lost above 10 %, more below 2 %.

Other than there, no less than nearly what arrives: after a burst of loss the way back is long from below.
"""

# The share is of so many packets and of so long at least, so that one packet is not a tenth of them.
_WINDOW_PACKETS = 20
_WINDOW_MS = 500.0
_HIGH, _LOW = 0.10, 0.02
_RISE = 1.05
_MIN = 30_000.0
_ARRIVES = 0.85


class LossBased:
    """`limit` is a bit rate; 0.0 while loss is no reason for one. `loss` is the share lost lately."""

    def __init__(self) -> None:
        self.limit = 0.0
        self.loss = 0.0
        self._lost = self._received = 0
        self._began = -1.0

    def note(self, lost: int, received: int) -> None:
        """What a feedback packet says for the first time. One that was called lost and came after all is lost -1."""
        self._lost += lost
        self._received += received

    def update(self, delay_based: float, acknowledged: float, now: float) -> None:
        """Follow the loss, where enough has been seen of it; the other part's estimate is what it is taken off."""
        if self._began < 0.0:
            self._began = now
        expected = self._lost + self._received
        if expected < _WINDOW_PACKETS or now - self._began < _WINDOW_MS:
            return
        self.loss = max(self._lost, 0) / expected
        self._lost = self._received = 0
        self._began = now
        if self.loss > _HIGH:
            before = self.limit if 0.0 < self.limit < delay_based else delay_based
            self.limit = max(_MIN, before * (1.0 - 0.5 * self.loss), _ARRIVES * acknowledged)
        elif self.loss < _LOW and self.limit > 0.0:
            self.limit *= _RISE
        if self.limit >= delay_based:
            self.limit = 0.0

    def raise_to(self, rate: float) -> None:
        """A probe got through at that rate."""
        if 0.0 < self.limit < rate:
            self.limit = rate
