"""A viewer's session: what it is offered, which tracks it gets, and what it reports back."""

import secrets
from collections.abc import Callable, Sequence

from sfu_fleet import rtcp, sdp
from sfu_fleet.dtls import DtlsState
from sfu_fleet.errors import SdpRefused
from sfu_fleet.forwarder import DownTrack, PacketFormat, PacketPlane
from sfu_fleet.negotiation import (
    FORWARDED_EXTENSIONS,
    MID,
    Agreement,
    Outgoing,
    TrackAgreement,
    accept_answer,
    answer_viewer,
    offer_viewer,
)
from sfu_fleet.publisher import Publisher, UplinkTrack
from sfu_fleet.rtcp import KeyframeRequest, Nack, ReceiverReport, ReceptionReport, SenderReport
from sfu_fleet.rtx import RetransmissionStream
from sfu_fleet.session import Identity, MediaContext, Session, SessionInfo, State

# Sender reports whose time of sending is remembered for round trip times.
_REMEMBERED_REPORTS = 8


class Leg:
    """One track on its way to this viewer: the publisher's side and the viewer's."""

    def __init__(self, uplink: UplinkTrack, down: DownTrack) -> None:
        self.uplink = uplink
        self.down = down
        self.lost = 0
        # Middle 32 bits of the NTP time in a report -> when it was sent.
        self.reported: dict[int, float] = {}


