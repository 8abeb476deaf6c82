"""Temporal layers of VP8 and VP9: told from payload descriptors, and left out for viewers at the edge of their way.

A frame of a higher temporal layer is needed by no frame of a lower one, so that leaving out the highest halves the
frame rate and costs nothing else. What is left is a `Track` of its own (`forwarder.py`), numbered without holes: a
viewer who is given it misses nothing, and goes from one to the other by a splice like any other.

Picture numbers differ between the codecs. A VP8 receiver waits for a picture whose id it has not seen, so ids are made
consecutive again (TL0PICIDX counts the lowest layer alone, and is right as it is). A VP9 receiver knows that pictures
of higher layers may be missing, and reckons with the distance of ids: they stay.
"""

from collections.abc import Callable

import msgspec

from sfu_fleet import picture_ids, rtp
from sfu_fleet.forwarder import Track
from sfu_fleet.rates import RateMeter
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.timeline import Timeline

# Unwrapped picture ids begin one cycle up, so that one from before the first does not go below zero.
_FIRST_CYCLE = 0x10000


class Frame(msgspec.Struct, frozen=True):
    """What a packet says: its frame's temporal layer, whether it is the first of it, the codec's mark for going up."""

    layer: int
    begins: bool
    up: bool


def read(encoding: str, packet: RtpPacket) -> Frame | None:
    """The frame of a packet; None where it does not say, or is too short."""
    payload = packet.data[packet.payload_start : min(packet.payload_end, packet.payload_start + 6)]
    try:
        return _READERS[encoding](payload)
    except (KeyError, IndexError):
        return None


def _vp8(payload: bytes) -> Frame | None:
    """RFC 7741, section 4.2: a frame with Y needs no other layer than the lowest."""
    first, flags = payload[0], payload[1]
    if not first & 0x80 or not flags & 0x20:
        return None
    position = 2
    if flags & 0x80:
        position += 2 if payload[position] & 0x80 else 1
    if flags & 0x40:
        position += 1
    return Frame(payload[position] >> 6, first & 0x17 == 0x10, bool(payload[position] & 0x20))


def _vp9(payload: bytes) -> Frame | None:
    """RFC 9628, section 4.2: after a frame with U, layers above its own need nothing of theirs from before it."""
    flags = payload[0]
    if not flags & 0x20:
        return None
    position = 1
    if flags & 0x80:
        position += 2 if payload[position] & 0x80 else 1
    indices = payload[position]
    spatial = indices >> 1 & 0x07
    return Frame(indices >> 5, bool(flags & 0x08) and spatial == 0, bool(indices & 0x10))


_READERS: dict[str, Callable[[bytes], Frame | None]] = {"vp8": _vp8, "vp9": _vp9}
ENCODINGS = frozenset(_READERS)


class Placed(msgspec.Struct, frozen=True):
    """A packet with its place on a track."""

    packet: RtpPacket
    sequence: int
    timestamp: int


class Thinning:
    """Numbers what is left of a layer without its highest temporal layer.

    `highest` is that layer, 0 while there is only one; `rate` measures what is left, whether or not somebody is sent
    it. `track` carries it, while `viewers` of them get it or are about to.
    """

    def __init__(self, encoding: str, clock_rate: int) -> None:
        self.highest = 0
        self.rate = RateMeter()
        self.track = Track(starts_at_keyframe=True, encoding=encoding)
        self.viewers = 0
        self._encoding = encoding
        self._timeline = Timeline(clock_rate)
        self._pictures = Timeline(1)
        self._last_picture = -1

    @property
    def ceiling(self) -> int:
        """The highest temporal layer that is left."""
        return self.highest - 1

    def can_leave(self, frame: Frame) -> bool:
        """Whether the highest layer can be left out from this frame on."""
        return frame.begins and frame.layer == 0

    def can_return(self, frame: Frame) -> bool:
        """Whether a viewer who has had no frame of the highest layer can have all from this one on."""
        if not frame.begins or not frame.up:
            return False
        return frame.layer == self.highest if self._encoding == "vp8" else frame.layer <= self.ceiling

    def restarted(self) -> None:
        """Another source has taken over, whose pictures have numbers of their own."""
        self._pictures = Timeline(1)
        self._last_picture = -1

    def note(self, frame: Frame, size: int, now: float) -> None:
        """Learn from a packet what layers there are."""
        self.highest = max(self.highest, frame.layer)
        if frame.layer <= self.ceiling:
            self.rate.add(size, now)

    def place(self, packet: RtpPacket, frame: Frame | None, sequence: int, timestamp: int, now: float) -> Placed | None:
        """A packet of the layer with its place among what is left; None when it is left out.

        One that is left out only after its number was given a place comes without its payload: a receiver takes it for
        padding, and asks for no packet that there is not.
        """
        marks = picture_ids.read(self._encoding, packet)
        picture = self._unwrap(marks) if marks.picture >= 0 and self._encoding == "vp8" else -1
        if frame is not None and frame.layer > max(0, self.ceiling):
            if picture >= 0:
                self._pictures.skip(picture)
            if self._timeline.skip(sequence):
                return None
            packet, picture = rtp.parse(bytes((0x80, packet.payload_type)) + packet.data[2 : rtp.HEADER_LENGTH]), -1
        placed = self._timeline.place(sequence, timestamp, now)
        if placed is None:
            return None
        if picture >= 0:
            numbered = self._pictures.place(picture, 0, now)
            if numbered is None:
                return None
            packet = picture_ids.renumber(packet, marks, numbered[0])
        return Placed(packet, *placed)

    def _unwrap(self, marks: picture_ids.Marks) -> int:
        size = 0x8000 if marks.wide else 0x80
        if self._last_picture < 0:
            self._last_picture = _FIRST_CYCLE + marks.picture
        step = (marks.picture - self._last_picture + size // 2) % size - size // 2
        picture = self._last_picture + step
        self._last_picture = max(picture, self._last_picture)
        return picture
