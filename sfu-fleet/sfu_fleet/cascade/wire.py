"""How packets look between workers, and what workers tell each other beside them.

Payload types and ids of header extensions are ours, whatever the publisher's are: so an edge can go from one parent to
another, and to another session of the same publisher, without its viewers' seeing more than that time goes on.
"""

from collections.abc import Iterable

import msgspec

from sfu_fleet.codecs import Codec
from sfu_fleet.companions import offered_red
from sfu_fleet.header_extensions import OFFERED_IDS, forwarded_extensions
from sfu_fleet.negotiation import OFFERED_PAYLOAD_TYPES, TrackAgreement
from sfu_fleet.packet_format import PacketFormat, RedFormat
from sfu_fleet.source import Source
from sfu_fleet.uplink import Layer, UplinkTrack

WANT, TELL = "HRWT", "HRTL"
"""Names of APP packets: what an edge wants, what a parent tells."""

# Any of the layers may be asked for; sound as well is repaired between workers.
_FEEDBACK = ("nack", "nack pli")


class LayerState(msgspec.Struct, frozen=True, array_like=True):
    """What a parent tells of a layer, whether it sends it or not: as the layer itself would."""

    active: bool
    bitrate: int
    thinned_bitrate: int
    height: int
    lost: int


class FeedState(msgspec.Struct, frozen=True, array_like=True):
    """What a parent tells a few times a second.

    `silent_ms` is how long no media has come; `leaving`: look for another parent, this one is about to go or has a
    stream that goes on elsewhere.
    """

    fence: int
    leaving: bool
    silent_ms: int
    layers: list[LayerState]


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """What becomes of a room's stream at a worker and behind it: how many watch, and what was sent to them and lost."""

    viewers: int = 0
    packets_out: int = 0
    packets_lost: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """Both together."""
        return Totals(
            self.viewers + other.viewers, self.packets_out + other.packets_out, self.packets_lost + other.packets_lost
        )


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """What an edge wants: the SSRCs of layers that somebody there watches or is about to; and who is fed by it."""

    ssrcs: list[int]
    totals: Totals


_states: msgspec.msgpack.Decoder[FeedState] = msgspec.msgpack.Decoder(FeedState)
_wanted: msgspec.msgpack.Decoder[Wanted] = msgspec.msgpack.Decoder(Wanted)
_encoder = msgspec.msgpack.Encoder()


def pack(message: FeedState | Wanted) -> bytes:
    """The data of an APP packet."""
    return _encoder.encode(message)


def read_state(data: bytes) -> FeedState | None:
    """What a parent tells; None where it is of a version that we do not read."""
    try:
        return _states.decode(data)
    except msgspec.DecodeError:
        return None


def read_wanted(data: bytes) -> Wanted | None:
    """What an edge wants; None where it is of a version that we do not read."""
    try:
        return _wanted.decode(data)
    except msgspec.DecodeError:
        return None


def state_of(layers: Iterable[Layer], source: Source, now: float, *, fence: int, leaving: bool = False) -> FeedState:
    """What there is to tell of a source."""
    states = [
        LayerState(layer.active(now), layer.rate.rate(now), layer.thinned_rate(now), layer.height, layer.lost)
        for layer in layers
    ]
    return FeedState(fence, leaving, round((now - source.heard_at) * 1000), states)


def agreement_between_workers(uplink: UplinkTrack, place: int) -> TrackAgreement:
    """A stream as an edge gets it."""
    codec = _codec(uplink.codec)
    known = uplink.agreement.extensions
    names = tuple(layer.name for layer in uplink.layers)
    return TrackAgreement(
        uplink.kind,
        str(place),
        codec,
        {uri: OFFERED_IDS[uri] for uri in forwarded_extensions(uplink.codec) if uri in known},
        rids=names if len(names) > 1 else (),
        red=offered_red(codec) if uplink.agreement.red is not None else None,
        rid_heights={layer.name: layer.height for layer in uplink.layers if layer.height},
    )


def format_between_workers(uplink: UplinkTrack, agreement: TrackAgreement) -> PacketFormat:
    """How the packets of a stream look on the way to an edge."""
    known = uplink.agreement.extensions
    redundancy = None
    if uplink.agreement.red is not None and agreement.red is not None:
        target, opus = agreement.red.payload_type, agreement.codec.payload_type
        redundancy = RedFormat(uplink.agreement.red.payload_type, target, opus)
    forwarded = tuple((known[uri], identifier) for uri, identifier in agreement.extensions.items())
    return PacketFormat(agreement.codec.payload_type, 0, "", forwarded, 0, redundancy)


def _codec(codec: Codec) -> Codec:
    return msgspec.structs.replace(codec, payload_type=OFFERED_PAYLOAD_TYPES[codec.encoding], feedback=_FEEDBACK)
