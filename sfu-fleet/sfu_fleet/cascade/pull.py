"""A pull: the stream of a room as an edge has it, from whichever parent.

To viewers of the edge it is what a publisher's session is at the origin. It outlives parents: a link to another one is
opened beside the first, each layer goes over at a keyframe there (`uplink.Layer.begin`), and viewers see one stream.
"""

from collections.abc import Callable, Sequence
from functools import partial

from sfu_fleet import rtp
from sfu_fleet.cascade.contract import Fed
from sfu_fleet.cascade.link import Link
from sfu_fleet.cascade.pulled_layer import PulledLayer
from sfu_fleet.cascade.wire import FeedState, Totals
from sfu_fleet.codecs import same_format
from sfu_fleet.dtls import DtlsState
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.negotiation import TrackAgreement
from sfu_fleet.session import Identity, MediaContext, Session, State
from sfu_fleet.source import Source
from sfu_fleet.transport import PeerTransport
from sfu_fleet.uplink import Layer, UplinkTrack

# A new parent whose layers have not all begun by then is taken as it is: what has no keyframe yet gets one.
SWITCH_S = 3.0

Place = tuple[int, int]


class _Links(PeerTransport):
    """The way to the parents: what is said goes to the present one, and any of them may have been heard."""

    current: Link | None = None

    @property
    def protection(self) -> str:
        """Name of the SRTP protection profile."""
        return self.current.fed.keys.name if self.current is not None else ""

    def send_rtcp(self, compound: bytes) -> None:
        """Send to the present parent."""
        if self.current is not None:
            self.current.send(compound)


