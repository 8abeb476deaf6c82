"""From the payloads of one frame's packets to the bytes that a Matroska block holds. Nothing is decoded.

Each function takes the payloads of a whole frame in order, and raises ValueError when they do not make one.
"""

from collections.abc import Callable, Sequence

import msgspec

from sfu_fleet.recording.av1 import (
    configuration,
    low_overhead,
    parse_sequence_header,
    sequence_header_of,
    temporal_unit,
)
from sfu_fleet.recording.bits import h264_size, vp8_size, vp9_size


class Format(msgspec.Struct, frozen=True):
    """What a container says once about a video: the size of its pictures, and the codec's own configuration."""

    width: int
    height: int
    private: bytes = b""


class Frame(msgspec.Struct, frozen=True):
    """One coded picture. A keyframe has a format."""

    data: bytes
    format: Format | None = None

    @property
    def keyframe(self) -> bool:
        """Whether decoding can begin here."""
        return self.format is not None


Depacketizer = Callable[[Sequence[bytes]], Frame]

_SLICE_IDR, _SPS, _PPS, _STAP_A, _FU_A = 5, 7, 8, 24, 28


def vp8(payloads: Sequence[bytes]) -> Frame:
    """RFC 7741."""
    if not payloads or not payloads[0] or payloads[0][0] & 0x17 != 0x10:
        raise ValueError("the frame has no beginning")
    data = b"".join(payload[_vp8_descriptor(payload) :] for payload in payloads)
    if not data:
        raise ValueError("the frame is empty")
    return Frame(data, None if data[0] & 0x01 else Format(*vp8_size(data)))


def _vp8_descriptor(payload: bytes) -> int:
    """Its length (section 4.2)."""
    length = 1
    if _octet(payload, 0) & 0x80:
        flags = _octet(payload, 1)
        length = 2
        if flags & 0x80:
            length += 2 if _octet(payload, length) & 0x80 else 1
        length += bool(flags & 0x40) + bool(flags & 0x30)
    return length


def vp9(payloads: Sequence[bytes]) -> Frame:
    """RFC 9628. The frames of all spatial layers of one instant are one block."""
    if not payloads or not payloads[0] or not payloads[0][0] & 0x08:
        raise ValueError("the frame has no beginning")
    data = b"".join(payload[_vp9_descriptor(payload) :] for payload in payloads)
    if not data:
        raise ValueError("the frame is empty")
    # The P bit is clear for a frame that is not predicted from earlier ones; an intra-only frame is no keyframe.
    if payloads[0][0] & 0x40:
        return Frame(data)
    try:
        return Frame(data, Format(*vp9_size(data)))
    except ValueError:
        return Frame(data)


def _vp9_descriptor(payload: bytes) -> int:
    """Its length (section 4.2)."""
    flags = _octet(payload, 0)
    length = 1
    if flags & 0x80:
        length += 2 if _octet(payload, length) & 0x80 else 1
    if flags & 0x20:
        length += 1 if flags & 0x10 else 2
    if flags & 0x10 and flags & 0x40:
        for _ in range(3):
            length += 1
            if not _octet(payload, length - 1) & 0x01:
                break
    if flags & 0x02:
        length = _vp9_structure(payload, length)
    if length > len(payload):
        raise ValueError("the descriptor is truncated")
    return length


def _vp9_structure(payload: bytes, position: int) -> int:
    """Where the scalability structure (section 4.2.1) that begins there ends."""
    head = _octet(payload, position)
    position += 1
    if head & 0x10:
        position += 4 * ((head >> 5) + 1)
    if head & 0x08:
        pictures = _octet(payload, position)
        position += 1
        for _ in range(pictures):
            position += 1 + (_octet(payload, position) >> 2 & 0x03)
    return position


def h264(payloads: Sequence[bytes]) -> Frame:
    """RFC 6184, packetization modes 0 and 1: single units, STAP-A and FU-A.

    Units get their length in front, as Matroska wants them; parameter sets stay among them, since they may change.
    """
    units: list[bytes] = []
    fragments: list[bytes] = []
    for payload in payloads:
        kind = _octet(payload, 0) & 0x1F
        if fragments and kind != _FU_A:
            raise ValueError("a fragmented unit has no end")
        if kind == _FU_A:
            _add_fragment(payload, fragments, units)
        elif kind == _STAP_A:
            units += _aggregated(payload)
        elif 0 < kind < _STAP_A:
            units.append(payload)
        else:
            raise ValueError(f"units of type {kind} are not taken")
    if fragments or not units:
        raise ValueError("the frame is incomplete")
    data = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    if not any(unit[0] & 0x1F == _SLICE_IDR for unit in units):
        return Frame(data)
    sequence_set = next((unit for unit in units if unit[0] & 0x1F == _SPS), None)
    picture_set = next((unit for unit in units if unit[0] & 0x1F == _PPS), None)
    if sequence_set is None or picture_set is None:
        return Frame(data)
    return Frame(data, Format(*h264_size(sequence_set), avc_configuration(sequence_set, picture_set)))


def _add_fragment(payload: bytes, fragments: list[bytes], units: list[bytes]) -> None:
    head = _octet(payload, 1)
    if head & 0x80:
        if fragments:
            raise ValueError("a fragmented unit has no end")
        fragments.append(bytes((payload[0] & 0xE0 | head & 0x1F,)))
    elif not fragments:
        raise ValueError("a fragmented unit has no beginning")
    fragments.append(payload[2:])
    if head & 0x40:
        units.append(b"".join(fragments))
        fragments.clear()


def _aggregated(payload: bytes) -> list[bytes]:
    units: list[bytes] = []
    position = 1
    while position < len(payload):
        start = position + 2
        position = start + int.from_bytes(payload[start - 2 : start], "big")
        if start >= position or position > len(payload):
            raise ValueError("an aggregated unit is truncated")
        units.append(payload[start:position])
    return units


def avc_configuration(sequence_set: bytes, picture_set: bytes) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1), with lengths of four bytes."""
    if len(sequence_set) < 4:
        raise ValueError("the sequence parameter set is truncated")
    record = b"\x01" + sequence_set[1:4] + b"\xff\xe1" + len(sequence_set).to_bytes(2, "big") + sequence_set
    return record + b"\x01" + len(picture_set).to_bytes(2, "big") + picture_set


def av1(payloads: Sequence[bytes]) -> Frame:
    """RTP Payload Format For AV1. A temporal unit is one block, in the low-overhead format, without its delimiter."""
    obus = temporal_unit(payloads)
    if not obus:
        raise ValueError("the unit is empty")
    data = b"".join(low_overhead(obu) for obu in obus)
    header = sequence_header_of(obus)
    if header is None:
        return Frame(data)
    known = parse_sequence_header(header)
    return Frame(data, Format(known.width, known.height, configuration(header)))


def _octet(payload: bytes, position: int) -> int:
    if position >= len(payload):
        raise ValueError("a payload is truncated")
    return payload[position]


DEPACKETIZERS: dict[str, Depacketizer] = {"vp8": vp8, "vp9": vp9, "h264": h264, "av1": av1}
