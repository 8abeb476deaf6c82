"""RTP packets (RFC 3550, section 5.1) and their header extensions (RFC 8285), read and rewritten.

Serial number arithmetic is modulo 2^16 and 2^32 throughout.
"""

from collections.abc import Mapping
from struct import Struct

import msgspec

HEADER_LENGTH = 12
ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000

_HEADER = Struct("!BBHII")
_EXTENSION_HEADER = Struct("!HH")
# Sequence number, timestamp and SSRC lie together behind the first two bytes.
IDENTITY = Struct("!HII")


class RtpPacket(msgspec.Struct, frozen=True, gc=False):
    """A parsed packet: offsets into `data`, which stays untouched. `payload_end` lies before any padding."""

    data: bytes
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    csrc_count: int
    extension_profile: int
    extension_start: int
    extension_end: int
    payload_start: int
    payload_end: int

    @property
    def payload(self) -> bytes:
        """The payload without padding."""
        return self.data[self.payload_start : self.payload_end]


def parse(data: bytes) -> RtpPacket:
    """Read a packet's header.

    Raises:
        ValueError: not an RTP packet, or one whose lengths lead outside of it.
    """
    size = len(data)
    if size < HEADER_LENGTH:
        raise ValueError("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise ValueError("not RTP version 2")
    start = HEADER_LENGTH + 4 * (first & 0x0F)
    profile = extension_start = extension_end = 0
    if first & 0x10:
        if size < start + 4:
            raise ValueError("header extension is truncated")
        profile, words = _EXTENSION_HEADER.unpack_from(data, start)
        extension_start = start + 4
        start = extension_end = extension_start + 4 * words
    end = size
    if first & 0x20 and size > start:
        padding = data[-1]
        if padding == 0:
            raise ValueError("padding length is zero")
        end -= padding
    if end < start:
        raise ValueError("header or padding is longer than the packet")
    return RtpPacket(
        data,
        second >= 0x80,
        second & 0x7F,
        sequence,
        timestamp,
        ssrc,
        first & 0x0F,
        profile,
        extension_start,
        extension_end,
        start,
        end,
    )


def extensions(packet: RtpPacket) -> dict[int, bytes]:
    """The header extension elements by id.

    Raises:
        ValueError: an element leads outside of the extension.
    """
    if packet.extension_profile == ONE_BYTE_PROFILE:
        return _one_byte_elements(packet.data[packet.extension_start : packet.extension_end])
    if packet.extension_profile & 0xFFF0 == TWO_BYTE_PROFILE:
        return _two_byte_elements(packet.data[packet.extension_start : packet.extension_end])
    return {}


def _one_byte_elements(block: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, size = 0, len(block)
    while position < size:
        head = block[position]
        if head == 0:
            position += 1
            continue
        if head >> 4 == 15:  # RFC 8285, section 4.2: stop here
            break
        end = position + 2 + (head & 0x0F)
        if end > size:
            raise ValueError("header extension element is truncated")
        found[head >> 4] = block[position + 1 : end]
        position = end
    return found


def _two_byte_elements(block: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, size = 0, len(block)
    while position < size:
        if block[position] == 0:
            position += 1
            continue
        if position + 2 > size:
            raise ValueError("header extension element is truncated")
        end = position + 2 + block[position + 1]
        if end > size:
            raise ValueError("header extension element is truncated")
        found[block[position]] = block[position + 2 : end]
        position = end
    return found


def pack_extensions(elements: Mapping[int, bytes]) -> bytes:
    """The extension header and its elements, padded to words; empty when there are none.

    One-byte headers where they can hold every element, else two-byte headers (RFC 8285, section 4).
    """
    if not elements:
        return b""
    one_byte = all(1 <= key <= 14 and 1 <= len(value) <= 16 for key, value in elements.items())
    block = bytearray()
    for key, value in elements.items():
        block += bytes([key << 4 | len(value) - 1]) if one_byte else bytes([key, len(value)])
        block += value
    block += bytes(-len(block) % 4)
    return _EXTENSION_HEADER.pack(ONE_BYTE_PROFILE if one_byte else TWO_BYTE_PROFILE, len(block) // 4) + bytes(block)


def rebuild(packet: RtpPacket, payload_type: int, extension_block: bytes) -> bytes:
    """The packet with another payload type and header extension, without padding.

    Sequence number, timestamp and SSRC keep their old values: the forwarder writes them per viewer.
    """
    data = packet.data
    csrc_end = HEADER_LENGTH + 4 * packet.csrc_count
    first = 0x80 | packet.csrc_count | (0x10 if extension_block else 0)
    second = payload_type | (0x80 if packet.marker else 0)
    return b"".join(
        (
            bytes((first, second)),
            data[2:csrc_end],
            extension_block,
            data[packet.payload_start : packet.payload_end],
        )
    )


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a multiplexed port is RTCP (RFC 5761, section 4): packet types 192 to 223."""
    return len(data) > 1 and 192 <= data[1] <= 223


def sequence_delta(new: int, old: int) -> int:
    """How far `new` is ahead of `old`, from -32768 to 32767."""
    return ((new - old + 0x8000) & 0xFFFF) - 0x8000
