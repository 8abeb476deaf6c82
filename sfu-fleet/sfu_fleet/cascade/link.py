"""A link: the edge's end of one feed. A pull has one, and a second one while it goes over to another parent.

Where a worker that has pulled a room becomes the room's origin, its viewers stay with the pull: the second link is then
one to the publisher's session in the same process.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from structlog import get_logger

from sfu_fleet import rtcp, rtp
from sfu_fleet.cascade import wire
from sfu_fleet.cascade.contract import Fed, FedTrack, FeedKeys, Parent
from sfu_fleet.cascade.transports import LinkSocket, address_of
from sfu_fleet.cascade.wire import FeedState, Totals, Wanted
from sfu_fleet.packet_format import PacketFormat
from sfu_fleet.rtcp import Application, Bye, ReceptionReport, SenderReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.source import Source
from sfu_fleet.uplink import Layer

# A parent says something several times a second: so long without means that it, or the way to it, is gone.
SILENT_S: Final = 0.9

log = get_logger(__name__)


class Link(ABC):
    """One feed as it arrives. `on_packet` gets RTP, `on_report` sender reports, `on_state` what the parent tells.

    `layers` are the places of its SSRCs: (track, layer).
    """

    def __init__(self, parent: Parent, fed: Fed) -> None:
        self.parent = parent
        self.fed = fed
        self.layers: dict[int, tuple[int, int]] = {
            ssrc: (place, index)
            for place, track in enumerate(fed.tracks)
            for index, (_, ssrc) in enumerate(track.layers)
        }
        self._ssrcs = {place: ssrc for ssrc, place in self.layers.items()}
        self._clock = asyncio.get_running_loop().time
        self.heard_at = self.opened_at = self._clock()
        self.over = False
        self.state: FeedState | None = None
        self.on_packet: Callable[[Link, bytes, float], None] = lambda _link, _data, _now: None
        self.on_report: Callable[[SenderReport, float], None] = lambda _report, _now: None
        self.on_state: Callable[[Link, FeedState, float], None] = lambda _link, _state, _now: None
        self.packets = 0

    def ssrc_of(self, place: tuple[int, int]) -> int:
        """The SSRC under which a layer comes."""
        return self._ssrcs[place]

    @property
    def leaving(self) -> bool:
        """Whether the parent has said to look for another one."""
        return self.state is not None and self.state.leaving

    def lost(self, now: float) -> bool:  # noqa: ARG002 - not every link is lost by the clock
        """Whether nothing more is to be expected of it."""
        return self.over

    @abstractmethod
    def want(self, places: Iterable[tuple[int, int]], totals: Totals, reports: Sequence[ReceptionReport] = ()) -> None:
        """Say which layers are wanted and who is fed by us, and with it that we are there."""

    @abstractmethod
    def ask_for_keyframe(self, ssrc: int) -> None:
        """Ask for a keyframe of a layer."""

    @abstractmethod
    def miss(self, ssrc: int, numbers: Sequence[int]) -> None:
        """Ask for packets again."""

    @abstractmethod
    def send(self, compound: bytes) -> None:
        """Send RTCP."""

    @abstractmethod
    def close(self) -> None:
        """End the feed."""


class RemoteLink(Link):
    """From another worker."""

    def __init__(self, parent: Parent, sock: LinkSocket, fed: Fed) -> None:
        """Open it.

        Raises:
            OSError: there is no way to the parent.
        """
        super().__init__(parent, fed)
        self._socket = sock
        self._ssrc = secrets.randbits(32)
        sock.open(address_of(fed.address, fed.port), fed.keys.of_edge(), self._on_datagram)

    def lost(self, now: float) -> bool:
        """Whether the parent has ended it, its host says that nobody listens, or nothing has come for too long."""
        return self.over or self._socket.refused or now - self.heard_at > SILENT_S

    def want(self, places: Iterable[tuple[int, int]], totals: Totals, reports: Sequence[ReceptionReport] = ()) -> None:
        """Say which layers are wanted."""
        wanted = Wanted([self._ssrcs[place] for place in places], totals)
        compound = rtcp.pack_receiver_report(self._ssrc, reports)
        self.send(compound + rtcp.pack_application(self._ssrc, wire.WANT, wire.pack(wanted)))

    def ask_for_keyframe(self, ssrc: int) -> None:
        """Ask for a keyframe of a layer."""
        self.send(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_pli(self._ssrc, ssrc))

    def miss(self, ssrc: int, numbers: Sequence[int]) -> None:
        """Ask for packets again."""
        self.send(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_nack(self._ssrc, ssrc, numbers))

    def send(self, compound: bytes) -> None:
        """Send RTCP."""
        self._socket.send_rtcp(compound)

    def close(self) -> None:
        """Say good-bye, which ends the feed."""
        self.send(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_bye([self._ssrc]))
        self._socket.close()

    def _on_datagram(self, data: bytes, is_rtcp: bool) -> None:
        self.heard_at = now = self._clock()
        if not is_rtcp:
            self.packets += 1
            self.on_packet(self, data, now)
            return
        packets, _ = rtcp.parse(data)
        for packet in packets:
            if isinstance(packet, SenderReport):
                self.on_report(packet, now)
            elif isinstance(packet, Application) and packet.name == wire.TELL:
                state = wire.read_state(packet.data)
                if state is not None:
                    self.state = state
                    self.on_state(self, state, now)
            elif isinstance(packet, Bye):
                self.over = True


class LocalLink(Link):
    """From a session of this worker: a tap of its packets, which are given the form that they have between workers."""

    def __init__(self, parent: Parent, source: Source, fence: int) -> None:
        self._source = source
        self._formats: dict[Layer, tuple[PacketFormat, int]] = {}
        self._wanted: set[Layer] = set()
        tracks = []
        for place, uplink in enumerate(source.tracks):
            agreement = wire.agreement_between_workers(uplink, place)
            packet_format = wire.format_between_workers(uplink, agreement)
            ssrcs = [secrets.randbits(32) for _ in uplink.layers]
            for layer, ssrc in zip(uplink.layers, ssrcs, strict=True):
                self._formats[layer] = packet_format, ssrc
            tracks.append(FedTrack(agreement, tuple((layer.name, self._formats[layer][1]) for layer in uplink.layers)))
        fed = Fed("", FeedKeys(0, "", b"", b""), "", 0, tuple(tracks), source.stream, source.identity.name, fence, 0)
        super().__init__(parent, fed)
        self._by_ssrc = {ssrc: layer for layer, (_, ssrc) in self._formats.items()}
        source.taps.append(self)

    def want(
        self,
        places: Iterable[tuple[int, int]],
        totals: Totals,  # noqa: ARG002 - its viewers are counted here
        reports: Sequence[ReceptionReport] = (),  # noqa: ARG002 - nothing is lost on the way
    ) -> None:
        """Pass on these layers alone, and tell of all of them."""
        self._wanted = {self._by_ssrc[self._ssrcs[place]] for place in places}
        now = self._clock()
        self.state = wire.state_of(self._formats, self._source, now, fence=self.fed.fence)
        self.on_state(self, self.state, now)

    def ask_for_keyframe(self, ssrc: int) -> None:
        """Ask for a keyframe of a layer."""
        self._by_ssrc[ssrc].request_keyframe()

    def miss(self, ssrc: int, numbers: Sequence[int]) -> None:
        """What has not come yet comes once the publisher's session has it."""

    def send(self, compound: bytes) -> None:
        """Nothing else is to be said to a session of this process."""

    def close(self) -> None:
        """Listen no more."""
        self.ended()
        if self in self._source.taps:
            self._source.taps.remove(self)

    def packet(
        self, layer: Layer, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool, now: float
    ) -> None:
        """See `sfu_fleet.taps.PacketTap`."""
        del keyframe
        self.heard_at = now
        if layer not in self._wanted:
            return
        packet_format, ssrc = self._formats[layer]
        body = bytearray(packet_format.apply(packet)[0])
        rtp.IDENTITY.pack_into(body, 2, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        self.packets += 1
        self.on_packet(self, bytes(body), now)

    def report(self, layer: Layer) -> None:
        """See `sfu_fleet.taps.PacketTap`."""
        if layer.sender_report is not None and layer in self._formats:
            report, at = layer.sender_report
            timestamp = report.timestamp + layer.timeline.timestamp_shift & 0xFFFFFFFF
            self.on_report(SenderReport(self._formats[layer][1], report.ntp, timestamp, 0, 0), at)

    def ended(self) -> None:
        """See `sfu_fleet.taps.PacketTap`."""
        self.over = True
