"""AV1 out of RTP and into Matroska: temporal units from packets, and what a container says of a coded video sequence.

Sources: the AV1 bitstream specification; "RTP Payload Format For AV1", section 4; "AV1 Codec ISO Media File Format
Binding", section 2.3 (av1C); "AV1 in Matroska". Nothing is decoded.
"""

from collections.abc import Sequence

import msgspec

from sfu_fleet.recording.bits import BitReader

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME_HEADER, _FRAME, _TILE_LIST, _PADDING = 1, 2, 3, 6, 8, 15
# A container has no use for these, and says so (AV1 in Matroska, section "Block Data").
_LEFT_OUT = frozenset({_TEMPORAL_DELIMITER, _TILE_LIST, _PADDING})
_KNOWN_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 15})
_KEY_FRAME = 0
# leb128 has at most eight bytes (bitstream specification, section 4.10.5).
_MAX_LEB128 = 8


class SequenceHeader(msgspec.Struct, frozen=True):
    """What is needed of a sequence header: the largest picture in pixels, and the bytes 1 and 2 of av1C."""

    width: int
    height: int
    profile_and_level: int
    tier_and_format: int
    reduced_still_picture: bool


def temporal_unit(payloads: Sequence[bytes]) -> list[bytes]:
    """The OBUs of a temporal unit, without size fields, out of the payloads of its packets in order.

    Raises:
        ValueError: the payloads do not make one, or an OBU is not well formed.
    """
    obus: list[bytes] = []
    fragment = b""
    for index, payload in enumerate(payloads):
        if not payload:
            raise ValueError("a payload is truncated")
        continues, goes_on = bool(payload[0] & 0x80), bool(payload[0] & 0x40)
        if continues is not bool(fragment):
            raise ValueError("the unit has no beginning" if index == 0 else "a fragmented unit has a hole")
        elements = _elements(payload)
        elements[0] = fragment + elements[0]
        fragment = elements.pop() if goes_on else b""
        if goes_on and not fragment:
            raise ValueError("a fragment is empty")
        obus += elements
    if fragment:
        raise ValueError("a fragmented unit has no end")
    bare = [_without_size(obu) for obu in obus]
    return [obu for obu in bare if _type_of(obu) not in _LEFT_OUT]


def _elements(payload: bytes) -> list[bytes]:
    """The OBU elements of a packet (RTP payload format, section 4.4); W is how many, 0 that each has its length."""
    count = payload[0] >> 4 & 0x03
    position = 1
    found: list[bytes] = []
    while position < len(payload):
        if count and len(found) == count - 1:
            found.append(payload[position:])
            position = len(payload)
            break
        size, position = _leb128(payload, position)
        if position + size > len(payload):
            raise ValueError("a unit is truncated")
        found.append(payload[position : position + size])
        position += size
    if not found or (count and len(found) != count):
        raise ValueError("the packet has not as many units as it says")
    return found


def low_overhead(obu: bytes) -> bytes:
    """An OBU without a size field in the low-overhead format, where each has one (bitstream specification, 5.2)."""
    header = 2 if obu[0] & 0x04 else 1
    return bytes((obu[0] | 0x02,)) + obu[1:header] + leb128(len(obu) - header) + obu[header:]


