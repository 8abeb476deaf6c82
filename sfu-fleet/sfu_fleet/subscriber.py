"""A viewer's session: what it is offered, which tracks it gets, and what it reports back."""

import secrets
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from sfu_fleet import rtcp, sdp
from sfu_fleet.adaptation import Adaptation, Choice, Decision, Input, Layers, Reason, Report
from sfu_fleet.bandwidth import Bandwidth
from sfu_fleet.ceilings import NO_LIMIT, Bounds, TierLimit
from sfu_fleet.dtls import DtlsState
from sfu_fleet.errors import SdpRefused, UnknownLayer
from sfu_fleet.forwarder import DownTrack, PacketPlane
from sfu_fleet.header_extensions import MID, forwarded_extensions
from sfu_fleet.keyframe_requests import PATIENCE_S
from sfu_fleet.negotiation import (
    Agreement,
    Outgoing,
    TrackAgreement,
    accept_answer,
    answer_viewer,
    offer_viewer,
)
from sfu_fleet.packet_format import PacketFormat, RedFormat
from sfu_fleet.rtcp import (
    BitrateEstimate,
    KeyframeRequest,
    Nack,
    ReceiverReport,
    ReceptionReport,
    SenderReport,
    TransportFeedback,
)
from sfu_fleet.rtx import RetransmissionStream
from sfu_fleet.sender_reports import translated
from sfu_fleet.session import AdaptationInfo, Identity, MediaContext, Session, SessionInfo, State
from sfu_fleet.source import Source
from sfu_fleet.switching import UPWARD_PATIENCE_S, LayerSwitch
from sfu_fleet.traces import RecordedAdaptation
from sfu_fleet.transport import Transport
from sfu_fleet.uplink import LOOK_S, Layer, UplinkTrack
from sfu_fleet.viewer_quality import differs, present_quality
from shared.protocol.messages import QualityNotice

# Sender reports whose time of sending is remembered for round trip times.
_REMEMBERED_REPORTS = 8
# Decisions about layers that the control API shows.
_REMEMBERED_DECISIONS = 32
# A notice may be lost on its way to the viewer's socket.
_TELL_AGAIN_S = 10.0
# Of a viewer who is at ease the estimate gives an occasion every two seconds: a little more often than this.
_LOOK_AT_LEAST_S = 2.2


class Leg:
    """One track on its way to this viewer: the publisher's side and the viewer's."""

    def __init__(self, uplink: UplinkTrack, down: DownTrack, switch: LayerSwitch) -> None:
        self.uplink = uplink
        self.down = down
        self.switch = switch
        self.lost = 0
        # Middle 32 bits of the NTP time in a report -> when it was sent.
        self.reported: dict[int, float] = {}


