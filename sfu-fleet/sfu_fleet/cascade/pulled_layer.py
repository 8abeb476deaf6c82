"""A layer as an edge has it: it comes while somebody here wants it, and of the others it is told what they are."""

from collections.abc import Callable
from typing import Final

from sfu_fleet.cascade.wire import LayerState
from sfu_fleet.negotiation import TrackAgreement
from sfu_fleet.rates import RateMeter
from sfu_fleet.uplink import IDLE_AFTER_S, Layer

# What a parent has told is worth nothing when it has said nothing since.
_FRESH_S: Final = 2.0
_NOTHING: Final = LayerState(active=False, bitrate=0, thinned_bitrate=0, height=0, lost=0)


class _ToldRate(RateMeter):
    """The rate that the parent measures, since a layer that does not come has none here."""

    __slots__ = ("bitrate", "told_at")

    def __init__(self) -> None:
        super().__init__()
        self.bitrate = 0
        self.told_at = float("-inf")

    def rate(self, now: float) -> int:
        """Bits per second."""
        return self.bitrate if now - self.told_at < _FRESH_S else super().rate(now)


class PulledLayer(Layer):
    """See `sfu_fleet.uplink.Layer`. `on_wanted` is called when somebody wants it who may be the first."""

    def __init__(
        self,
        agreement: TrackAgreement,
        index: int,
        name: str,
        ask_for_keyframe: Callable[[Layer], bool],
        on_wanted: Callable[["PulledLayer"], None],
    ) -> None:
        super().__init__(agreement, index, name, ask_for_keyframe)
        self._told_rate = _ToldRate()
        self.rate = self._told_rate
        self._told = _NOTHING
        self._told_at = float("-inf")
        self._on_wanted = on_wanted

    def tell(self, state: LayerState, now: float) -> None:
        """The parent says what this layer is at present."""
        self._told, self._told_at = state, now
        self._told_rate.bitrate, self._told_rate.told_at = state.bitrate, now
        self.height = state.height or self.height

    def active(self, now: float) -> bool:
        """Whether the publisher sends this layer at present, wherever it goes."""
        if now - self._told_at < _FRESH_S:
            return self._told.active
        return now - self.heard_at < IDLE_AFTER_S

    def thinned_rate(self, now: float) -> int:
        """Bit/s without the highest temporal layer."""
        return self._told.thinned_bitrate if now - self._told_at < _FRESH_S else super().thinned_rate(now)

    def request_keyframe(self, *, patience_s: float = 0.0) -> None:
        """Somebody needs a keyframe, or sound: it is pulled from now on, if it was not."""
        self._on_wanted(self)
        super().request_keyframe(patience_s=patience_s)
