"""One stream of a viewer, fed from one layer of the publisher's at a time: when and how it goes over to another.

It goes over only where a keyframe of the target begins, and what the viewer sees goes on without a jump: sequence
numbers and picture numbers follow the last ones, timestamps keep the time between the two pictures.

A viewer who sees nothing yet, or no longer, and whose publisher ignores keyframe requests, begins at the latest
keyframe that there was (`catch_up`). One who goes from layer to layer waits: there is a picture meanwhile, and where
the way is at its limit a burst is the last thing it needs.
"""

import asyncio
from collections.abc import Callable

import msgspec

from sfu_fleet import catch_up, picture_ids
from sfu_fleet.forwarder import DownTrack, PacketPlane, Position, Splice, Track
from sfu_fleet.haste import Haste
from sfu_fleet.picture_ids import Shift
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.uplink import Beginning, Keyframe, Layer

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


def splice(position: Position, keyframe: Keyframe, wanted_timestamp: int, haste: Haste | None = None) -> Splice:
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
        haste=haste,
    )


class LayerSwitch:
    """Owns which layer feeds a viewer's stream. `layer` is None while nothing does.

    `on_switched` is called after each change of layer; `way` says what the way to the viewer carries in bit/s, None
    while that is unknown.
    """

    def __init__(
        self,
        owner: str,
        plane: PacketPlane,
        down: DownTrack,
        on_switched: Callable[[], None],
        way: Callable[[], int | None],
    ) -> None:
        self.layer: Layer | None = None
        self.target: Layer | None = None
        self.switches = 0
        self._owner = owner
        self._plane = plane
        self._down = down
        self._on_switched = on_switched
        self._way = way
        # Whether the highest temporal layer is left out, and whether it is to be.
        self.thinned = False
        self._thin = False
        # Until when the viewer is catching up, by the clock of the event loop.
        self._behind_until = float("-inf")
        self._position: Position | None = None
        # The layer that fed the stream last: while it is paused, time goes on from there.
        self._last: Layer | None = None
        # When that was heard last while it did.
        self._left_at = 0.0

    @property
    def track(self) -> Track | None:
        """What feeds the stream."""
        if self.layer is None:
            return None
        thinning = self.layer.thinning
        return thinning.track if self.thinned and thinning is not None else self.layer.track

    def to(self, target: Layer | None, *, thin: bool = False, patience_s: float = 0.0) -> None:
        """Go over to another layer with its next keyframe, which is asked for; with None, stop at once.

        With `thin` its highest temporal layer is left out, from the next frame on that allows it.
        """
        self._thin = thin
        if target is self.target:
            self._rearm()
            return
        if self.target is not None:
            self.target.keyframe_listeners.pop(self._owner, None)
            self.target.unanswered_listeners.pop(self._owner, None)
        self.target = target
        if target is None:
            self._leave()
        elif target is not self.layer:
            if self.layer is None and self._position is None:
                self._begin(target)
            else:
                target.keyframe_listeners[self._owner] = self._on_keyframe
            if not self._seeing:
                if target.keyframes.ignored:
                    self._begin_in_the_past()
                target.unanswered_listeners[self._owner] = self._begin_in_the_past
            target.request_keyframe(patience_s=patience_s)
        self._rearm()

    def close(self) -> None:
        """Take the viewer off its layer."""
        self.to(None)

    def _begin(self, layer: Layer) -> None:
        """The viewer has had nothing yet: the plane begins with the next keyframe by itself."""
        self._plane.attach(layer.track, self._down)
        self.layer = self._last = layer

    @property
    def _seeing(self) -> bool:
        """Whether the viewer is being sent something."""
        return self.layer is not None and self._down.first >= 0

    def _begin_in_the_past(self) -> None:
        """No keyframe comes when it is asked for: begin at the latest one, if that can be caught up with."""
        layer = self.target
        if layer is None:
            return
        if self._seeing:
            layer.unanswered_listeners.pop(self._owner, None)
            return
        track, now = layer.track, asyncio.get_running_loop().time()
        layer.catching_up = [until for until in layer.catching_up if until > now]
        haste = catch_up.haste_of(track, self._way())
        first = track.remembered(track.keyframe)
        if haste is None or first is None or len(layer.catching_up) >= catch_up.MAX_AT_ONCE:
            return
        layer.keyframe_listeners.pop(self._owner, None)
        layer.unanswered_listeners.pop(self._owner, None)
        layer.catching_up.append(now + haste.due((haste.until - 1) & 0xFFFFFFFF))
        self._leave()
        if self._position is None or self._last is None:
            where = catch_up.beginning(track, self._down, haste)
        else:
            keyframe = Keyframe(layer, first[2], first[0], haste.drawn(first[1]), now)
            offset = self._down.timestamp_offset
            wanted = _wanted_timestamp(self._position, self._last, self._left_at, keyframe, offset)
            where = splice(self._position, keyframe, wanted, haste)
        self._plane.attach(track, self._down, where)
        self.layer = self._last = layer
        self._behind_until = layer.catching_up[-1]
        self._on_switched()
        self._rearm()

    def _leave(self) -> None:
        layer, track = self.layer, self.track
        if layer is not None and track is not None:
            self._disarm(layer)
            # Nothing sent from there means that the position before still holds.
            self._position = self._plane.detach(track, self._down) or self._position
            self._left_at = layer.heard_at
            if self.thinned and layer.thinning is not None:
                layer.thinning.viewers -= 1
            self.thinned = False
            self._last, self.layer = layer, None

    @property
    def settled(self) -> bool:
        """Whether the viewer is sent what was decided last: nothing is waited for."""
        return self.layer is self.target and self.thinned == self._thin

    def _rearm(self) -> None:
        """Wait for a frame to go from a whole layer to a thinned one or back, where that is to be."""
        layer = self.layer
        if layer is None or layer.thinning is None:
            return
        wanted = layer is self.target and self._thin != self.thinned
        waiting = self._owner in layer.frame_listeners
        if wanted and not waiting:
            layer.frame_listeners[self._owner] = self._on_frame
            # Frames are looked at, and what is left is numbered, while somebody wants it.
            layer.thinning.viewers += 1
        elif waiting and not wanted:
            self._disarm(layer)

    def _disarm(self, layer: Layer) -> None:
        if layer.frame_listeners.pop(self._owner, None) is not None and layer.thinning is not None:
            layer.thinning.viewers -= 1

    def _on_frame(self, beginning: Beginning) -> None:
        """Go to the same layer with or without its highest temporal layer, at a frame that allows it.

        Only where all before it has come and been sent: what comes later is not sent on from the track that was left.
        """
        layer, track = self.layer, self.track
        if layer is None or track is None or layer.thinning is None or not self._seeing or layer.losses:
            return
        thinning = layer.thinning
        allowed = thinning.can_return(beginning.frame) if self.thinned else thinning.can_leave(beginning.frame)
        new = beginning.whole if self.thinned else beginning.thinned
        if not allowed or new is None or asyncio.get_running_loop().time() < self._behind_until:
            return
        # Where it has been sent nothing yet, what it begins with is still to come.
        position = self._plane.detach(track, self._down) if track.position(self._down) is not None else None
        if position is None:
            return
        self._disarm(layer)
        thinning.viewers += -1 if self.thinned else 1
        self.thinned = not self.thinned
        encoding = layer.codec.encoding
        following = picture_ids.follow(position.marks, position.shift, picture_ids.read(encoding, new.packet))
        # The pictures of VP9 keep their ids when some are left out.
        picture = following.picture if encoding == "vp8" else position.shift.picture
        where = Splice(
            first=new.sequence,
            sequence_offset=position.sequence + 1 - new.sequence,
            timestamp_offset=self._down.timestamp_offset,
            shift=Shift(picture, position.shift.base),
        )
        self._plane.attach(thinning.track if self.thinned else layer.track, self._down, where)
        self._on_switched()

    def _on_keyframe(self, keyframe: Keyframe) -> None:
        layer = keyframe.layer
        del layer.keyframe_listeners[self._owner]
        layer.unanswered_listeners.pop(self._owner, None)
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
        self._rearm()


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