class Subscriber(Session):
    """The session of somebody who watches one publisher."""

    kind = "subscribe"
    transport: Transport

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        publisher: Source,
        *,
        offer: str | None,
        on_end: Callable[[Session, DtlsState, str], None],
        tier: TierLimit = NO_LIMIT,
    ) -> None:
        description = sdp.parse(offer) if offer is not None else None
        super().__init__(identity, context, on_end)
        self._plane = plane
        self._traffic = context.metrics.traffic
        self.publisher = publisher
        self._outgoing = tuple(
            Outgoing(
                uplink.kind,
                uplink.codec,
                secrets.randbits(32),
                secrets.randbits(32) if uplink.kind == "video" else 0,
                uplink.agreement.red is not None,
                context.feedback,
            )
            for uplink in publisher.tracks
        )
        self.legs: list[Leg] = []
        self._tracks: tuple[TrackAgreement, ...] = ()
        self.rtt_ms: float | None = None
        traces = context.traces
        self.adaptation = RecordedAdaptation(traces / f"{self.id}.jsonl") if traces is not None else Adaptation()
        self.bandwidth = Bandwidth(None, self.created_at, None)
        self.decisions: deque[Decision] = deque(maxlen=_REMEMBERED_DECISIONS)
        self._video: Leg | None = None
        self._choice = Choice(self.created_at)
        sound = any(uplink.kind == "audio" for uplink in publisher.tracks)
        self._bounds = Bounds(self.created_at, tier=tier, sound=sound)
        self.adaptation.feed(self._bounds)
        self._sound_wanted = True
        # Whom we make an offer has a room socket that wants to know; of others it shows when they ask for something.
        self._tells = offer is None
        self._told: QualityNotice | None = None
        self._told_at = float("-inf")
        self._looked_at = float("-inf")
        try:
            if description is None:
                self.sdp = offer_viewer(self._outgoing, self.local_transport(), context.cname)
            else:
                agreement = answer_viewer(self._outgoing, description, self.local_transport(), context.cname)
                self.sdp = agreement.sdp
                self._agreed(agreement)
        except BaseException:
            self._end_trace()
            context.media_socket.remove(self.transport.agent)
            raise

    def accept(self, answer: str) -> None:
        """Take the viewer's answer to our offer.

        Raises:
            SdpRefused: it is malformed, or not an answer to the offer, or there has been one already.
        """
        if self.transport.negotiated:
            raise SdpRefused("the session has been negotiated already")
        self._agreed(accept_answer(self._outgoing, sdp.parse(answer)))

    @property
    def agreed_tracks(self) -> Sequence[TrackAgreement]:
        """What was negotiated; empty before the answer."""
        return self._tracks

    @property
    def used(self) -> set[Layer]:
        """The layers that feed this viewer, or are about to."""
        return {found for leg in self.legs for found in (leg.switch.layer, leg.switch.target) if found is not None}

    @property
    def fed(self) -> bool:
        """Whether any stream of theirs is being sent."""
        # Asked of every viewer several times a second: no generator.
        for leg in self.legs:  # noqa: SIM110
            if leg.switch.layer is not None:
                return True
        return False

    def keep_alive(self) -> None:
        """Say that this worker is there, where there is nothing else to say: a viewer who hears nothing goes away."""
        if self.legs:
            ssrc = self.legs[0].down.ssrc
            compound = rtcp.pack_receiver_report(ssrc, ())
            self.transport.send_rtcp(compound + rtcp.pack_source_description(ssrc, self.context.cname))

    def on_connected(self) -> None:
        """Let media flow: from the next keyframe on, which is asked for."""
        super().on_connected()
        for leg in self.legs:
            if leg is self._video:
                self.look(self.context.clock())
            wanted = not self._choice.paused if leg is self._video else self._sound_wanted
            if leg.switch.target is None and wanted:
                leg.switch.to(leg.uplink.layers[0])
            self._report(leg)
        self.publisher.sender_report_listeners[self.id] = self._on_sender_report
        self.publisher.layer_listeners[self.id] = self.look

    def on_rtp(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the handler's signature
        """A viewer has nothing to send."""
        self.context.metrics.drop("rtp_from_viewer")

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Answer the viewer's feedback."""
        if rtcp.is_transport_feedback(data):
            self._on_feedback(data, now)
        else:
            self._on_compound(data, now)
        if now - self._looked_at >= LOOK_S:
            self.look(now)

    def _on_compound(self, data: bytes, now: float) -> None:
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if isinstance(packet, Nack):
                self._on_nack(packet, now)
            elif isinstance(packet, TransportFeedback):
                self._on_feedback(packet.packet, now)
            elif isinstance(packet, BitrateEstimate):
                self._on_remb(packet.bitrate, now)
            elif isinstance(packet, KeyframeRequest):
                self._on_keyframe_request(packet)
            elif isinstance(packet, ReceiverReport | SenderReport):
                for report in packet.reports:
                    self._on_report(report, now)

    def on_fed(self, now: float) -> None:
        """Take what the native intake found of the viewer's feedback."""
        estimate = self.bandwidth.fed(now)
        if estimate is not None:
            self._adapt(estimate)
        if now - self._looked_at >= LOOK_S:
            self.look(now)

    def look_again(self, now: float) -> None:
        """See to it that there is a look every two seconds or so, also where feedback gives no occasion."""
        if now - self._looked_at >= _LOOK_AT_LEAST_S:
            self.look(now)

    def look(self, now: float) -> None:
        """See what the publisher sends at present, and whether that changes what this viewer gets."""
        self._looked_at = now
        if self._video is not None:
            layers, switch = self._video.uplink.layers, self._video.switch
            bitrates, heights = self._video.uplink.sending(now)
            sent = None if switch.layer is None else switch.layer.index + len(layers) * switch.thinned
            self._adapt(Layers(now, bitrates, sent, heights, len(layers)))
            # What was decided last has its keyframe to wait for: until then there is nothing more to find out.
            self.bandwidth.look(now, self.adaptation.wanted if switch.settled else 0.0, self.adaptation.needed)
            self._tell()

    def choose(self, layer: str | None, *, paused: bool = False, sound: bool = True) -> QualityNotice | None:
        """Take the viewer's choice: at most that layer, no video at all, or with neither what the way carries.

        Without `sound` they get no audio either. Returns what they get from now on; None before they are connected, or
        where they have no video.

        Raises:
            UnknownLayer: the publisher has no such layer.
        """
        index = None
        if layer is not None:
            names = [found.name for found in self._video.uplink.layers] if self._video is not None else []
            # Before the answer to our offer it is not known whether this viewer has video at all.
            if layer not in names:
                raise UnknownLayer(f"the layers are: {', '.join(names)}")
            index = names.index(layer)
        self._choice = Choice(self.context.clock(), index, paused)
        self._adapt(self._choice)
        self._sound_wanted = sound
        if self.state is State.CONNECTED:
            for leg in self.legs:
                if leg is not self._video:
                    leg.switch.to(leg.uplink.layers[0] if sound else None)
        self._tells = True
        self._told = self._present()
        return self._told

    def fit(self, height: int) -> None:
        """Send no layer that is taller than it takes to fill a player of that height in pixels; 0: it is not known."""
        self._bounds = msgspec.structs.replace(self._bounds, at=self.context.clock(), viewport=height)
        self._adapt(self._bounds)
        self._tell()

    def finish(self) -> None:
        """Stop media and say good-bye."""
        self.publisher.sender_report_listeners.pop(self.id, None)
        self.publisher.layer_listeners.pop(self.id, None)
        self.bandwidth.close()
        self._end_trace()
        for leg in self.legs:
            leg.switch.close()
        if self.legs:
            ssrcs = [leg.down.ssrc for leg in self.legs]
            self.transport.send_rtcp(rtcp.pack_receiver_report(ssrcs[0], ()) + rtcp.pack_bye(ssrcs))

    def packets_carried(self) -> int:
        """Packets sent, without those sent again."""
        return sum(leg.down.counters.packets for leg in self.legs)

    def info(self) -> SessionInfo:
        """A snapshot for the control API."""
        return self.snapshot(
            live=any(leg.down.counters.packets for leg in self.legs),
            codecs=[track.codec.name for track in self._outgoing],
            packets_out=self.packets_carried(),
            bytes_out=sum(leg.down.counters.octets for leg in self.legs),
            packets_lost=sum(leg.lost for leg in self.legs),
            rtt_ms=self.rtt_ms,
            adaptation=self._adaptation_info(),
        )

    def _agreed(self, agreement: Agreement) -> None:
        self.peer_ufrag = agreement.peer.ufrag
        self._tracks = agreement.tracks
        uplinks = {uplink.kind: uplink for uplink in self.publisher.tracks}
        ssrcs = {track.kind: track.ssrc for track in self._outgoing}
        for track in agreement.tracks:
            uplink = uplinks[track.kind]
            packet_format = _format(uplink.agreement, track)
            self.legs.append(self._make_leg(uplink, DownTrack(self.transport, ssrcs[track.kind], packet_format)))
        rtx_ssrcs = {track.kind: track.rtx_ssrc for track in self._outgoing}
        for leg, track in zip(self.legs, agreement.tracks, strict=True):
            if track.rtx is not None:
                leg.down.rtx = RetransmissionStream(track.rtx.payload_type, rtx_ssrcs[track.kind])
        if any(track.transport_sequence for track in agreement.tracks):
            self._estimate_bandwidth(agreement.tracks)
        self.state = State.CONNECTING
        self.transport.start(agreement.peer.fingerprints, dtls_client=agreement.dtls_client)

    def _end_trace(self) -> None:
        if isinstance(self.adaptation, RecordedAdaptation):
            self.adaptation.close()

    def _estimate_bandwidth(self, tracks: Sequence[TrackAgreement]) -> None:
        """All packets to this viewer are numbered together, those of tracks whose packets have room for a number."""
        controller = self._plane.congestion()
        for leg, track in zip(self.legs, tracks, strict=True):
            if track.transport_sequence:
                leg.down.departures = controller.departures
        video = self._video
        probes = video is not None and video.down.rtx is not None and video.down.departures is not None
        self.bandwidth = Bandwidth(controller, self.created_at, self._send_burst if probes else None)
        self.transport.follow(controller)

    def _way(self) -> int | None:
        return self.bandwidth.known(self.context.clock())

    def _send_burst(self, size: int) -> None:
        leg = self._video
        if leg is not None and leg.switch.track is not None:
            self._plane.probe(leg.switch.track, leg.down, size)

    def _on_remb(self, bitrate: int, now: float) -> None:
        estimate = self.bandwidth.on_remb(bitrate, now)
        if estimate is not None:
            self._adapt(estimate)

    def _on_feedback(self, packet: bytes, now: float) -> None:
        self._traffic.feedbacks_in += 1
        estimate = self.bandwidth.on_feedback(packet, now)
        if estimate is not None:
            self._adapt(estimate)

    def _make_leg(self, uplink: UplinkTrack, down: DownTrack) -> Leg:
        switch = LayerSwitch(self.id, self._plane, down, lambda: self._on_switched(leg), self._way)
        leg = Leg(uplink, down, switch)
        if uplink.kind == "video":
            self._video = leg
        return leg

    def _on_switched(self, leg: Leg) -> None:
        layer = leg.switch.layer
        self.log.info("layer", layer=layer.name if layer else "", switches=leg.switch.switches)
        # The new layer's clock at once: between the reports its timestamps are a guess.
        self._report(leg)
        self._tell()

    def _tell(self) -> None:
        """Tell the viewer's room socket what they get, where that has changed."""
        notice = self._present() if self._tells else None
        if notice is None:
            return
        now = self.context.clock()
        if self._told is None or differs(self._told, notice) or now - self._told_at >= _TELL_AGAIN_S:
            self._told, self._told_at = notice, now
            self.context.tell_quality(self.room, notice)

    def _present(self) -> QualityNotice | None:
        leg = self._video
        if leg is None or self.state is not State.CONNECTED:
            return None
        paused, now = self._choice.paused, self.context.clock()
        return present_quality(self.id, leg.uplink.shown(now), leg.switch.layer, self.adaptation, paused=paused)

    def _adapt(self, observed: Input) -> None:
        """Feed the controller and do what it decides."""
        decision = self.adaptation.feed(observed)
        if decision is None or self._video is None:
            return
        self.decisions.append(decision)
        layers = self._video.uplink.layers
        self.context.metrics.layer_decisions.labels(decision.reason.value).inc()
        patience_s = UPWARD_PATIENCE_S if decision.reason in {Reason.FITS, Reason.TRIAL} else 0.0
        if decision.layer is None:
            self._video.switch.to(None)
        else:
            thin, index = divmod(decision.layer, len(layers))
            self._video.switch.to(layers[index], thin=bool(thin), patience_s=patience_s)
        self.log.info("layer_decided", reason=decision.reason.value, layer=decision.layer, before=decision.before)

    def _adaptation_info(self) -> AdaptationInfo | None:
        leg = self._video
        if leg is None:
            return None
        layer, target = leg.switch.layer, leg.switch.target
        return AdaptationInfo(
            layer=layer.name if layer else None,
            target=target.name if target else None,
            choice=None if self._choice.layer is None else leg.uplink.layers[self._choice.layer].name,
            paused=self._choice.paused,
            switches=leg.switch.switches,
            thinned=leg.switch.thinned,
            decisions=list(self.decisions),
            bandwidth=self.bandwidth.info(self.context.clock()),
            ceiling=self.adaptation.ceiling,
            bounds=self._bounds,
            sound_alone=self.adaptation.sound_alone,
        )

    def _leg(self, ssrc: int) -> Leg | None:
        return next((leg for leg in self.legs if leg.down.ssrc == ssrc), None)

    def _on_nack(self, nack: Nack, now: float) -> None:
        leg = self._leg(nack.media_ssrc)
        if leg is None:
            return
        track = leg.switch.track
        self.nacks += len(nack.sequences)
        self._traffic.nacks_in += len(nack.sequences)
        if track is not None:
            self._plane.resend(track, leg.down, nack.sequences, now)

    def _on_keyframe_request(self, request: KeyframeRequest) -> None:
        leg = self._leg(request.media_ssrc)
        if leg is not None and leg.uplink.kind == "video":
            self.keyframe_requests += 1
            self._traffic.keyframe_requests_in += 1
            if leg.switch.layer is not None:
                leg.switch.layer.request_keyframe(patience_s=PATIENCE_S)

    def _on_report(self, report: ReceptionReport, now: float) -> None:
        leg = self._leg(report.ssrc)
        if leg is None:
            return
        leg.lost = max(0, report.lost)
        sent_at = leg.reported.get(report.last_report)
        rtt_ms = None
        if sent_at is not None:
            # RFC 3550, section 6.4.1: now - LSR - DLSR, with our own clock for LSR.
            rtt_ms = self.rtt_ms = max(0.0, round((now - sent_at - report.delay / 65536) * 1000, 1))
            self.bandwidth.on_round_trip(rtt_ms)
        if leg is self._video:
            self._adapt(Report(now, report.highest_sequence, report.lost, rtt_ms))
        elif self.adaptation.sound_alone:
            self._adapt(Report(now, report.highest_sequence, report.lost, rtt_ms, sound=True))

    def _on_sender_report(self, layer: Layer) -> None:
        for leg in self.legs:
            if leg.switch.layer is layer:
                self._report(leg)

    def _report(self, leg: Leg) -> None:
        """Send the publisher's latest sender report, on this viewer's timeline."""
        layer = leg.switch.layer
        report = translated(layer, leg.down, self.context.clock()) if layer is not None else None
        if report is None:
            return
        down, now = leg.down, self.context.clock()
        compound = rtcp.pack_sender_report(report)
        compound += rtcp.pack_source_description(down.ssrc, self.context.cname)
        leg.reported[report.ntp >> 16 & 0xFFFFFFFF] = now
        if len(leg.reported) > _REMEMBERED_REPORTS:
            del leg.reported[next(iter(leg.reported))]
        self.transport.send_rtcp(compound)


def _format(uplink: TrackAgreement, viewer: TrackAgreement) -> PacketFormat:
    forwarded = tuple(
        (uplink.extensions[uri], viewer.extensions[uri])
        for uri in forwarded_extensions(uplink.codec)
        if uri in uplink.extensions and uri in viewer.extensions
    )
    mid_id = viewer.extensions.get(MID, 0)
    redundancy = None
    if uplink.red is not None:
        target = viewer.red.payload_type if viewer.red is not None else 0
        redundancy = RedFormat(uplink.red.payload_type, target, viewer.codec.payload_type)
    return PacketFormat(viewer.codec.payload_type, mid_id, viewer.mid, forwarded, viewer.transport_sequence, redundancy)
