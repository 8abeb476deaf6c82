"""The hot path: one packet of a publisher, rewritten and encrypted for every viewer.

`PacketPlane` is all that the rest of the worker knows of it. `PythonPlane` is the reference implementation; a native
one may take its place.
"""

import secrets
from collections.abc import Iterable
from typing import Protocol

import msgspec

from sfu_fleet import rtp
from sfu_fleet.dtls import MAX_PACKET, SCRATCH_VIEW, SrtpError
from sfu_fleet.ice import MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.rtx import RetransmissionStream
from sfu_fleet.transport import Transport

# A power of two, not larger than the replay window of SRTP: older packets could not be sent again.
HISTORY_SIZE = 1_024
# A viewer that reports more loss than this per second is not helped by sending more.
RESENDS_PER_SECOND = 400


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


class DownTrack:
    """One track of one viewer: `first` is the outgoing number that it began with, -1 before it began."""

    __slots__ = (
        "first",
        "format",
        "octets",
        "packets",
        "resend_budget",
        "resend_window",
        "rtx",
        "sequence_offset",
        "ssrc",
        "timestamp_offset",
        "transport",
    )

    def __init__(self, transport: Transport, ssrc: int, packet_format: PacketFormat) -> None:
        self.transport = transport
        self.ssrc = ssrc
        self.format = packet_format
        self.first = -1
        self.sequence_offset = 0
        self.timestamp_offset = secrets.randbits(32)
        self.packets = 0
        self.octets = 0
        self.resend_window = 0.0
        self.resend_budget = 0
        # Where what is sent again goes; None: it is sent as it was, to the last bit.
        self.rtx: RetransmissionStream | None = None


class Track:
    """One track of a publisher with its viewers and its latest packets."""

    def __init__(self, *, starts_at_keyframe: bool) -> None:
        self.starts_at_keyframe = starts_at_keyframe
        self.highest = -1
        self.viewers: dict[PacketFormat, list[DownTrack]] = {}
        self.history: list[tuple[int, int, RtpPacket] | None] = [None] * HISTORY_SIZE


class PacketPlane(Protocol):
    """What moves packets from tracks to viewers."""

    def attach(self, track: Track, down: DownTrack) -> None:
        """Let a viewer have a track: video from its next keyframe on."""

    def detach(self, track: Track, down: DownTrack) -> None:
        """Stop sending a track to a viewer."""

    def forward(self, track: Track, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool) -> None:
        """Send a packet to all viewers of a track under its place in the outgoing timeline."""

    def resend(self, track: Track, down: DownTrack, sequences: Iterable[int], now: float) -> int:
        """Send packets again that a viewer misses; `sequences` are the viewer's. Returns how many were sent."""


class PythonPlane:
    """The packet plane in Python, on the event loop's thread."""

    def __init__(self, media_socket: MediaSocket, metrics: Metrics) -> None:
        self._send = media_socket.send
        self._metrics = metrics
        self._traffic = metrics.traffic

    def attach(self, track: Track, down: DownTrack) -> None:
        """Let a viewer have a track."""
        track.viewers.setdefault(down.format, []).append(down)

    def detach(self, track: Track, down: DownTrack) -> None:
        """Stop sending a track to a viewer."""
        viewers = track.viewers.get(down.format, [])
        if down in viewers:
            viewers.remove(down)
        if not viewers:
            track.viewers.pop(down.format, None)

    def forward(self, track: Track, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool) -> None:
        """Send a packet to all viewers of a track."""
        track.history[sequence % HISTORY_SIZE] = (sequence, timestamp, packet)
        track.highest = max(track.highest, sequence)
        payload_size = packet.payload_end - packet.payload_start
        may_start = keyframe or not track.starts_at_keyframe
        for packet_format, viewers in track.viewers.items():
            body = packet_format.apply(packet)
            if len(body) > MAX_PACKET:
                self._metrics.drop("too_long")
                continue
            for down in viewers:
                if down.first < 0:
                    if not may_start:
                        continue
                    # RFC 3711, section 3.3.1: begin below 2^15, so that losing the first packets around a wrap does
                    # not leave the viewer with another roll-over count.
                    down.first = sequence
                    down.sequence_offset = secrets.randbits(15) - sequence
                elif sequence < down.first:
                    continue
                if self._transmit(down, body, sequence, timestamp):
                    down.packets += 1
                    down.octets += payload_size

    def resend(self, track: Track, down: DownTrack, sequences: Iterable[int], now: float) -> int:
        """Send packets again that a viewer misses."""
        if now - down.resend_window >= 1.0:
            down.resend_window, down.resend_budget = now, RESENDS_PER_SECOND
        sent = 0
        for number in sequences:
            # The latest outgoing number that this viewer saw as `number`.
            sequence = track.highest - ((track.highest + down.sequence_offset - number) & 0xFFFF)
            entry = track.history[sequence % HISTORY_SIZE]
            if down.first < 0 or sequence < down.first or entry is None or entry[0] != sequence:
                self._metrics.drop("nack_unknown")
                continue
            if down.resend_budget <= 0:
                self._metrics.drop("nack_budget")
                continue
            down.resend_budget -= 1
            packet = entry[2]
            body = down.format.apply(packet)
            if down.rtx is not None:
                body = down.rtx.wrap(body, packet.payload_end - packet.payload_start, number)
            if len(body) <= MAX_PACKET and self._transmit(down, body, sequence, entry[1], down.rtx):
                self._traffic.packets_out -= 1
                self._traffic.packets_resent += 1
                sent += 1
        return sent

    def _transmit(
        self, down: DownTrack, body: bytes, sequence: int, timestamp: int, rtx: RetransmissionStream | None = None
    ) -> bool:
        outbound, address = down.transport.outbound, down.transport.agent.remote
        if outbound is None or address is None:
            return False
        size = len(body)
        SCRATCH_VIEW[:size] = body
        rtp.IDENTITY.pack_into(
            SCRATCH_VIEW,
            2,
            (sequence + down.sequence_offset) & 0xFFFF if rtx is None else rtx.next_number(),
            (timestamp + down.timestamp_offset) & 0xFFFFFFFF,
            down.ssrc if rtx is None else rtx.ssrc,
        )
        try:
            length = outbound.protect_scratch(size)
        except SrtpError:
            self._metrics.drop("srtp_protect")
            return False
        if not self._send(SCRATCH_VIEW[:length], address):
            return False
        self._traffic.packets_out += 1
        self._traffic.bytes_out += length
        return True
