"""A publisher's session: routes its packets to tracks, repairs and reports on its uplink, and says when it is live."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

from sfu_fleet import rtcp, rtp, rtx, sdp
from sfu_fleet.codecs import Codec
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import PacketPlane, Track
from sfu_fleet.health import StreamHealth
from sfu_fleet.keyframe_requests import KeyframeRequests
from sfu_fleet.keyframes import detector
from sfu_fleet.loss import LossTracker
from sfu_fleet.negotiation import MID, Agreement, TrackAgreement, answer_publisher
from sfu_fleet.reception import Reception
from sfu_fleet.rtcp import ReceptionReport, SenderReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.session import Identity, MediaContext, Session, SessionInfo, State
from sfu_fleet.timeline import Timeline

LOSS_CHECK_S = 0.02
# Video that has not begun so long after the sound is not waited for: it joins in when it comes.
SOUND_ALONE_AFTER_S = 2.0
# A source may start over with another SSRC, but not without end.
MAX_SOURCES = 64


class UplinkTrack:
    """One audio or video stream of a publisher."""

    def __init__(self, agreement: TrackAgreement) -> None:
        self.agreement = agreement
        self.kind = agreement.kind
        self.codec: Codec = agreement.codec
        self.track = Track(starts_at_keyframe=self.kind == "video")
        self.timeline = Timeline(self.codec.clock_rate)
        self.reception: Reception | None = None
        self.losses: LossTracker | None = None
        self.lost_before = 0
        self.health = StreamHealth(self.codec.clock_rate)
        # The publisher's latest sender report and when it came, for translation to viewers.
        self.sender_report: tuple[SenderReport, float] | None = None
        self._starts_keyframe = detector(self.codec.encoding) if self.kind == "video" else None

    @property
    def ssrc(self) -> int | None:
        """The current source."""
        return self.reception.ssrc if self.reception else None

    @property
    def lost(self) -> int:
        """Packets lost on the way here and never repaired."""
        return self.lost_before + max(0, self.reception.lost if self.reception else 0)

    def begin(self, packet: RtpPacket) -> Reception:
        """Take the packet's source as this track's source from now on."""
        if self.reception is not None:
            self.lost_before += max(0, self.reception.lost)
        self.reception = Reception(packet.ssrc, self.codec.clock_rate)
        self.losses = LossTracker() if "nack" in self.codec.feedback else None
        self.sender_report = None
        self.health.restarted()
        return self.reception

    def is_repaired(self, packet: RtpPacket) -> bool:
        """Whether a retransmission has come in the packet's place already."""
        if self.losses is None or not self.losses.repaired or self.reception is None:
            return False
        return self.reception.number(packet.sequence) in self.losses.repaired

    def starts_keyframe(self, packet: RtpPacket) -> bool:
        """Whether a keyframe begins here; never for audio."""
        return self._starts_keyframe is not None and self._starts_keyframe(packet)


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
        self.tracks = [UplinkTrack(agreement) for agreement in self.agreement.tracks]
        self._by_payload_type = {track.codec.payload_type: track for track in self.tracks}
        self._by_rtx_payload_type = {
            track.agreement.rtx.payload_type: track for track in self.tracks if track.agreement.rtx is not None
        }
        self._by_ssrc: dict[int, UplinkTrack] = {}
        self._video = next((track for track in self.tracks if track.kind == "video"), None)
        self._keyframes = KeyframeRequests(self._ask_for_keyframe)
        self._fir_command = 0
        self._loss_timer: asyncio.TimerHandle | None = None
        # Called with each sender report of a track, so that viewers get theirs.
        self.sender_report_listeners: dict[str, Callable[[UplinkTrack], None]] = {}
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
        uplink = self._by_ssrc.get(packet.ssrc)
        if uplink is None and packet.payload_type in self._by_rtx_payload_type:
            self._repair(packet, now)
            return
        if uplink is None or uplink.ssrc != packet.ssrc:
            uplink = self._route(packet, now)
            if uplink is None:
                return
        elif packet.payload_type != uplink.codec.payload_type:
            self.context.metrics.drop("payload_type")
            return
        self._receive(uplink, packet, now)

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take the publisher's sender reports."""
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if not isinstance(packet, SenderReport):
                continue
            uplink = self._by_ssrc.get(packet.ssrc)
            if uplink is None or uplink.reception is None or uplink.ssrc != packet.ssrc:
                continue
            uplink.reception.on_sender_report(packet, now)
            uplink.health.report(packet)
            uplink.sender_report = (packet, now)
            for listener in list(self.sender_report_listeners.values()):
                listener(uplink)

    def request_keyframe(self) -> None:
        """A viewer needs a keyframe."""
        if self._video is not None:
            self._video.health.asked(self._loop.time())
            self._keyframes.request()

    def report(self, now: float) -> None:
        """Send receiver reports and the bitrate that we take; called every second."""
        self._look_at_health(now)
        sources = [track.reception for track in self.tracks if track.reception is not None]
        if not sources:
            return
        reports: list[ReceptionReport] = [source.report(now) for source in sources]
        compound = rtcp.pack_receiver_report(self._ssrc, reports)
        compound += rtcp.pack_source_description(self._ssrc, self.context.cname)
        video = self._video
        if video is not None and video.ssrc is not None and "goog-remb" in video.codec.feedback:
            compound += rtcp.pack_remb(self._ssrc, self._uplink_bitrate, [video.ssrc])
        self.transport.send_rtcp(compound)

    def _look_at_health(self, now: float) -> None:
        found: set[str] = set()
        for track in self.tracks:
            track.health.look(now)
            found |= track.health.warnings
        if found - self._warned:
            self._warned = found
            self.log.warning("stream_unhealthy", warnings=sorted(found))

    def finish(self) -> None:
        """Stop timers and say good-bye."""
        self._keyframes.close()
        if self._loss_timer is not None:
            self._loss_timer.cancel()
            self._loss_timer = None
        self.sender_report_listeners.clear()
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_bye([self._ssrc]))

    def info(self) -> SessionInfo:
        """A snapshot for the control API."""
        return self.snapshot(
            live=self.live,
            codecs=[track.codec.name for track in self.tracks],
            packets_in=self.packets,
            bytes_in=self.octets,
            packets_lost=sum(track.lost for track in self.tracks),
            warnings=sorted(self._warned),
        )

    def _route(self, packet: RtpPacket, now: float) -> UplinkTrack | None:
        """The track of a new source: by its mid where the packet has one, else by payload type (RFC 8843, 9.2)."""
        uplink = self._by_mid(packet) or self._by_payload_type.get(packet.payload_type)
        if uplink is None or uplink.codec.payload_type != packet.payload_type:
            self.context.metrics.drop("payload_type")
            return None
        if packet.ssrc in self._by_ssrc:
            # A source that this track has left behind already: a straggler.
            self.context.metrics.drop("late")
            return None
        if len(self._by_ssrc) >= MAX_SOURCES:
            self.context.metrics.drop("too_many_sources")
            return None
        restarted = uplink.reception is not None
        reception = uplink.begin(packet)
        self._by_ssrc[packet.ssrc] = uplink
        uplink.timeline.rebase(reception.first_number(packet.sequence), packet.timestamp, now)
        self.log.info("source", track=uplink.kind, codec=uplink.codec.name, ssrc=packet.ssrc, restarted=restarted)
        return uplink

    def _by_mid(self, packet: RtpPacket) -> UplinkTrack | None:
        if not packet.extension_profile:
            return None
        try:
            elements = rtp.extensions(packet)
        except ValueError:
            return None
        for uplink in self.tracks:
            identifier = uplink.agreement.extensions.get(MID)
            if identifier and elements.get(identifier) == uplink.agreement.mid.encode():
                return uplink
        return None

    def _receive(self, uplink: UplinkTrack, packet: RtpPacket, now: float) -> None:
        reception = uplink.reception
        late = uplink.is_repaired(packet)
        extended = reception.receive(packet.sequence, packet.timestamp, now) if reception and not late else None
        if extended is None:
            self.context.metrics.drop("late")
            return
        if uplink.losses is not None:
            if not uplink.losses.arrived(extended, now):
                self.request_keyframe()
            if uplink.losses and self._loss_timer is None:
                self._loss_timer = self._loop.call_later(LOSS_CHECK_S, self._check_losses)
        if packet.payload_end == packet.payload_start and uplink.timeline.skip(extended):
            return
        place = uplink.timeline.place(extended, packet.timestamp, now)
        if place is None:
            self.context.metrics.drop("late")
            return
        keyframe = uplink.starts_keyframe(packet)
        uplink.health.packet(extended, packet.timestamp)
        if keyframe:
            uplink.health.keyframe()
            self._keyframes.served()
        if not self.live and (keyframe or self._video is None or self._sound_alone(now)):
            self.live = True
            self._on_live(self)
        try:
            self._plane.forward(uplink.track, packet, place[0], place[1], keyframe=keyframe)
        except ValueError:
            # A header extension that leads outside of its packet shows only when it is rewritten.
            self.context.metrics.drop("rtp_malformed")

    def _repair(self, packet: RtpPacket, now: float) -> None:
        """Take a retransmission (RFC 4588) for the packet that is missing."""
        uplink = self._by_rtx_payload_type[packet.payload_type]
        if uplink.reception is None or uplink.losses is None:
            self.context.metrics.drop("rtx_unneeded")
            return
        original = rtx.unwrap(packet, uplink.codec.payload_type, uplink.reception.ssrc)
        if original is None:
            # Chromium probes the way with padding on this stream.
            return
        extended = uplink.reception.number(original.sequence)
        if not uplink.losses.is_missing(extended):
            self.context.metrics.drop("rtx_unneeded")
            return
        self._receive(uplink, original, now)
        uplink.losses.repair(extended)

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
        for uplink in self.tracks:
            if uplink.losses is None or uplink.ssrc is None or not uplink.losses:
                continue
            wanted, given_up = uplink.losses.due(now)
            if wanted:
                self._traffic.nacks_out += len(wanted)
                self.nacks += len(wanted)
                numbers = [sequence & 0xFFFF for sequence in wanted]
                self.transport.send_rtcp(
                    rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_nack(self._ssrc, uplink.ssrc, numbers)
                )
            if given_up:
                self.request_keyframe()
            pending = pending or bool(uplink.losses)
        if pending:
            self._loss_timer = self._loop.call_later(LOSS_CHECK_S, self._check_losses)

    def _ask_for_keyframe(self) -> bool:
        video = self._video
        if video is None or video.ssrc is None:
            return False
        if "nack pli" in video.codec.feedback or "ccm fir" not in video.codec.feedback:
            request = rtcp.pack_pli(self._ssrc, video.ssrc)
        else:
            self._fir_command = (self._fir_command + 1) & 0xFF
            request = rtcp.pack_fir(self._ssrc, video.ssrc, self._fir_command)
        self.keyframe_requests += 1
        self._traffic.keyframe_requests_out += 1
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + request)
        return True