class Pull(Source):
    """The session of an edge that takes a room's stream from another worker.

    `stream` is the publisher's session. `needed` tells which layers are wanted by anybody at all.
    """

    kind = "pull"

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        plane: PacketPlane,
        fed: Fed,
        *,
        on_live: Callable[[Source], None],
        on_end: Callable[[Session, DtlsState, str], None],
    ) -> None:
        links = _Links(context.media_socket, context.metrics, self)
        super().__init__(identity, context, plane, on_live=on_live, on_end=on_end, transport=links)
        self._links = links
        self.next: Link | None = None
        self.wanted: set[Layer] = set()
        # Of this edge and of those behind it.
        self.totals = Totals()
        self.switches = 0
        self._fed = fed
        agreements = [track.agreement for track in fed.tracks]
        make = partial(PulledLayer, on_wanted=self._on_wanted)
        self._take(UplinkTrack(agreement, self._ask_for_keyframe, make) for agreement in agreements)
        self._place = {
            layer: (place, index) for place, track in enumerate(self.tracks) for index, layer in enumerate(track.layers)
        }
        # Which layers the next link feeds already.
        self._over: set[Layer] = set()
        self.state = State.CONNECTED
        self._watch()

    @property
    def current(self) -> Link | None:
        """The link that the media comes by."""
        return self._links.current

    @property
    def stream(self) -> str:
        """The publisher's session whose media this is."""
        return self._fed.stream

    @property
    def gives(self) -> bool:
        """Whether there is something to be had from it: a parent has it, whether a viewer here has or not."""
        return self.current is not None and not self.current.lost(self.context.clock())

    @property
    def fence(self) -> int:
        """Of the origin that it comes from."""
        return self._fed.fence

    @property
    def depth(self) -> int:
        """How many hops it is away from the publisher."""
        return self._fed.depth

    def fits(self, fed: Fed) -> bool:
        """Whether viewers can be fed from there without noticing: the same streams in the same formats and layers."""
        return len(fed.tracks) == len(self.tracks) and all(
            _same(track.agreement, other.agreement) and len(track.layers) == len(other.layers)
            for track, other in zip(self.tracks, fed.tracks, strict=True)
        )

    def take(self, link: Link) -> None:
        """Take media from a link: at once where there is none that works, else as its layers begin."""
        link.on_packet, link.on_report, link.on_state = self._on_packet, self._on_sender_report, self._on_state
        if self.next is not None:
            self.next.close()
        current = self.current
        if current is None or current.lost(self.context.clock()):
            self.next = None
            self._adopt(link)
        else:
            self.next = link
            self._over.clear()
        link.want(self._places(), self.totals)
        for layer in self.wanted:
            if layer.kind == "video":
                link.ask_for_keyframe(link.ssrc_of(self._place[layer]))

    def look(self, now: float) -> None:
        """See whether the next link has taken over, and say what is wanted; called several times a second."""
        link = self.next
        if link is not None:
            done = bool(self.wanted) and self.wanted <= self._over
            if link.lost(now):
                link.close()
                self.next = None
            elif done or now - link.opened_at > SWITCH_S or self.current is None or self.current.lost(now):
                self.next = None
                self._adopt(link)
        if self.current is not None:
            self.current.want(self._places(), self.totals)
        if self.next is not None:
            self.next.want(self._places(), self.totals)

    def need(self, needed: set[Layer]) -> None:
        """Pull these layers and no others."""
        self.wanted = {layer for layer in self._layers if layer in needed}

    def report(self, now: float) -> None:
        """Tell the parent what came."""
        if self.current is None:
            return
        sources = [layer.reception for layer in self._layers if layer.reception is not None]
        mine = [source for source in sources if source.ssrc in self.current.layers]
        self.current.want(self._places(), self.totals, [source.report(now) for source in mine])

    def on_rtp(self, data: bytes, now: float) -> None:
        """Media comes by links."""

    def finish(self) -> None:
        """Leave the parents."""
        super().finish()
        for link in (self.current, self.next):
            if link is not None:
                link.close()
        self._links.current = self.next = None

    def _adopt(self, link: Link) -> None:
        """This is the link from now on."""
        former = self.current
        self._links.current = link
        self._fed = link.fed
        self.transport.heard_at = link.heard_at
        if former is not None:
            self.switches += 1
            former.close()
            for ssrc in former.layers:
                self._by_ssrc.pop(ssrc, None)
        self.log.info("linked", parent=link.parent.worker, stream=link.fed.stream, depth=link.fed.depth)

    def _on_packet(self, link: Link, data: bytes, now: float) -> None:
        self.packets += 1
        self.octets += len(data)
        self._traffic.packets_in += 1
        self._traffic.bytes_in += len(data)
        try:
            packet = rtp.parse(data)
        except ValueError:
            self.context.metrics.drop("rtp_malformed")
            return
        place = link.layers.get(packet.ssrc)
        if place is None:
            self.context.metrics.drop("unknown_layer")
            return
        layer = self.tracks[place[0]].layers[place[1]]
        if not layer.takes(packet):
            self.context.metrics.drop("payload_type")
            return
        if layer.ssrc != packet.ssrc:
            if not self._may_begin(link, layer, layer.starts_keyframe(packet)):
                return
            reception = layer.begin(packet)
            self._by_ssrc[packet.ssrc] = layer
            layer.timeline.rebase(reception.first_number(packet.sequence), packet.timestamp, now)
        self.transport.heard_at = now
        self._receive(layer, packet, now)

    def _may_begin(self, link: Link, layer: Layer, keyframe: bool) -> bool:
        """Whether a layer goes over to this link with this packet."""
        if link is self.next:
            # Sound goes over with the picture.
            picture = any(found.kind == "video" for found in self.wanted)
            begins = keyframe if layer.kind == "video" else not picture or any(f.kind == "video" for f in self._over)
            if begins:
                self._over.add(layer)
            return begins
        if link is not self.current:
            return False
        if layer.kind == "video" and not keyframe:
            # The first packets of the keyframe that it begins with were lost.
            layer.request_keyframe()
            return False
        return True

    def _on_state(self, link: Link, state: FeedState, now: float) -> None:
        if link is not self.current:
            return
        self.transport.heard_at = now
        layers = [layer for layer in self._layers if isinstance(layer, PulledLayer)]
        for layer, told in zip(layers, state.layers, strict=False):
            layer.tell(told, now)

    def _on_wanted(self, layer: PulledLayer) -> None:
        if layer in self.wanted:
            return
        self.wanted.add(layer)
        for link in (self.current, self.next):
            if link is not None:
                link.want(self._places(), self.totals)

    def _places(self) -> list[Place]:
        return [self._place[layer] for layer in self.wanted]

    def _ask_for_keyframe(self, layer: Layer) -> bool:
        link = self.current
        if link is None:
            return False
        layer.keyframe_requests += 1
        self.keyframe_requests += 1
        self._traffic.keyframe_requests_out += 1
        link.ask_for_keyframe(link.ssrc_of(self._place[layer]))
        return True

    def _miss(self, layer: Layer, numbers: Sequence[int]) -> None:
        for link in (self.current, self.next):
            if link is not None and layer.ssrc in link.layers:
                link.miss(layer.ssrc, numbers)


def _same(ours: TrackAgreement, theirs: TrackAgreement) -> bool:
    # Formats on the way are the same for all publishers, so nothing else can differ that viewers would see.
    same = ours.kind == theirs.kind and same_format(ours.codec, theirs.codec)
    return same and (ours.red is None) == (theirs.red is None)
