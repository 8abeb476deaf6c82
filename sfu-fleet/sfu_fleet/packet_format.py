"""How a publisher's packet looks to viewers, all but its numbers."""

from functools import lru_cache

import msgspec

from sfu_fleet import red, rtp
from sfu_fleet.rtp import RtpPacket


@lru_cache(1_024)
def _own_elements(transport_id: int, mid_id: int, mid: str) -> tuple[tuple[int, bytes], ...]:
    # The transport-wide number comes first, so that its place depends on nothing but the kind of header.
    own = ((transport_id, bytes(2)), (mid_id, mid.encode()))
    return tuple((key, value) for key, value in own if key)


@lru_cache(4_096)
def _extension_block(elements: tuple[tuple[int, bytes], ...]) -> bytes:
    """Packed: what packets bring along, such as an audio level, is seldom new."""
    return rtp.pack_extensions(dict(elements))


class RedFormat(msgspec.Struct, frozen=True):
    """The publisher's payload type of redundant audio, and the viewer's of that (0: none) and of Opus."""

    source: int
    target: int
    opus: int


class PacketFormat(msgspec.Struct, frozen=True):
    """How a packet looks to viewers, all but its numbers: viewers with equal formats share one rewritten packet.

    `forwarded` pairs the publisher's id of a header extension with the viewer's. `transport_id` is the id of the
    transport-wide number, 0 where there is none. `redundancy` is there where the publisher may send redundant audio.
    """

    payload_type: int
    mid_id: int
    mid: str
    forwarded: tuple[tuple[int, int], ...]
    transport_id: int = 0
    redundancy: RedFormat | None = None

    def apply(self, packet: RtpPacket) -> tuple[bytes, int]:
        """The packet in this format, and the size of its payload there."""
        elements = _own_elements(self.transport_id, self.mid_id, self.mid)
        if packet.extension_profile and self.forwarded:
            found = rtp.extensions(packet)
            elements += tuple((target, found[source]) for source, target in self.forwarded if source in found)
        payload_type, shown = self.payload_type, packet
        redundancy = self.redundancy
        if redundancy is not None and packet.payload_type == redundancy.source:
            if redundancy.target:
                payload_type, shown = redundancy.target, red.retyped(packet, redundancy.opus)
            else:
                shown = red.primary(packet)
        body = rtp.rebuild(shown, payload_type, _extension_block(elements))
        return body, shown.payload_end - shown.payload_start

    def transport_at(self, body: bytes) -> int:
        """Where a packet in this format has its transport-wide number; 0: nowhere."""
        if not self.transport_id:
            return 0
        # Behind the extension's header and that of its first element (RFC 8285, sections 4.2 and 4.3).
        start = rtp.HEADER_LENGTH + 4 * (body[0] & 0x0F)
        return start + (5 if body[start] == rtp.ONE_BYTE_PROFILE >> 8 else 6)
