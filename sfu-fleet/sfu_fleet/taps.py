"""What whoever records a publisher has to offer."""

from typing import Protocol

from sfu_fleet.rtp import RtpPacket
from sfu_fleet.uplink import Layer


class PacketTap(Protocol):
    """Hears what a publisher sends, once it is on its way to viewers. Nothing in it may block or raise."""

    def packet(
        self, layer: Layer, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool, now: float
    ) -> None:
        """A packet with its place in the layer's timeline."""

    def report(self, layer: Layer) -> None:
        """A sender report of a layer."""

    def ended(self) -> None:
        """The session is over."""
