"""Picture numbers in the payload headers of VP8 and VP9, read and shifted.

A decoder orders pictures by them, and each layer of a simulcast counts for itself: a viewer who goes from one layer to
another would see a jump, so the numbers of the new layer are shifted to follow the old one's. H.264 has no such
numbers, and those of AV1 stand in the dependency descriptor, where a keyframe begins them anew.

These are pure functions of a packet and a shift; a shift belongs to one viewer's track and changes only at a switch.
The header keeps its length, so that packets already rewritten for all viewers need no more than two fields replaced.
"""

import msgspec

from sfu_fleet.rtp import RtpPacket


class Shift(msgspec.Struct, frozen=True):
    """What is added to picture ids and to the running index of base pictures (TL0PICIDX)."""

    picture: int
    base: int


class Marks(msgspec.Struct, frozen=True):
    """Where the numbers stand, counted from the start of the payload, and their values; -1 where there is none."""

    picture_at: int = -1
    wide: bool = False
    picture: int = -1
    base_at: int = -1
    base: int = -1


NONE = Marks()
NO_SHIFT = Shift(0, 0)


def read(encoding: str, packet: RtpPacket) -> Marks:
    """The numbers of a packet; of another codec, or of a payload that is too short, none."""
    if encoding not in {"vp8", "vp9"}:
        return NONE
    payload = packet.data[packet.payload_start : min(packet.payload_end, packet.payload_start + 6)]
    try:
        return _vp8(payload) if encoding == "vp8" else _vp9(payload)
    except IndexError:
        return NONE


def _vp8(payload: bytes) -> Marks:
    """RFC 7741, section 4.2: X, then I L T K, then PictureID and TL0PICIDX."""
    if not payload[0] & 0x80:
        return NONE
    flags = payload[1]
    picture_at, wide, picture, position = _picture(payload, 2, present=bool(flags & 0x80))
    if not flags & 0x40:
        return Marks(picture_at, wide, picture)
    return Marks(picture_at, wide, picture, position, payload[position])


def _vp9(payload: bytes) -> Marks:
    """RFC 9628, section 4.2: I P L F B E V Z, then picture id; with layers and not flexible, TL0PICIDX."""
    flags = payload[0]
    picture_at, wide, picture, position = _picture(payload, 1, present=bool(flags & 0x80))
    if not flags & 0x20 or flags & 0x10:
        return Marks(picture_at, wide, picture)
    return Marks(picture_at, wide, picture, position + 1, payload[position + 1])


def _picture(payload: bytes, position: int, *, present: bool) -> tuple[int, bool, int, int]:
    if not present:
        return -1, False, -1, position
    if payload[position] & 0x80:
        return position, True, (payload[position] & 0x7F) << 8 | payload[position + 1], position + 2
    return position, False, payload[position], position + 1


def follow(old: Marks, old_shift: Shift, new: Marks) -> Shift:
    """The shift under which the picture `new` comes right behind the picture `old` of another layer."""
    picture = old.picture + old_shift.picture + 1 - new.picture if old.picture >= 0 <= new.picture else 0
    base = old.base + old_shift.base + 1 - new.base if old.base >= 0 <= new.base else 0
    return Shift(picture & 0x7FFF, base & 0xFF)


def renumber(packet: RtpPacket, marks: Marks, picture: int) -> RtpPacket:
    """A packet with another picture id; the packet itself where it has that one."""
    size = 0x8000 if marks.wide else 0x80
    if picture % size == marks.picture:
        return packet
    body = apply(marks, Shift(picture - marks.picture, 0), packet.data, packet.payload_start)
    return msgspec.structs.replace(packet, data=body)


def apply(marks: Marks, by: Shift, body: bytes, payload_start: int) -> bytes:
    """A rewritten packet with its numbers shifted; `payload_start` is where its payload begins."""
    if marks is NONE or by == NO_SHIFT:
        return body
    changed = bytearray(body)
    if marks.picture_at >= 0:
        at = payload_start + marks.picture_at
        if marks.wide:
            changed[at : at + 2] = (0x8000 | (marks.picture + by.picture) & 0x7FFF).to_bytes(2, "big")
        else:
            changed[at] = (marks.picture + by.picture) & 0x7F
    if marks.base_at >= 0:
        changed[payload_start + marks.base_at] = (marks.base + by.base) & 0xFF
    return bytes(changed)
