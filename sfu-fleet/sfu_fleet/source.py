"""What a publisher's session and an edge's pull have in common: layers that packets come for, and what becomes of them.

Packets are counted, repaired, put into their layer's timeline and forwarded; a keyframe is asked for where one is
needed. Where they come from, and how they are told apart, is up to the two.
"""

import asyncio
import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence

from sfu_fleet import red, rtcp
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.negotiation import TrackAgreement
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.session import Identity, LayerInfo, MediaContext, Session, SessionInfo
from sfu_fleet.taps import PacketTap
from sfu_fleet.transport import PeerTransport
from sfu_fleet.uplink import LOOK_S, Layer, UplinkTrack

LOSS_CHECK_S = 0.02
# Video that has not begun so long after the sound is not waited for: it joins in when it comes.
SOUND_ALONE_AFTER_S = 2.0
# A source may start over with another SSRC, but not without end.
MAX_SOURCES = 64


class Source(Session):
    """A session whose packets go to viewers. `on_live` is called once, when media really flows."""

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        *,
        on_live: Callable[["Source"], None],
        on_end: Callable[[Session, DtlsState, str], None],
        transport: PeerTransport | None = None,
    ) -> None:
        super().__init__(identity, context, on_end, transport)
        self._plane = plane
        self._traffic = context.metrics.traffic
        self._on_live = on_live
        self._ssrc = secrets.randbits(32)
        self._loop = asyncio.get_running_loop()
        self.live = False
        self.heard_at = self.created_at
        """When media came last, by the clock of the event loop."""
        self._warned: set[str] = set()
        # When the first packet came that could be forwarded.
        self._first_at: float | None = None
        self.packets = 0
        self.octets = 0
        self.tracks: list[UplinkTrack] = []
        self._layers: list[Layer] = []
        self._by_ssrc: dict[int, Layer] = {}
        self._video: UplinkTrack | None = None
        self._fir_command = 0
        self._loss_timer: asyncio.TimerHandle | None = None
        # Called with each sender report of a track, so that viewers get theirs.
        self.sender_report_listeners: dict[str, Callable[[Layer], None]] = {}
        # Called with the time when a layer of the video has begun or stopped.
        self.layer_listeners: dict[str, Callable[[float], None]] = {}
        self._watch_timer: asyncio.TimerHandle | None = None
        self.taps: list[PacketTap] = []

    def _take(self, tracks: Iterable[UplinkTrack]) -> None:
        """These are the streams that come."""
        self.tracks = list(tracks)
        self._layers = [layer for track in self.tracks for layer in track.layers]
        self._video = next((track for track in self.tracks if track.kind == "video"), None)

    def _watch(self) -> None:
        """See from now on which layers come, where there are several."""
        if self._video is not None and len(self._video.layers) > 1:
            self._watch_timer = self._loop.call_later(LOOK_S, self._watch_layers, self._video)

    @property
    def agreed_tracks(self) -> Sequence[TrackAgreement]:
        """What was negotiated."""
        return [track.agreement for track in self.tracks]

    @property
    def stream(self) -> str:
        """The publisher's session whose media this is."""
        return self.id

    @property
    def gives(self) -> bool:
        """Whether there is something to be had from it by other workers."""
        return self.live

    @property
    def depth(self) -> int:
        """How many hops it is away from the publisher."""
        return 0

    @abstractmethod
    def report(self, now: float) -> None:
        """Tell the other end what came; called every second."""

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take sender reports."""
        packets, skipped = rtcp.parse(data)
        self._traffic.rtcp_skipped += skipped
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._on_sender_report(packet, now)

    def _on_sender_report(self, report: SenderReport, now: float) -> None:
        layer = self._by_ssrc.get(report.ssrc)
        if layer is None or layer.reception is None or layer.ssrc != report.ssrc:
            return
        layer.reception.on_sender_report(report, now)
        layer.health.report(report)
        layer.sender_report = (report, now)
        for listener in list(self.sender_report_listeners.values()):
            listener(layer)
        for tap in self.taps:
            tap.report(layer)

    def on_fed(self, now: float) -> None:
        """Whoever sends us media is sent no media, so there is no way to be estimated."""

    def finish(self) -> None:
        """Stop timers and say good-bye."""
        for layer in self._layers:
            layer.keyframes.close()
        for timer in (self._loss_timer, self._watch_timer):
            if timer is not None:
                timer.cancel()
        self._loss_timer = self._watch_timer = None
        self.sender_report_listeners.clear()
        self.layer_listeners.clear()
        for tap in list(self.taps):
            tap.ended()
        self.transport.send_rtcp(rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_bye([self._ssrc]))

    def _look_at_health(self, now: float) -> None:
        found: set[str] = set()
        for layer in self._layers:
            layer.health.look(now)
            found |= layer.health.warnings
        if found - self._warned:
            self._warned = found
            self.log.warning("stream_unhealthy", warnings=sorted(found))

    def packets_carried(self) -> int:
        """Packets received."""
        return self.packets

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
        layer.heard_at = self.heard_at = now
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

    def _sound_alone(self, now: float) -> bool:
        """Whether a publisher who offered video sends sound alone: a camera that is off, or an encoder without one."""
        if any(source.kind == "video" for source in self._by_ssrc.values()):
            return False
        if self._first_at is None:
            self._first_at = now
        return now - self._first_at >= SOUND_ALONE_AFTER_S

    def _watch_layers(self, video: UplinkTrack) -> None:
        """Tell viewers of a layer that stops or begins: those at ease look at what is sent every two seconds."""
        self._watch_timer = self._loop.call_later(LOOK_S, self._watch_layers, video)
        now = self._loop.time()
        if video.has_changed(now):
            for listener in list(self.layer_listeners.values()):
                listener(now)

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
                self._miss(layer, [sequence & 0xFFFF for sequence in wanted])
            if given_up:
                layer.request_keyframe()
            pending = pending or bool(layer.losses)
        if pending:
            self._loss_timer = self._loop.call_later(LOSS_CHECK_S, self._check_losses)

    def _miss(self, layer: Layer, numbers: Sequence[int]) -> None:
        """Ask for packets of a layer again."""
        if layer.ssrc is not None:
            compound = rtcp.pack_receiver_report(self._ssrc, ()) + rtcp.pack_nack(self._ssrc, layer.ssrc, numbers)
            self.transport.send_rtcp(compound)

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
