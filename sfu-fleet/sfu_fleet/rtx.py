"""Retransmission payloads (RFC 4588): a packet sent again as one of a stream of its own, behind its old number.

Under its own number a packet could only be sent again to the last bit, and a receiver could not tell the copies apart
in its statistics.
"""

import secrets
from struct import Struct

from sfu_fleet import rtp
from sfu_fleet.rtp import RtpPacket

_NUMBER = Struct("!H")


class RetransmissionStream:
    """The retransmissions of one track to one viewer: their own SSRC, numbers and payload type.

    `sequence` is the number that was given last; what sends in our place goes on from there.
    """

    __slots__ = ("payload_type", "sequence", "ssrc")

    def __init__(self, payload_type: int, ssrc: int) -> None:
        self.payload_type = payload_type
        self.ssrc = ssrc
        # RFC 3711, section 3.3.1: begin below 2^15 (see the forwarder).
        self.sequence = secrets.randbits(15)

    def next_number(self) -> int:
        """The number of the next packet; none is given twice."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        return self.sequence

    def wrap(self, body: bytes, payload_size: int, number: int) -> bytes:
        """A packet as it is sent again; `number` is what the viewer misses."""
        start = len(body) - payload_size
        marker = body[1] & 0x80
        head = body[:1] + bytes((self.payload_type | marker,)) + body[2:start]
        return head + _NUMBER.pack(number & 0xFFFF) + body[start:]


def unwrap(packet: RtpPacket, payload_type: int, ssrc: int) -> RtpPacket | None:
    """The packet that was sent again, as it came first; None for padding that probes the way."""
    start = packet.payload_start
    if packet.payload_end - start < 2:
        return None
    data = packet.data
    second = payload_type | (0x80 if packet.marker else 0)
    # The padding goes with the wrapping.
    head = bytes((data[0] & ~0x20, second)) + data[start : start + 2] + data[4:8] + ssrc.to_bytes(4, "big")
    return rtp.parse(head + data[12:start] + data[start + 2 : packet.payload_end])
