"""Redundant audio data (RFC 2198): a packet that carries the frame before, or several, in front of its own.

A worker passes it on as it is to viewers who have agreed to it. Others get the primary block, which is the last one and
has the packet's own number and time, so that nothing else changes.
"""

import msgspec

from sfu_fleet.rtp import RtpPacket

_FOLLOWED = 0x80
_TYPE = 0x7F
_HEADER_LENGTH = 4


def block_headers(packet: RtpPacket) -> tuple[list[int], int]:
    """Where the headers of the blocks stand, and where the primary block begins, both counted from the packet's start.

    A packet of padding alone, as Chromium probes with, has no blocks.

    Raises:
        ValueError: they lead outside of the payload.
    """
    data, position, end = packet.data, packet.payload_start, packet.payload_end
    headers: list[int] = []
    if position == end:
        return headers, position
    redundant = 0
    while position < end and data[position] & _FOLLOWED:
        if position + _HEADER_LENGTH > end:
            break
        headers.append(position)
        # Fourteen bits of time, ten of length (section 3).
        redundant += (data[position + 2] & 0x03) << 8 | data[position + 3]
        position += _HEADER_LENGTH
    headers.append(position)
    start = position + 1 + redundant
    if position >= end or data[position] & _FOLLOWED or start > end:
        raise ValueError("redundant blocks lead outside of the packet")
    return headers, start


def is_of(packet: RtpPacket, payload_type: int) -> bool:
    """Whether it is well-formed, and all its blocks are of that payload type."""
    try:
        headers, _ = block_headers(packet)
    except ValueError:
        return False
    return all(packet.data[at] & _TYPE == payload_type for at in headers)


def primary(packet: RtpPacket) -> RtpPacket:
    """The packet with its own frame alone, under the payload type of that.

    Raises:
        ValueError: its blocks lead outside of it.
    """
    headers, start = block_headers(packet)
    if not headers:
        return packet
    return msgspec.structs.replace(packet, payload_type=packet.data[headers[-1]] & _TYPE, payload_start=start)


def retyped(packet: RtpPacket, payload_type: int) -> RtpPacket:
    """The packet with another payload type for all its blocks.

    Raises:
        ValueError: its blocks lead outside of it.
    """
    headers, _ = block_headers(packet)
    if all(packet.data[at] & _TYPE == payload_type for at in headers):
        return packet
    data = bytearray(packet.data)
    for at in headers:
        data[at] = data[at] & _FOLLOWED | payload_type
    return msgspec.structs.replace(packet, data=bytes(data))
