"""How a publisher's packet looks to viewers, all but its numbers."""

import msgspec

from sfu_fleet import rtp
from sfu_fleet.rtp import RtpPacket


class PacketFormat(msgspec.Struct, frozen=True):
    """How a packet looks to viewers, all but its numbers: viewers with equal formats share one rewritten packet.

    `forwarded` pairs the publisher's id of a header extension with the viewer's.
    """

    payload_type: int
    mid_id: int
    mid: str
    forwarded: tuple[tuple[int, int], ...]

    def apply(self, packet: RtpPacket) -> bytes:
        """The packet in this format."""
        elements: dict[int, bytes] = {}
        if self.mid_id:
            elements[self.mid_id] = self.mid.encode()
        if packet.extension_profile and self.forwarded:
            found = rtp.extensions(packet)
            for source, target in self.forwarded:
                if source in found:
                    elements[target] = found[source]
        return rtp.rebuild(packet, self.payload_type, rtp.pack_extensions(elements))
