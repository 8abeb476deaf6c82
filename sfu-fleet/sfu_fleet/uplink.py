"""What a publisher sends: streams, and the layers in which one stream may come at once (simulcast).

A layer is a source of its own: its SSRC, its receive statistics, its repair, its keyframe requests, its viewers.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from sfu_fleet import picture_heights, red
from sfu_fleet.codecs import Codec
from sfu_fleet.forwarder import Track
from sfu_fleet.health import StreamHealth
from sfu_fleet.keyframe_requests import KeyframeRequests
from sfu_fleet.keyframes import detector
from sfu_fleet.loss import LossTracker
from sfu_fleet.negotiation import TrackAgreement
from sfu_fleet.rates import RateMeter
from sfu_fleet.reception import Reception
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.temporal import ENCODINGS, Frame, Placed, Thinning, read
from sfu_fleet.timeline import Timeline
from shared.protocol.messages import LayerQuality

# A source that has sent nothing for so long is a layer that the publisher has switched off.
IDLE_AFTER_S = 1.0
# How often is looked at what a publisher sends.
LOOK_S = 0.2
_BITRATE_KBPS = 1000


class Beginning(msgspec.Struct, frozen=True):
    """The first packet of a frame: its place on the layer's track, and on that of what is left when it is thinned.

    `thinned` is None for a frame that is left out there.
    """

    frame: Frame
    whole: Placed
    thinned: Placed | None


class Keyframe(msgspec.Struct, frozen=True):
    """The first packet of a keyframe, with its place in the layer's timeline and the time of its arrival."""

    layer: "Layer"
    packet: RtpPacket
    sequence: int
    timestamp: int
    at: float


KeyframeListener = Callable[[Keyframe], None]
FrameListener = Callable[[Beginning], None]


class Layer:
    """One source of a stream. `name` is its restriction id, or its place in the offer.

    `ask_for_keyframe` sends the request; `keyframes` throttles it, for audio it is never used.
    """

    def __init__(
        self, agreement: TrackAgreement, index: int, name: str, ask_for_keyframe: Callable[["Layer"], bool]
    ) -> None:
        self.index = index
        self.name = name
        self.kind = agreement.kind
        self.codec: Codec = agreement.codec
        self._redundant = agreement.red.payload_type if agreement.red is not None else -1
        self.track = Track(starts_at_keyframe=self.kind == "video", encoding=self.codec.encoding)
        self.timeline = Timeline(self.codec.clock_rate)
        self.keyframes = KeyframeRequests(lambda: ask_for_keyframe(self), on_unanswered=self._tell_unanswered)
        self.rate = RateMeter()
        # Of the pictures, in pixels: as the publisher says, else as the latest keyframe told, 0 while neither has.
        self.height = agreement.rid_heights.get(name, 0)
        self._learns_height = self.height == 0 and self.kind == "video"
        self.health = StreamHealth(self.codec.clock_rate)
        self.reception: Reception | None = None
        self.losses: LossTracker | None = None
        self.lost_before = 0
        self.heard_at = float("-inf")
        self.keyframe_requests = 0
        # Called when a keyframe begins and before it is forwarded, by whom: whoever waits to go over to this layer.
        self.keyframe_listeners: dict[str, KeyframeListener] = {}
        # What is left without the highest temporal layer, where packets say of which one they are.
        encoding = self.codec.encoding
        self.thinning = Thinning(encoding, self.codec.clock_rate) if encoding in ENCODINGS else None
        # Called when any frame begins and before it is forwarded: by whoever waits to go from one to the other.
        self.frame_listeners: dict[str, FrameListener] = {}
        # Called when a keyframe that was asked for does not come: whoever waits for one may find another way.
        self.unanswered_listeners: dict[str, Callable[[], None]] = {}
        # Until when those who are catching up with this layer are busy with it, by the clock of the event loop.
        self.catching_up: list[float] = []
        # The publisher's latest sender report and when it came, for translation to viewers.
        self.sender_report: tuple[SenderReport, float] | None = None
        self._starts_keyframe = detector(self.codec.encoding) if self.kind == "video" else None

    @property
    def ssrc(self) -> int | None:
        """The current source."""
        return self.reception.ssrc if self.reception else None

    @property
    def lost(self) -> int:
        """Packets lost on the way here and never repaired."""
        return self.lost_before + max(0, self.reception.lost if self.reception else 0)

    def takes(self, packet: RtpPacket) -> bool:
        """Whether a packet is of the codec, or of well-formed redundant blocks of it."""
        own = self.codec.payload_type
        return packet.payload_type == own or (packet.payload_type == self._redundant and red.is_of(packet, own))

    def active(self, now: float) -> bool:
        """Whether the publisher sends this layer at present."""
        return now - self.heard_at < IDLE_AFTER_S

    def thinned_rate(self, now: float) -> int:
        """Bit/s without the highest temporal layer; 0 where there is none to be left out, or nothing is sent."""
        thinning = self.thinning
        return thinning.rate.rate(now) if thinning is not None and thinning.highest and self.active(now) else 0

    def begin(self, packet: RtpPacket) -> Reception:
        """Take the packet's source as this layer's source from now on."""
        if self.reception is not None:
            self.lost_before += max(0, self.reception.lost)
        self.reception = Reception(packet.ssrc, self.codec.clock_rate)
        self.losses = LossTracker() if "nack" in self.codec.feedback else None
        self.sender_report = None
        self.health.restarted()
        if self.thinning is not None:
            self.thinning.restarted()
        return self.reception

    def is_repaired(self, packet: RtpPacket) -> bool:
        """Whether a retransmission has come in the packet's place already."""
        if self.losses is None or not self.losses.repaired or self.reception is None:
            return False
        return self.reception.number(packet.sequence) in self.losses.repaired

    def starts_keyframe(self, packet: RtpPacket) -> bool:
        """Whether a keyframe begins here; never for audio."""
        return self._starts_keyframe is not None and self._starts_keyframe(packet)

    def thin(self, packet: RtpPacket, sequence: int, timestamp: int, now: float) -> Placed | None:
        """A packet's place in what is left of the layer for those who get less, if it has one; tells of its frame.

        To be called before the packet is forwarded.
        """
        thinning = self.thinning
        if thinning is None:
            return None
        frame = read(self.codec.encoding, packet)
        if frame is not None:
            thinning.note(frame, len(packet.data), now)
        if not thinning.viewers:
            return None
        thinned = thinning.place(packet, frame, sequence, timestamp, now)
        if frame is not None and frame.begins and self.frame_listeners:
            beginning = Beginning(frame, Placed(packet, sequence, timestamp), thinned)
            for listener in list(self.frame_listeners.values()):
                listener(beginning)
        return thinned

    def tell_keyframe(self, packet: RtpPacket, sequence: int, timestamp: int, now: float) -> None:
        """A keyframe begins with this packet at that place of the timeline, or sound that somebody waits for."""
        if self._learns_height:
            self.height = picture_heights.height(self.codec.encoding, packet) or self.height
        for listener in list(self.keyframe_listeners.values()):
            listener(Keyframe(self, packet, sequence, timestamp, now))

    def _tell_unanswered(self) -> None:
        for listener in list(self.unanswered_listeners.values()):
            listener()

    def request_keyframe(self, *, patience_s: float = 0.0) -> None:
        """Somebody needs a keyframe of this layer; with patience, in company of others who do."""
        if self.kind == "video":
            self.health.asked(asyncio.get_running_loop().time())
            self.keyframes.request(patience_s=patience_s)