class Subscriber(Session):
    """The session of somebody who watches one publisher."""

    kind = "subscribe"

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        publisher: Publisher,
        *,
        offer: str | None,
        on_end: Callable[[Session, DtlsState, str], None],
    ) -> None:
        description = sdp.parse(offer) if offer is not None else None
        super().__init__(identity, context, on_end)
        self._plane = plane
        self._traffic = context.metrics.traffic
        self.publisher = publisher
        self._outgoing = tuple(
            Outgoing(
                uplink.kind, uplink.codec, secrets.randbits(32), secrets.randbits(32) if uplink.kind == "video" else 0
            )
            for uplink in publisher.tracks
        )
        self.legs: list[Leg] = []
        self._tracks: tuple[TrackAgreement, ...] = ()
        self.rtt_ms: float | None = None
        try:
            if description is None:
                self.sdp = offer_viewer(self._outgoing, self.local_transport(), context.cname)
            else:
                agreement = answer_viewer(self._outgoing, description, self.local_transport(), context.cname)
                self.sdp = agreement.sdp
                self._agreed(agreement)
        except BaseException:
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

    def on_connected(self) -> None:
        """Let media flow: from the next keyframe on, which is asked for."""
        super().on_connected()
        for leg in self.legs:
            self._plane.attach(leg.uplink.track, leg.down)
            self._report(leg)
        self.publisher.sender_report_listeners[self.id] = self._on_sender_report
        self.publisher.request_keyframe()

    def on_rtp(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the handler's signature
        """A viewer has nothing to send."""
        self.context.metrics.drop("rtp_from_viewer")

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Answer the viewer's feedback."""
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if isinstance(packet, Nack):
                self._on_nack(packet, now)
            elif isinstance(packet, KeyframeRequest):
                self._on_keyframe_request(packet)
            elif isinstance(packet, ReceiverReport | SenderReport):
                for report in packet.reports:
                    self._on_report(report, now)

    def finish(self) -> None:
        """Stop media and say good-bye."""
        self.publisher.sender_report_listeners.pop(self.id, None)
        for leg in self.legs:
            self._plane.detach(leg.uplink.track, leg.down)
        if self.legs:
            ssrcs = [leg.down.ssrc for leg in self.legs]
            self.transport.send_rtcp(rtcp.pack_receiver_report(ssrcs[0], ()) + rtcp.pack_bye(ssrcs))

    def info(self) -> SessionInfo:
        """A snapshot for the control API."""
        return self.snapshot(
            live=any(leg.down.packets for leg in self.legs),
            codecs=[track.codec.name for track in self._outgoing],
            packets_out=sum(leg.down.packets for leg in self.legs),
            bytes_out=sum(leg.down.octets for leg in self.legs),
            packets_lost=sum(leg.lost for leg in self.legs),
            rtt_ms=self.rtt_ms,
        )

    def _agreed(self, agreement: Agreement) -> None:
        self.peer_ufrag = agreement.peer.ufrag
        self._tracks = agreement.tracks
        uplinks = {uplink.kind: uplink for uplink in self.publisher.tracks}
        ssrcs = {track.kind: track.ssrc for track in self._outgoing}
        for track in agreement.tracks:
            uplink = uplinks[track.kind]
            packet_format = _format(uplink.agreement, track)
            self.legs.append(Leg(uplink, DownTrack(self.transport, ssrcs[track.kind], packet_format)))
        rtx_ssrcs = {track.kind: track.rtx_ssrc for track in self._outgoing}
        for leg, track in zip(self.legs, agreement.tracks, strict=True):
            if track.rtx is not None:
                leg.down.rtx = RetransmissionStream(track.rtx.payload_type, rtx_ssrcs[track.kind])
        self.state = State.CONNECTING
        self.transport.start(agreement.peer.fingerprints, dtls_client=agreement.dtls_client)

    def _leg(self, ssrc: int) -> Leg | None:
        return next((leg for leg in self.legs if leg.down.ssrc == ssrc), None)

    def _on_nack(self, nack: Nack, now: float) -> None:
        leg = self._leg(nack.media_ssrc)
        if leg is None:
            return
        self.nacks += len(nack.sequences)
        self._traffic.nacks_in += len(nack.sequences)
        self._plane.resend(leg.uplink.track, leg.down, nack.sequences, now)

    def _on_keyframe_request(self, request: KeyframeRequest) -> None:
        leg = self._leg(request.media_ssrc)
        if leg is not None and leg.uplink.kind == "video":
            self.keyframe_requests += 1
            self._traffic.keyframe_requests_in += 1
            self.publisher.request_keyframe()

    def _on_report(self, report: ReceptionReport, now: float) -> None:
        leg = self._leg(report.ssrc)
        if leg is None:
            return
        leg.lost = max(0, report.lost)
        sent_at = leg.reported.get(report.last_report)
        if sent_at is not None:
            # RFC 3550, section 6.4.1: now - LSR - DLSR, with our own clock for LSR.
            self.rtt_ms = max(0.0, round((now - sent_at - report.delay / 65536) * 1000, 1))

    def _on_sender_report(self, uplink: UplinkTrack) -> None:
        for leg in self.legs:
            if leg.uplink is uplink:
                self._report(leg)

    def _report(self, leg: Leg) -> None:
        """Translate the publisher's latest sender report: the same instant, on this viewer's timeline.

        It is carried forward to now, so that a viewer who joins between two reports can synchronise at once.
        """
        if leg.uplink.sender_report is None:
            return
        report, received_at = leg.uplink.sender_report
        now = self.context.clock()
        elapsed = now - received_at
        ntp = report.ntp + int(elapsed * 0x100000000) & 0xFFFFFFFFFFFFFFFF
        shift = leg.uplink.timeline.timestamp_shift + leg.down.timestamp_offset
        timestamp = report.timestamp + shift + round(elapsed * leg.uplink.codec.clock_rate) & 0xFFFFFFFF
        down = leg.down
        compound = rtcp.pack_sender_report(SenderReport(down.ssrc, ntp, timestamp, down.packets, down.octets))
        compound += rtcp.pack_source_description(down.ssrc, self.context.cname)
        leg.reported[ntp >> 16 & 0xFFFFFFFF] = now
        if len(leg.reported) > _REMEMBERED_REPORTS:
            del leg.reported[next(iter(leg.reported))]
        self.transport.send_rtcp(compound)


def _format(uplink: TrackAgreement, viewer: TrackAgreement) -> PacketFormat:
    forwarded = tuple(
        (uplink.extensions[uri], viewer.extensions[uri])
        for uri in FORWARDED_EXTENSIONS[viewer.kind]
        if uri in uplink.extensions and uri in viewer.extensions
    )
    return PacketFormat(viewer.codec.payload_type, viewer.extensions.get(MID, 0), viewer.mid, forwarded)
