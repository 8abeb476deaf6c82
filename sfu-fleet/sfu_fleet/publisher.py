"""A publisher's session: routes its packets to layers, repairs and reports on its uplink, and says when it is live."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence

from sfu_fleet import red, rtcp, rtp, rtx, sdp
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.header_extensions import MID, REPAIRED_STREAM_ID, STREAM_ID, TRANSPORT_SEQUENCE
from sfu_fleet.negotiation import Agreement, TrackAgreement, answer_publisher
from sfu_fleet.rtcp import ReceptionReport, SenderReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.session import Identity, LayerInfo, MediaContext, Session, SessionInfo, State
from sfu_fleet.taps import PacketTap
from sfu_fleet.transport_feedback import Arrivals
from sfu_fleet.uplink import Layer, UplinkTrack

LOSS_CHECK_S = 0.02
# Feedback about arrivals is gathered for so long: often enough for the publisher's estimate, seldom enough to be cheap.
FEEDBACK_S = 0.05
# Video that has not begun so long after the sound is not waited for: it joins in when it comes.
SOUND_ALONE_AFTER_S = 2.0
# A source may start over with another SSRC, but not without end.
MAX_SOURCES = 64


class Publisher(Session):
    """The session of somebody who sends. `on_live` is called once, when media really flows."""

    kind = "publish"

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        *,
        offer: str,
        uplink_bitrate: int,
        on_live: Callable[["Publisher"], None],
        on_connected: Callable[["Publisher"], None],
        on_end: Callable[[Session, DtlsState, str], None],
    ) -> None:
        description = sdp.parse(offer)
        super().__init__(identity, context, on_end)
        self._plane = plane
        self._traffic = context.metrics.traffic
        self._on_live = on_live
        self._tell_connected = on_connected
        self._uplink_bitrate = uplink_bitrate
        self._ssrc = secrets.randbits(32)
        self._loop = asyncio.get_running_loop()
        self.live = False
        self._warned: set[str] = set()
        # When the first packet came that could be forwarded.
        self._first_at: float | None = None
        self.packets = 0
        self.octets = 0
        try:
            self.agreement: Agreement = answer_publisher(description, self.local_transport())
        except BaseException:
            context.media_socket.remove(self.transport.agent)
            raise
        self.peer_ufrag = self.agreement.peer.ufrag
        self.tracks = [UplinkTrack(agreement, self._ask_for_keyframe) for agreement in self.agreement.tracks]
        self._layers = [layer for track in self.tracks for layer in track.layers]
        self._by_payload_type = {
            payload_type: track for track in self.tracks for payload_type in track.agreement.payload_types
        }
        self._by_rtx_payload_type = {
            track.agreement.rtx.payload_type: track for track in self.tracks if track.agreement.rtx is not None
        }
        self._by_ssrc: dict[int, Layer] = {}
        # The layers whose packets a stream of retransmissions repeats: as announced, or as a packet of it has said.
        self._by_rtx_ssrc: dict[int, Layer] = {
            ssrc: layer
            for track in self.tracks
            for ssrc, layer in zip(track.agreement.rtx_ssrcs, track.layers, strict=False)
            if ssrc and track.agreement.rtx is not None
        }
        self._video = next((track for track in self.tracks if track.kind == "video"), None)
        self._fir_command = 0
        self._loss_timer: asyncio.TimerHandle | None = None
        # All packets of a transport share one numbering, and with it one id: that of any of the streams.
        self._numbering = max(t.extensions.get(TRANSPORT_SEQUENCE, 0) for t in self.agreement.tracks)
        self._arrivals = Arrivals()
        self._feedback_timer: asyncio.TimerHandle | None = None
        # Called with each sender report of a track, so that viewers get theirs.
        self.sender_report_listeners: dict[str, Callable[[Layer], None]] = {}
        self.taps: list[PacketTap] = []
        self.state = State.CONNECTING
        self.transport.start(self.agreement.peer.fingerprints, dtls_client=self.agreement.dtls_client)

    @property
    def agreed_tracks(self) -> Sequence[TrackAgreement]:
        """What was negotiated."""
        return self.agreement.tracks

    def on_connected(self) -> None:
        """The handshake is done."""
        super().on_connected()
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

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take the publisher's sender reports."""
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if not isinstance(packet, SenderReport):
                continue
            layer = self._by_ssrc.get(packet.ssrc)
            if layer is None or layer.reception is None or layer.ssrc != packet.ssrc:
                continue
            layer.reception.on_sender_report(packet, now)
            layer.health.report(packet)
            layer.sender_report = (packet, now)
            for listener in list(self.sender_report_listeners.values()):
                listener(layer)
            for tap in self.taps:
                tap.report(layer)

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

    def _look_at_health(self, now: float) -> None:
        found: set[str] = set()
        for layer in self._layers:
            layer.health.look(now)
            found |= layer.health.warnings
        if found - self._warned:
            self._warned = found
            self.log.warning("stream_unhealthy", warnings=sorted(found))

    def on_fed(self, now: float) -> None:
        """A publisher is sent no media, so there is no way to be estimated."""

    def finish(self) -> None:
        """Stop timers and say good-bye."""
        for layer in self._layers:
            layer.keyframes.close()
        for timer in (self._loss_timer, self._feedback_timer):
            if timer is not None:
                timer.cancel()
        self._loss_timer = self._feedback_timer = None
        self.sender_report_listeners.clear()
        for tap in list(self.taps):
            tap.ended()
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_bye([self._ssrc]))

    def info(self) -> SessionInfo:
        """A snapshot for the control API."""
        return self.snapshot(
            live=self.live,
            codecs=[track.codec.name for track in self.tracks],
            packets_in=self.packets,
            bytes_in=self.octets,
            packets_lost=sum(layer.lost for layer in self._layers),
            layers=self._layer_infos(),
            warnings=sorted(self._warned),
        )

    def _layer_infos(self) -> list[LayerInfo]:
        now = self._loop.time()
        return [
            LayerInfo(
                layer.name,
                layer.active(now),
                layer.rate.rate(now),
                layer.lost,
                layer.keyframe_requests,
                layer.track.keyframes,
                layer.height,
            )
            for track in self.tracks
            if track.kind == "video"
            for layer in track.layers
        ]

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

    def _receive(self, layer: Layer, packet: RtpPacket, now: float) -> None:
        reception = layer.reception
        late = layer.is_repaired(packet)
        extended = reception.receive(packet.sequence, packet.timestamp, now) if reception and not late else None
        if extended is None:
            self.context.metrics.drop("late")
            return
        self._note_losses(layer, extended, now)
        if packet.payload_end == packet.payload_start and layer.timeline.skip(extended):
            return
        place = layer.timeline.place(extended, packet.timestamp, now)
        if place is None:
            self.context.metrics.drop("late")
            return
        keyframe = layer.starts_keyframe(packet)
        layer.health.packet(extended, packet.timestamp)
        if keyframe:
            layer.health.keyframe()
            layer.keyframes.served()
        # Sound may begin with any packet.
        if keyframe or (layer.keyframe_listeners and layer.kind == "audio"):
            layer.tell_keyframe(packet, place[0], place[1], now)
        if not self.live and (keyframe or self._video is None or self._sound_alone(now)):
            self.live = True
            self._on_live(self)
        layer.heard_at = now
        layer.rate.add(len(packet.data), now)
        self._forward(layer, packet, place, now, keyframe=keyframe)

    def _forward(self, layer: Layer, packet: RtpPacket, place: tuple[int, int], now: float, *, keyframe: bool) -> None:
        """To viewers, to those who get less, and to who records."""
        thinned = layer.thin(packet, *place, now)
        self._plane.forward(layer.track, packet, *place, keyframe=keyframe)
        if thinned is not None and layer.thinning is not None:
            numbers = thinned.sequence, thinned.timestamp
            self._plane.forward(layer.thinning.track, thinned.packet, *numbers, keyframe=keyframe)
        if self.taps and packet.payload_type != layer.codec.payload_type:
            packet = red.primary(packet)
        for tap in self.taps:
            tap.packet(layer, packet, *place, keyframe=keyframe, now=now)

    def _note_losses(self, layer: Layer, extended: int, now: float) -> None:
        if layer.losses is None:
            return
        if not layer.losses.arrived(extended, now):
            layer.request_keyframe()
        if layer.losses and self._loss_timer is None:
            self._loss_timer = self._loop.call_later(LOSS_CHECK_S, self._check_losses)

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

    def _sound_alone(self, now: float) -> bool:
        """Whether a publisher who offered video sends sound alone: a camera that is off, or an encoder without one."""
        if any(source.kind == "video" for source in self._by_ssrc.values()):
            return False
        if self._first_at is None:
            self._first_at = now
        return now - self._first_at >= SOUND_ALONE_AFTER_S

    def _check_losses(self) -> None:
        self._loss_timer = None
        now = self._loop.time()
        pending = False
        for layer in self._layers:
            if layer.losses is None or layer.ssrc is None or not layer.losses:
                continue
            wanted, given_up = layer.losses.due(now)
            if wanted:
                self._traffic.nacks_out += len(wanted)
                self.nacks += len(wanted)
                numbers = [sequence & 0xFFFF for sequence in wanted]
                self.transport.send_rtcp(
                    rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_nack(self._ssrc, layer.ssrc, numbers)
                )
            if given_up:
                layer.request_keyframe()
            pending = pending or bool(layer.losses)
        if pending:
            self._loss_timer = self._loop.call_later(LOSS_CHECK_S, self._check_losses)

    def _ask_for_keyframe(self, layer: Layer) -> bool:
        if layer.ssrc is None:
            return False
        if "nack pli" in layer.codec.feedback or "ccm fir" not in layer.codec.feedback:
            request = rtcp.pack_pli(self._ssrc, layer.ssrc)
        else:
            self._fir_command = (self._fir_command + 1) & 0xFF
            request = rtcp.pack_fir(self._ssrc, layer.ssrc, self._fir_command)
        layer.keyframe_requests += 1
        self.keyframe_requests += 1
        self._traffic.keyframe_requests_out += 1
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + request)
        return True
