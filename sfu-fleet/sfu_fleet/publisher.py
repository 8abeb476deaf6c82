"""A publisher's session: routes its packets to layers, repairs and reports on its uplink, and says when it is live."""

import asyncio
from collections.abc import Callable, Mapping

from sfu_fleet import rtcp, rtp, rtx, sdp
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.header_extensions import MID, REPAIRED_STREAM_ID, STREAM_ID, TRANSPORT_SEQUENCE
from sfu_fleet.negotiation import Agreement, answer_publisher
from sfu_fleet.rtcp import ReceptionReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.session import Identity, MediaContext, Session, State
from sfu_fleet.source import MAX_SOURCES, Source
from sfu_fleet.transport import Transport
from sfu_fleet.transport_feedback import Arrivals
from sfu_fleet.uplink import Layer, UplinkTrack

# Feedback about arrivals is gathered for so long: often enough for the publisher's estimate, seldom enough to be cheap.
FEEDBACK_S = 0.05


class Publisher(Source):
    """The session of somebody who sends."""

    kind = "publish"
    transport: Transport

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        *,
        offer: str,
        uplink_bitrate: int,
        on_live: Callable[[Source], None],
        on_connected: Callable[["Publisher"], None],
        on_end: Callable[[Session, DtlsState, str], None],
        fence: int = 0,
        continues: str = "",
    ) -> None:
        description = sdp.parse(offer)
        super().__init__(identity, context, plane, on_live=on_live, on_end=on_end)
        self._tell_connected = on_connected
        self._uplink_bitrate = uplink_bitrate
        self.fence = fence
        """The token of the lease under which this worker is the room's origin."""
        self.superseded_at: float | None = None
        """When another worker became the room's origin."""
        self.continues = continues
        """The session whose place this one takes, where it is the same stream."""
        try:
            self.agreement: Agreement = answer_publisher(description, self.local_transport())
        except BaseException:
            context.media_socket.remove(self.transport.agent)
            raise
        self.peer_ufrag = self.agreement.peer.ufrag
        self._take(UplinkTrack(agreement, self._ask_for_keyframe) for agreement in self.agreement.tracks)
        self._by_payload_type = {
            payload_type: track for track in self.tracks for payload_type in track.agreement.payload_types
        }
        self._by_rtx_payload_type = {
            track.agreement.rtx.payload_type: track for track in self.tracks if track.agreement.rtx is not None
        }
        # The layers whose packets a stream of retransmissions repeats: as announced, or as a packet of it has said.
        self._by_rtx_ssrc: dict[int, Layer] = {
            ssrc: layer
            for track in self.tracks
            for ssrc, layer in zip(track.agreement.rtx_ssrcs, track.layers, strict=False)
            if ssrc and track.agreement.rtx is not None
        }
        # All packets of a transport share one numbering, and with it one id: that of any of the streams.
        self._numbering = max(t.extensions.get(TRANSPORT_SEQUENCE, 0) for t in self.agreement.tracks)
        self._arrivals = Arrivals()
        self._feedback_timer: asyncio.TimerHandle | None = None
        self.state = State.CONNECTING
        self.transport.start(self.agreement.peer.fingerprints, dtls_client=self.agreement.dtls_client)

    def on_connected(self) -> None:
        """The handshake is done."""
        super().on_connected()
        self._watch()
        self._tell_connected(self)

    def on_rtp(self, data: bytes, now: float) -> None:
        """Forward a packet."""
        self.packets += 1
        self.octets += len(data)
        self._traffic.packets_in += 1
        self._traffic.bytes_in += len(data)
        try:
            packet = rtp.parse(data)
        except ValueError:
            self.context.metrics.drop("rtp_malformed")
            return
        try:
            elements = rtp.extensions(packet) if packet.extension_profile else {}
        except ValueError:
            self.context.metrics.drop("rtp_malformed")
            return
        if self._numbering:
            self._note_arrival(elements.get(self._numbering, b""), now)
        layer = self._by_ssrc.get(packet.ssrc)
        if layer is None and packet.payload_type in self._by_rtx_payload_type:
            self._repair(packet, elements, now)
            return
        if layer is None or layer.ssrc != packet.ssrc:
            layer = self._route(packet, elements, now)
            if layer is None:
                return
        if not layer.takes(packet):
            self.context.metrics.drop("payload_type")
            return
        self._receive(layer, packet, now)

    def report(self, now: float) -> None:
        """Send receiver reports and the bitrate that we take; called every second."""
        self._look_at_health(now)
        sources = [layer.reception for layer in self._layers if layer.reception is not None]
        if not sources:
            return
        reports: list[ReceptionReport] = [source.report(now) for source in sources]
        compound = rtcp.pack_receiver_report(self._ssrc, reports)
        compound += rtcp.pack_source_description(self._ssrc, self.context.cname)
        video = self._video
        if video is not None and "goog-remb" in video.codec.feedback:
            ssrcs = [layer.ssrc for layer in video.layers if layer.ssrc is not None]
            if ssrcs:
                compound += rtcp.pack_remb(self._ssrc, self._uplink_bitrate, ssrcs)
        self.transport.send_rtcp(compound)

    def finish(self) -> None:
        """Stop timers and say good-bye."""
        if self._feedback_timer is not None:
            self._feedback_timer.cancel()
            self._feedback_timer = None
        super().finish()

    def _route(self, packet: RtpPacket, elements: Mapping[int, bytes], now: float) -> Layer | None:
        """The layer of a new source (RFC 8843, section 9.2).

        Its track is told by the mid where the packet has one, else by an announced SSRC or by the payload type; its
        layer by the stream id or by the announced SSRC. Chromium marks packets until it has had a report about them.
        """
        uplink = (
            self._by_mid(elements)
            or next((track for track in self.tracks if packet.ssrc in track.agreement.ssrcs), None)
            or self._by_payload_type.get(packet.payload_type)
        )
        if uplink is None or packet.payload_type not in uplink.agreement.payload_types:
            self.context.metrics.drop("payload_type")
            return None
        rid = elements.get(uplink.agreement.extensions.get(STREAM_ID, 0), b"")
        layer = uplink.layer_of_rid(rid) or uplink.layer_of_ssrc(packet.ssrc) or uplink.only_layer()
        if layer is None:
            self.context.metrics.drop("unknown_layer")
            return None
        if packet.ssrc in self._by_ssrc:
            # A source that this layer has left behind already: a straggler.
            self.context.metrics.drop("late")
            return None
        if len(self._by_ssrc) >= MAX_SOURCES:
            self.context.metrics.drop("too_many_sources")
            return None
        restarted = layer.reception is not None
        reception = layer.begin(packet)
        self._by_ssrc[packet.ssrc] = layer
        layer.timeline.rebase(reception.first_number(packet.sequence), packet.timestamp, now)
        self.log.info(
            "source",
            track=layer.kind,
            layer=layer.name,
            codec=layer.codec.name,
            ssrc=packet.ssrc,
            restarted=restarted,
        )
        return layer

    def _by_mid(self, elements: Mapping[int, bytes]) -> UplinkTrack | None:
        for uplink in self.tracks:
            identifier = uplink.agreement.extensions.get(MID)
            if identifier and elements.get(identifier) == uplink.agreement.mid.encode():
                return uplink
        return None

    def _note_arrival(self, element: bytes, now: float) -> None:
        if len(element) != 2:
            return
        self._arrivals.arrived(int.from_bytes(element, "big"), now)
        if self._feedback_timer is None:
            self._feedback_timer = self._loop.call_later(FEEDBACK_S, self._send_feedback)

    def _send_feedback(self) -> None:
        """Tell the publisher when its packets came. One of its sources stands for the transport."""
        self._feedback_timer = None
        media = next((layer.ssrc for layer in self._layers if layer.ssrc is not None), 0)
        for packet in self._arrivals.take(self._ssrc, media):
            self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + packet)

    def _repair(self, packet: RtpPacket, elements: Mapping[int, bytes], now: float) -> None:
        """Take a retransmission (RFC 4588) for the packet that is missing."""
        uplink = self._by_rtx_payload_type[packet.payload_type]
        if len(self._by_rtx_ssrc) < MAX_SOURCES:
            # Of a simulcast, packets name their layer until the sender knows that they arrive (RFC 8852, section 4.3).
            name = elements.get(uplink.agreement.extensions.get(REPAIRED_STREAM_ID, 0), b"")
            if named := uplink.only_layer() or uplink.layer_of_rid(name):
                self._by_rtx_ssrc[packet.ssrc] = named
        layer = self._by_rtx_ssrc.get(packet.ssrc)
        if layer is None or layer.reception is None or layer.losses is None:
            self.context.metrics.drop("rtx_unneeded")
            return
        original = rtx.unwrap(packet, layer.codec.payload_type, layer.reception.ssrc)
        if original is None:
            # Chromium probes the way with padding on this stream.
            return
        extended = layer.reception.number(original.sequence)
        if not layer.losses.is_missing(extended):
            self.context.metrics.drop("rtx_unneeded")
            return
        self._receive(layer, original, now)
        layer.losses.repair(extended)
