"""One stream of a viewer, fed from one layer of the publisher's at a time: when and how it goes over to another.

It goes over only where a keyframe of the target begins, and what the viewer sees goes on without a jump: sequence
numbers and picture numbers follow the last ones, timestamps keep the time between the two pictures.
"""

from collections.abc import Callable

import msgspec

from sfu_fleet import picture_ids
from sfu_fleet.forwarder import DownTrack, PacketPlane, Position, Splice
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.uplink import Keyframe, Layer

# Where sender reports and arrivals disagree by more than this, the reports are wrong.
_MAX_DISAGREEMENT_S = 2.0
# Going up can wait: a keyframe is for all viewers of a layer, and each costs all of them some of its quality.
UPWARD_PATIENCE_S = 4.0


class Clock(msgspec.Struct, frozen=True):
    """How a layer's timeline stands to the publisher's wall clock: `timestamp` was at `ntp` (32.32 fixed point)."""

    ntp: int
    timestamp: int

    @classmethod
    def of(cls, report: SenderReport, timestamp_shift: int) -> "Clock":
        """From the layer's sender report."""
        return cls(report.ntp, (report.timestamp + timestamp_shift) & 0xFFFFFFFF)


def signed(difference: int) -> int:
    """A difference of timestamps, from -2^31 to 2^31 - 1."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def translate(timestamp: int, source: Clock, target: Clock, rate: int) -> int:
    """The timestamp on one layer's timeline of the instant that has `timestamp` on another's."""
    elapsed = signed(timestamp - source.timestamp) + round((source.ntp - target.ntp) * rate / 0x100000000)
    return (target.timestamp + elapsed) & 0xFFFFFFFF


def splice(position: Position, keyframe: Keyframe, wanted_timestamp: int) -> Splice:
    """How a viewer who is at `position` goes on with a keyframe, if possible at the wanted timestamp.

    Not before the last one: the picture of the old layer may be of the same instant, or the wanted time be a guess.
    """
    ahead = max(1, signed(wanted_timestamp - position.timestamp))
    marks = picture_ids.read(keyframe.layer.track.encoding, keyframe.packet)
    return Splice(
        first=keyframe.sequence,
        sequence_offset=position.sequence + 1 - keyframe.sequence,
        timestamp_offset=(position.timestamp + ahead - keyframe.timestamp) & 0xFFFFFFFF,
        shift=picture_ids.follow(position.marks, position.shift, marks),
    )


class LayerSwitch:
    """Owns which layer feeds a viewer's stream. `layer` is None while nothing does.

    `on_switched` is called after each change of layer.
    """

    def __init__(self, owner: str, plane: PacketPlane, down: DownTrack, on_switched: Callable[[], None]) -> None:
        self.layer: Layer | None = None
        self.target: Layer | None = None
        self.switches = 0
        self._owner = owner
        self._plane = plane
        self._down = down
        self._on_switched = on_switched
        self._position: Position | None = None
        # The layer that fed the stream last: while it is paused, time goes on from there.
        self._last: Layer | None = None
        # When that was heard last while it did.
        self._left_at = 0.0

    def to(self, target: Layer | None, *, patience_s: float = 0.0) -> None:
        """Go over to another layer with its next keyframe, which is asked for; with None, stop at once."""
        if target is self.target:
            return
        if self.target is not None:
            self.target.keyframe_listeners.pop(self._owner, None)
        self.target = target
        if target is None:
            self._leave()
        elif target is not self.layer:
            if self.layer is None and self._position is None:
                self._begin(target)
            else:
                target.keyframe_listeners[self._owner] = self._on_keyframe
            target.request_keyframe(patience_s=patience_s)

    def close(self) -> None:
        """Take the viewer off its layer."""
        self.to(None)

    def _begin(self, layer: Layer) -> None:
        """The viewer has had nothing yet: the plane begins with the next keyframe by itself."""
        self._plane.attach(layer.track, self._down)
        self.layer = self._last = layer

    def _leave(self) -> None:
        if self.layer is not None:
            # Nothing sent from there means that the position before still holds.
            self._position = self._plane.detach(self.layer.track, self._down) or self._position
            self._left_at = self.layer.heard_at
            self._last, self.layer = self.layer, None

    def _on_keyframe(self, keyframe: Keyframe) -> None:
        layer = keyframe.layer
        del layer.keyframe_listeners[self._owner]
        self._leave()
        if self._position is None or self._last is None:
            self._begin(layer)
        else:
            offset = self._down.timestamp_offset
            wanted = _wanted_timestamp(self._position, self._last, self._left_at, keyframe, offset)
            self._plane.attach(layer.track, self._down, splice(self._position, keyframe, wanted))
            self.layer = layer
        self.switches += 1
        self._on_switched()


def _wanted_timestamp(position: Position, old: Layer, left_at: float, keyframe: Keyframe, offset: int) -> int:
    """The viewer's timestamp of the keyframe's instant: by the layers' sender reports, else by arrival."""
    new = keyframe.layer
    if new is old:
        # After a pause it is the same timeline.
        return (keyframe.timestamp + offset) & 0xFFFFFFFF
    rate = new.codec.clock_rate
    by_arrival = (position.timestamp + round((keyframe.at - left_at) * rate)) & 0xFFFFFFFF
    if old.sender_report is None or new.sender_report is None:
        return by_arrival
    source = Clock.of(new.sender_report[0], new.timeline.timestamp_shift)
    target = Clock.of(old.sender_report[0], old.timeline.timestamp_shift)
    by_report = (translate(keyframe.timestamp, source, target, rate) + offset) & 0xFFFFFFFF
    trusted = abs(signed(by_report - by_arrival)) <= _MAX_DISAGREEMENT_S * rate
    return by_report if trusted else by_arrival