def leb128(value: int) -> bytes:
    """A number in the form of section 4.10.5 of the bitstream specification."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_LEB128):
        if position + index >= len(data):
            break
        octet = data[position + index]
        value |= (octet & 0x7F) << 7 * index
        if not octet & 0x80:
            return value, position + index + 1
    raise ValueError("a length is malformed")


def _without_size(obu: bytes) -> bytes:
    """The OBU as most senders have it on the wire: has_size_field off. What it says of itself is checked (5.3)."""
    if not obu or obu[0] & 0x80 or _type_of(obu) not in _KNOWN_TYPES:
        raise ValueError("not a unit of AV1")
    header = 2 if obu[0] & 0x04 else 1
    if len(obu) < header:
        raise ValueError("a unit is truncated")
    if not obu[0] & 0x02:
        return obu
    size, start = _leb128(obu, header)
    if start + size != len(obu):
        raise ValueError("a unit's size is not that of its element")
    return bytes((obu[0] & ~0x02,)) + obu[1:header] + obu[start:]


def _type_of(obu: bytes) -> int:
    return obu[0] >> 3 & 0x0F if obu else 0


def _body(obu: bytes) -> bytes:
    return obu[2:] if obu[0] & 0x04 else obu[1:]


def sequence_header_of(obus: Sequence[bytes]) -> bytes | None:
    """The sequence header OBU of a temporal unit that decoding can begin with: one that shows a key frame.

    Raises:
        ValueError: its sequence header or its first frame header is malformed.
    """
    header = next((obu for obu in obus if _type_of(obu) == _SEQUENCE_HEADER), None)
    frame = next((obu for obu in obus if _type_of(obu) in {_FRAME_HEADER, _FRAME}), None)
    if header is None or frame is None:
        return None
    if parse_sequence_header(header).reduced_still_picture:
        return header
    bits = BitReader(_body(frame))
    # Uncompressed header (section 5.9.2): a frame that exists already, else its type, and whether it is shown.
    shows_existing, kind, shown = bits.read(1), bits.read(2), bits.read(1)
    return header if not shows_existing and kind == _KEY_FRAME and shown else None


def configuration(sequence_header: bytes) -> bytes:
    """AV1CodecConfigurationRecord (av1C), which is Matroska's CodecPrivate.

    Raises:
        ValueError: the sequence header is malformed.
    """
    known = parse_sequence_header(sequence_header)
    return bytes((0x81, known.profile_and_level, known.tier_and_format, 0)) + low_overhead(sequence_header)


def parse_sequence_header(obu: bytes) -> SequenceHeader:
    """Read a sequence header OBU that has no size field (bitstream specification, section 5.5.1).

    Raises:
        ValueError: it is truncated, or not one.
    """
    if _type_of(obu) != _SEQUENCE_HEADER:
        raise ValueError("not a sequence header")
    bits = BitReader(_body(obu))
    profile = bits.read(3)
    bits.read(1)  # still_picture
    reduced = bool(bits.read(1))
    level, tier = (bits.read(5), 0) if reduced else _operating_points(bits)
    widths, heights = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(widths) + 1, bits.read(heights) + 1
    if not reduced and bits.read(1):
        bits.read(4 + 3)  # lengths of frame ids
    bits.read(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not reduced:
        _tools(bits)
    bits.read(3)  # enable_superres, enable_cdef, enable_restoration
    tier_and_format = tier << 7 | _colour_config(bits, profile)
    return SequenceHeader(width, height, profile << 5 | level, tier_and_format, reduced)


def _operating_points(bits: BitReader) -> tuple[int, int]:
    """Level and tier of the first operating point, past timing and decoder model (sections 5.5.1 to 5.5.5)."""
    delay_length = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)
        if bits.read(1):
            bits.unsigned()  # uvlc has the form of ue(v)
        if bits.read(1):  # decoder_model_info_present_flag
            delay_length = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    display_delay = bits.read(1)
    found: list[tuple[int, int]] = []
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        level = bits.read(5)
        found.append((level, bits.read(1) if level > 7 else 0))
        if delay_length and bits.read(1):
            bits.read(2 * delay_length + 1)
        if display_delay and bits.read(1):
            bits.read(4)
    return found[0]


def _tools(bits: BitReader) -> None:
    bits.read(4)  # interintra, masked compound, warped motion, dual filter
    order_hint = bits.read(1)
    if order_hint:
        bits.read(2)
    screen_content = 2 if bits.read(1) else bits.read(1)
    if screen_content and not bits.read(1):
        bits.read(1)
    if order_hint:
        bits.read(3)


def _colour_config(bits: BitReader, profile: int) -> int:
    """high_bitdepth to chroma_sample_position, as the lower seven bits of av1C's third byte (section 5.5.2)."""
    high = bits.read(1)
    twelve = bits.read(1) if profile == 2 and high else 0
    mono = 0 if profile == 1 else bits.read(1)
    described = (bits.read(8), bits.read(8), bits.read(8)) if bits.read(1) else None
    position = 0
    if mono:
        bits.read(1)
        across, down = 1, 1
    elif described == (1, 13, 0):  # sRGB
        across, down = 0, 0
    else:
        bits.read(1)
        if profile < 2:
            across = down = 1 - profile
        elif twelve:
            across = bits.read(1)
            down = bits.read(1) if across else 0
        else:
            across, down = 1, 0
        if across and down:
            position = bits.read(2)
    return high << 6 | twelve << 5 | mono << 4 | across << 3 | down << 2 | position
