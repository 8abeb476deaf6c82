"""A feed: what one edge gets of a room's stream, each layer once, as long as somebody there wants it."""

import secrets
from collections.abc import Callable, Sequence

from sfu_fleet import rtcp
from sfu_fleet.cascade import wire
from sfu_fleet.cascade.contract import Fed, FedTrack, FeedKeys, FeedRequest
from sfu_fleet.cascade.transports import FeedTransport, address_of
from sfu_fleet.cascade.wire import Totals
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import DownTrack, PacketPlane
from sfu_fleet.negotiation import TrackAgreement
from sfu_fleet.rtcp import Application, Bye, KeyframeRequest, Nack, ReceiverReport
from sfu_fleet.sender_reports import translated
from sfu_fleet.session import Identity, MediaContext, Session, SessionInfo, State
from sfu_fleet.source import Source
from sfu_fleet.switching import LayerSwitch
from sfu_fleet.uplink import Layer

# How often an edge is told of all layers. It also says that this worker is there, and that its way is open.
TELL_S = 0.2


class _Lane:
    """One layer on its way to the edge."""

    def __init__(self, layer: Layer, down: DownTrack, switch: LayerSwitch) -> None:
        self.layer = layer
        self.down = down
        self.switch = switch
        self.lost = 0


class Feed(Session):
    """The session of an edge that pulls from here; `worker` is its id and `url` its control API.

    To the packet plane each layer is one viewer more. `leaving` is told to the edge: it looks for another parent then.
    """

    kind = "feed"

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        source: Source,
        *,
        request: FeedRequest,
        fence: int,
        on_end: Callable[[Session, DtlsState, str], None],
    ) -> None:
        """Begin to feed an edge.

        Raises:
            OSError: the address that it wants the media at cannot be had.
        """
        self.keys = FeedKeys.generate()
        to = address_of(request.address, request.port)
        transport = FeedTransport(context.media_socket, context.metrics, self, self.keys.of_parent(), to)
        super().__init__(identity, context, on_end, transport)
        self.worker = request.worker
        self.url = request.url
        self.source = source
        self.leaving = False
        # Of the edge and of those behind it.
        self.totals = Totals()
        self.fence = fence
        self._plane = plane
        self._traffic = context.metrics.traffic
        self._ssrc = secrets.randbits(32)
        self._told_at = float("-inf")
        self._fed: list[FedTrack] = []
        self._lanes: list[_Lane] = []
        for place, uplink in enumerate(source.tracks):
            agreement = wire.agreement_between_workers(uplink, place)
            packet_format = wire.format_between_workers(uplink, agreement)
            ssrcs = [secrets.randbits(32) for _ in uplink.layers]
            self._fed.append(
                FedTrack(agreement, tuple(zip([found.name for found in uplink.layers], ssrcs, strict=True)))
            )
            self._lanes += [
                self._make_lane(layer, DownTrack(transport, ssrc, packet_format))
                for layer, ssrc in zip(uplink.layers, ssrcs, strict=True)
            ]
        self._by_ssrc = {lane.down.ssrc: lane for lane in self._lanes}
        source.sender_report_listeners[self.id] = self._on_sender_report
        self.state = State.CONNECTED
        self.log.info("feeding", worker=self.worker, remote=str(to))

    def answer(self, address: str, port: int, depth: int) -> Fed:
        """What the edge is told about it; `depth` is how many hops it is away from the publisher."""
        source = self.source
        return Fed(
            self.id, self.keys, address, port, tuple(self._fed), source.stream, source.identity.name, self.fence, depth
        )

    @property
    def agreed_tracks(self) -> Sequence[TrackAgreement]:
        """What the edge gets."""
        return [track.agreement for track in self._fed]

    @property
    def used(self) -> set[Layer]:
        """The layers that the edge wants."""
        return {found for lane in self._lanes for found in (lane.switch.layer, lane.switch.target) if found is not None}

    def on_rtp(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the handler's signature
        """An edge has no media to send."""
        self.context.metrics.drop("rtp_from_viewer")

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take what the edge wants, misses and has lost."""
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if isinstance(packet, Application) and packet.name == wire.WANT:
                self._on_wanted(packet.data)
            elif isinstance(packet, Nack):
                self._on_nack(packet, now)
            elif isinstance(packet, KeyframeRequest):
                self._on_keyframe_request(packet)
            elif isinstance(packet, ReceiverReport):
                for report in packet.reports:
                    if (lane := self._by_ssrc.get(report.ssrc)) is not None:
                        lane.lost = max(0, report.lost)
            elif isinstance(packet, Bye):
                # Of the edge itself: the last viewer there has left.
                self._on_end(self, DtlsState.CLOSED, "")
                return

    def on_fed(self, now: float) -> None:
        """Between workers nobody estimates."""

    def look(self, now: float) -> None:
        """Tell the edge what there is, when it is time."""
        if now - self._told_at < TELL_S:
            return
        self._told_at = now
        layers = [lane.layer for lane in self._lanes]
        state = wire.state_of(layers, self.source, now, fence=self.fence, leaving=self.leaving)
        compound = rtcp.pack_receiver_report(self._ssrc, ())
        self.transport.send_rtcp(compound + rtcp.pack_application(self._ssrc, wire.TELL, wire.pack(state)))

    def finish(self) -> None:
        """Stop media and say good-bye."""
        self.source.sender_report_listeners.pop(self.id, None)
        for lane in self._lanes:
            lane.switch.close()
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_bye([self._ssrc]))

    def packets_carried(self) -> int:
        """Packets sent."""
        return sum(lane.down.counters.packets for lane in self._lanes)

    def info(self) -> SessionInfo:
        """A snapshot for the control API."""
        return self.snapshot(
            live=any(lane.switch.layer is not None for lane in self._lanes),
            codecs=[track.agreement.codec.name for track in self._fed],
            packets_out=self.packets_carried(),
            bytes_out=sum(lane.down.counters.octets for lane in self._lanes),
            packets_lost=sum(lane.lost for lane in self._lanes),
        )

    def _make_lane(self, layer: Layer, down: DownTrack) -> _Lane:
        owner = f"{self.id}/{down.ssrc}"
        switch = LayerSwitch(owner, self._plane, down, lambda: self._report(lane), lambda: None)
        lane = _Lane(layer, down, switch)
        return lane

    def _on_wanted(self, data: bytes) -> None:
        wanted = wire.read_wanted(data)
        if wanted is None:
            return
        self.totals = wanted.totals
        for lane in self._lanes:
            lane.switch.to(lane.layer if lane.down.ssrc in wanted.ssrcs else None)

    def _on_nack(self, nack: Nack, now: float) -> None:
        lane = self._by_ssrc.get(nack.media_ssrc)
        if lane is None:
            return
        self.nacks += len(nack.sequences)
        self._traffic.nacks_in += len(nack.sequences)
        if lane.switch.track is not None:
            self._plane.resend(lane.switch.track, lane.down, nack.sequences, now)

    def _on_keyframe_request(self, request: KeyframeRequest) -> None:
        lane = self._by_ssrc.get(request.media_ssrc)
        if lane is not None and lane.layer.kind == "video":
            self.keyframe_requests += 1
            self._traffic.keyframe_requests_in += 1
            lane.layer.request_keyframe()

    def _on_sender_report(self, layer: Layer) -> None:
        for lane in self._lanes:
            if lane.layer is layer and lane.switch.layer is layer:
                self._report(lane)

    def _report(self, lane: _Lane) -> None:
        report = translated(lane.layer, lane.down, self.context.clock())
        if report is not None:
            compound = rtcp.pack_sender_report(report)
            self.transport.send_rtcp(compound + rtcp.pack_source_description(lane.down.ssrc, self.context.cname))