class Sending(NamedTuple):
    """What the publisher sends of one track: bit/s and heights in pixels as `adaptation.Layers` has them."""

    bitrates: tuple[int, ...]
    heights: tuple[int, ...]


class UplinkTrack:
    """One audio or video stream of a publisher with its layers, in the order of the offer; at least one."""

    def __init__(
        self,
        agreement: TrackAgreement,
        ask_for_keyframe: Callable[[Layer], bool],
        make_layer: Callable[[TrackAgreement, int, str, Callable[[Layer], bool]], Layer] = Layer,
    ) -> None:
        self.agreement = agreement
        self.kind = agreement.kind
        self.codec: Codec = agreement.codec
        names = agreement.rids or tuple(str(index) for index in range(len(agreement.ssrcs))) or ("0",)
        self.layers = tuple(make_layer(agreement, index, name, ask_for_keyframe) for index, name in enumerate(names))
        self._sending = Sending((), ())
        self._shown: list[LayerQuality] | None = None
        self._seen_at = float("-inf")
        self._active: list[bool] = []

    def layer_of_rid(self, rid: bytes) -> Layer | None:
        """The layer that packets with this stream id belong to."""
        name = rid.decode("ascii", "replace")
        return next((layer for layer in self.layers if layer.name == name), None) if self.agreement.rids else None

    def layer_of_ssrc(self, ssrc: int) -> Layer | None:
        """The layer that was announced with this source."""
        ssrcs = self.agreement.ssrcs
        return self.layers[ssrcs.index(ssrc)] if ssrc in ssrcs else None

    def only_layer(self) -> Layer | None:
        """The layer of a stream that has just one: its packets need no other mark."""
        return self.layers[0] if len(self.layers) == 1 else None

    def sending(self, now: float) -> Sending:
        """What is sent of late; looked at once for all viewers who ask within a fifth of a second."""
        if now - self._seen_at >= LOOK_S:
            self._seen_at = now
            # Whole layers first, then each without its highest temporal layer.
            bitrates = [layer.rate.rate(now) if layer.active(now) else 0 for layer in self.layers]
            bitrates += [layer.thinned_rate(now) for layer in self.layers]
            self._sending = Sending(tuple(bitrates), tuple(layer.height for layer in self.layers))
            self._shown = None
        return self._sending

    def shown(self, now: float) -> list[LayerQuality]:
        """The layers that are sent, cheapest first, as pages show them; one list for all viewers until it changes."""
        bitrates = self.sending(now).bitrates
        if self._shown is None:
            active = sorted((rate, layer.index) for rate, layer in zip(bitrates, self.layers, strict=False) if rate)
            self._shown = [
                LayerQuality(self.layers[index].name, self.layers[index].height, round(rate / _BITRATE_KBPS))
                for rate, index in active
            ]
        return self._shown

    def has_changed(self, now: float) -> bool:
        """Whether a layer has begun or stopped since this was asked last; what is sent is then looked at anew."""
        active = [layer.active(now) for layer in self.layers]
        changed = active != self._active
        if changed:
            self._active = active
            self._seen_at = float("-inf")
        return changed
