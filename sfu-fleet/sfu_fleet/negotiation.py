"""Offer and answer (RFC 3264, RFC 8829) of a worker that forwards: what is agreed with a publisher and with a viewer.

One transport per session: BUNDLE and rtcp-mux are required, ICE is lite, all candidates are host candidates.
"""

import secrets
from collections.abc import Sequence

import msgspec

from sfu_fleet.candidates import candidate_lines
from sfu_fleet.codecs import Codec, h264_profile, is_forwardable, same_format
from sfu_fleet.companions import offered_red, offered_rtx, red_of, rtx_of
from sfu_fleet.errors import SdpRefused
from sfu_fleet.header_extensions import (
    MID,
    OFFERED_IDS,
    STREAM_ID,
    TRANSPORT_SEQUENCE,
    UPLINK_EXTENSIONS,
    downlink_extensions,
    forwarded_extensions,
)
from sfu_fleet.sdp import Description, Fingerprint, Media, TransportParameters

OFFERED_PAYLOAD_TYPES = {"opus": 111, "vp8": 96, "vp9": 98, "h264": 102, "av1": 104}
_REPAIR = ("nack", "nack pli", "ccm fir")
# What publishers get from us, and what viewers are asked for.
_UPLINK_FEEDBACK = {"audio": ("transport-cc",), "video": (*_REPAIR, "goog-remb", "transport-cc")}
_FEEDBACK = {"audio": ("transport-cc",), "video": (*_REPAIR, "goog-remb", "transport-cc")}
# More layers than any encoder of today makes.
MAX_LAYERS = 4
_PLAYED_EVERYWHERE = frozenset({"baseline", "constrained-baseline"})

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class LocalTransport(msgspec.Struct, frozen=True):
    """Our side of one transport as it is written into SDP; candidates are (address, port)."""

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    candidates: tuple[tuple[str, int], ...]
    tcp_candidates: tuple[tuple[str, int], ...] = ()


class TrackAgreement(msgspec.Struct, frozen=True):
    """What both sides agreed on for one audio or video stream. `extensions` maps URI to id.

    A simulcast has `rids` or `ssrcs`, one for each layer in the order of the offer; anything else has neither.
    `rtx` is the format in which packets are sent again (RFC 4588), if not in their own; `rtx_ssrcs` are theirs, one for
    each of `ssrcs`, 0 where none was announced. `red` is the format of redundant audio (RFC 2198), where it is taken.
    `rid_heights` are in pixels, of the layers that the publisher says it of.
    """

    kind: str
    mid: str
    codec: Codec
    extensions: dict[str, int]
    rids: tuple[str, ...] = ()
    ssrcs: tuple[int, ...] = ()
    rtx: Codec | None = None
    rtx_ssrcs: tuple[int, ...] = ()
    red: Codec | None = None
    rid_heights: dict[str, int] = {}

    @property
    def payload_types(self) -> frozenset[int]:
        """Those of media: the codec's own, and that of its redundant form."""
        return frozenset(codec.payload_type for codec in (self.codec, self.red) if codec is not None)

    @property
    def transport_sequence(self) -> int:
        """The id of the transport-wide number, where the peer also tells of it when packets came; else 0."""
        return self.extensions.get(TRANSPORT_SEQUENCE, 0) if "transport-cc" in self.codec.feedback else 0


class Agreement(msgspec.Struct, frozen=True):
    """The result of one offer and answer: our description, the peer's transport, who is the DTLS client."""

    sdp: str
    peer: TransportParameters
    dtls_client: bool
    tracks: tuple[TrackAgreement, ...]


class Outgoing(msgspec.Struct, frozen=True):
    """A publisher's stream as it is described to a viewer. `ssrc` is the one that this viewer will see.

    `rtx_ssrc` is the one under which packets are sent again; 0 where that is not offered. `redundant`: the publisher
    may send redundant audio. `numbered`: viewers are asked for transport-wide feedback.
    """

    kind: str
    codec: Codec
    ssrc: int
    rtx_ssrc: int = 0
    redundant: bool = False
    numbered: bool = True

    @property
    def feedback(self) -> tuple[str, ...]:
        """What viewers are asked for."""
        wanted = _FEEDBACK[self.kind]
        return wanted if self.numbered else tuple(name for name in wanted if name != "transport-cc")

    @property
    def extensions(self) -> tuple[str, ...]:
        """The header extensions that viewers' packets carry, where they want them."""
        wanted = downlink_extensions(self.codec)
        return wanted if self.numbered else tuple(uri for uri in wanted if uri != TRANSPORT_SEQUENCE)


def random_ice_string(length: int) -> str:
    """Random ice-chars (RFC 8839, section 5.4): 4 at least for a ufrag, 22 for a password."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def answer_publisher(offer: Description, local: LocalTransport) -> Agreement:
    """Answer a publisher: one video codec and Opus, the first of each that the offer lists and that we forward.

    H.264 is taken in the profile that every viewer plays, if it is listed in several.

    Raises:
        SdpRefused: nothing in the offer can be forwarded, or its transport is not one that we speak.
    """
    taken: dict[str, tuple[Media, Codec]] = {}
    for media in offer.media:
        if media.rejected or media.direction not in {"sendrecv", "sendonly"} or media.kind in taken:
            continue
        codec = _preferred(media)
        if codec is not None:
            taken[media.kind] = (media, codec)
    if not taken:
        raise SdpRefused("the offer sends neither Opus nor VP8, VP9, H.264 or AV1")
    accepted = {media.line: codec for media, codec in taken.values()}
    peer = _peer_transport(offer, [media for media, _ in taken.values()])
    client = peer.setup == "passive"
    writer = _Writer(local, setup="active" if client else "passive", mixed=offer.extmap_allow_mixed)
    tracks = []
    for media in offer.media:
        codec = accepted.get(media.line)
        if codec is None:
            writer.reject(media)
            continue
        agreed = msgspec.structs.replace(codec, feedback=_common(_UPLINK_FEEDBACK[media.kind], codec))
        wanted = (MID, *forwarded_extensions(codec), *UPLINK_EXTENSIONS[media.kind])
        extensions = {uri: media.extensions[uri] for uri in wanted if uri in media.extensions}
        rtx, redundant = rtx_of(media, agreed), red_of(media, agreed)
        also = [extra for extra in (rtx, redundant) if extra is not None]
        # The publisher's order: it sends what comes first.
        first = media.codecs.index(redundant) < media.codecs.index(codec) if redundant is not None else False
        formats = [*also, agreed] if first else [agreed, *also]
        writer.accept(media.kind, media.mid, "recvonly", formats, extensions, reduced=media.rtcp_reduced)
        rids, ssrcs = _layers(media)
        writer.receive_layers(rids)
        rtx_ssrcs = tuple(media.rtx_ssrcs.get(ssrc, 0) for ssrc in ssrcs)
        tracks.append(
            TrackAgreement(
                media.kind,
                media.mid,
                agreed,
                extensions,
                rids,
                ssrcs,
                rtx,
                rtx_ssrcs,
                redundant,
                media.rid_heights,
            )
        )
    return Agreement(writer.text(), peer, client, tuple(tracks))


def offer_viewer(outgoing: Sequence[Outgoing], local: LocalTransport, stream: str) -> str:
    """Our offer to a viewer: payload types and extension ids are the same for all viewers of a codec."""
    writer = _Writer(local, setup="actpass", mixed=True)
    for mid, track in enumerate(outgoing):
        extensions = {uri: OFFERED_IDS[uri] for uri in track.extensions}
        codec = offered_codec(track)
        rtx = offered_rtx(codec) if track.rtx_ssrc else None
        also = [extra for extra in (rtx, offered_red(codec) if track.redundant else None) if extra is not None]
        writer.accept(track.kind, str(mid), "sendonly", [codec, *also], extensions, reduced=True)
        writer.source(track, stream, rtx=rtx)
    return writer.text()


def accept_answer(outgoing: Sequence[Outgoing], answer: Description) -> Agreement:
    """Read a viewer's answer to `offer_viewer`. `sdp` of the result is empty: there is nothing to say any more.

    Raises:
        SdpRefused: it is not an answer to that offer, or the viewer cannot play the publisher's video.
    """
    if len(answer.media) != len(outgoing):
        raise SdpRefused(f"the answer has {len(answer.media)} media sections where the offer has {len(outgoing)}")
    tracks = []
    accepted = []
    for mid, (track, media) in enumerate(zip(outgoing, answer.media, strict=True)):
        if media.kind != track.kind or (media.mid or str(mid)) != str(mid):
            raise SdpRefused(f"line {media.line}: expected the answer to {track.kind} with a=mid:{mid}")
        codec = _playable(track, media)
        if codec is None:
            continue
        allowed = downlink_extensions(track.codec)
        extensions = {uri: OFFERED_IDS[uri] for uri in allowed if uri in media.extensions}
        accepted.append(media)
        rtx = rtx_of(media, codec) if track.rtx_ssrc else None
        redundant = red_of(media, codec) if track.redundant else None
        tracks.append(TrackAgreement(track.kind, str(mid), codec, extensions, rtx=rtx, red=redundant))
    _require_tracks(outgoing, tracks)
    peer = _peer_transport(answer, accepted)
    if peer.setup == "actpass":
        raise SdpRefused("a=setup:actpass is not allowed in an answer")
    return Agreement("", peer, peer.setup == "passive", tuple(tracks))


def answer_viewer(outgoing: Sequence[Outgoing], offer: Description, local: LocalTransport, stream: str) -> Agreement:
    """Answer a viewer's own offer (WHEP) with the viewer's payload types and extension ids.

    Raises:
        SdpRefused: the offer lacks the publisher's codec, or its transport is not one that we speak.
    """
    chosen: dict[int, tuple[Outgoing, Codec]] = {}
    accepted = []
    for track in outgoing:
        for media in offer.media:
            codec = _playable(track, media) if media.kind == track.kind and media.line not in chosen else None
            if codec is not None:
                chosen[media.line] = (track, codec)
                accepted.append(media)
                break
    _require_tracks(outgoing, [track for track, _ in chosen.values()])
    peer = _peer_transport(offer, accepted)
    client = peer.setup == "passive"
    writer = _Writer(local, setup="active" if client else "passive", mixed=offer.extmap_allow_mixed)
    tracks = []
    for media in offer.media:
        if media.line not in chosen:
            writer.reject(media)
            continue
        track, codec = chosen[media.line]
        extensions = {uri: media.extensions[uri] for uri in track.extensions if uri in media.extensions}
        agreed = msgspec.structs.replace(codec, feedback=_common(track.feedback, codec))
        rtx = rtx_of(media, agreed) if track.rtx_ssrc else None
        redundant = red_of(media, agreed) if track.redundant else None
        formats = [agreed, *(extra for extra in (rtx, redundant) if extra is not None)]
        writer.accept(track.kind, media.mid, "sendonly", formats, extensions, reduced=media.rtcp_reduced)
        writer.source(track, stream, rtx=rtx)
        tracks.append(TrackAgreement(track.kind, media.mid, agreed, extensions, rtx=rtx, red=redundant))
    return Agreement(writer.text(), peer, client, tuple(tracks))


def offered_codec(track: Outgoing) -> Codec:
    """The publisher's codec as our offers name it."""
    parameters = dict(track.codec.parameters)
    if track.codec.encoding == "h264":
        if h264_profile(track.codec) == "baseline":
            # The same in practice (see codecs), and the name that every browser knows.
            parameters["profile-level-id"] = "42e0" + parameters.get("profile-level-id", "42001f")[4:]
        # The stream's level is the publisher's; the viewer's own level need not match (RFC 6184, section 8.1).
        parameters["level-asymmetry-allowed"] = "1"
    return msgspec.structs.replace(
        track.codec,
        payload_type=OFFERED_PAYLOAD_TYPES[track.codec.encoding],
        parameters=parameters,
        feedback=track.feedback,
    )


def _layers(media: Media) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The layers that we take: restriction ids, where packets can name them, else SSRCs."""
    if media.kind != "video":
        return (), ()
    if media.rids and STREAM_ID in media.extensions:
        return media.rids[:MAX_LAYERS], ()
    return (), media.simulcast_ssrcs[:MAX_LAYERS]


def _preferred(media: Media) -> Codec | None:
    """The codec that we take of a publisher's section."""
    forwardable = [codec for codec in media.codecs if is_forwardable(media.kind, codec)]
    if not forwardable or forwardable[0].encoding != "h264":
        return forwardable[0] if forwardable else None
    # Safari lists High first; Firefox, and Chromium without a hardware decoder, offer to receive Constrained Baseline.
    common = (codec for codec in forwardable if codec.encoding == "h264" and h264_profile(codec) in _PLAYED_EVERYWHERE)
    return next((codec for codec in common if codec.parameters.get("packetization-mode") == "1"), forwardable[0])


def _common(wanted: tuple[str, ...], codec: Codec) -> tuple[str, ...]:
    return tuple(value for value in wanted if value in codec.feedback)


def _playable(track: Outgoing, media: Media) -> Codec | None:
    if media.rejected or media.direction not in {"sendrecv", "recvonly"}:
        return None
    return next((codec for codec in media.codecs if same_format(track.codec, codec)), None)


def _require_tracks(outgoing: Sequence[Outgoing], tracks: Sequence[TrackAgreement | Outgoing]) -> None:
    """A viewer may do without sound, but not without the picture, and not without both."""
    kinds = {track.kind for track in tracks}
    for track in outgoing:
        if track.kind not in kinds and (track.kind == "video" or not kinds):
            codec = track.codec
            described = f"{codec.name} ({codec.fmtp})" if codec.fmtp else codec.name
            raise SdpRefused(f"the viewer does not receive the publisher's {track.kind} codec {described}")


def _peer_transport(description: Description, accepted: Sequence[Media]) -> TransportParameters:
    """The one transport of all accepted sections: with BUNDLE that is the one of the group's first section."""
    if len(accepted) > 1:
        for media in accepted:
            if media.mid not in description.bundle or not media.mid:
                raise SdpRefused(f"line {media.line}: the media section is not in the BUNDLE group")
    for media in accepted:
        if not media.rtcp_mux:
            raise SdpRefused(f"line {media.line}: the media section has no a=rtcp-mux")
    by_mid = {media.mid: media for media in description.media if media.mid}
    tagged = by_mid[description.bundle[0]] if description.bundle else accepted[0]
    # A section that is rejected cannot carry the transport of the group.
    carrier = tagged if tagged.transport.ufrag and not tagged.rejected else accepted[0]
    peer = carrier.transport
    for value, name in ((peer.ufrag, "ice-ufrag"), (peer.password, "ice-pwd"), (peer.setup, "setup")):
        if not value:
            raise SdpRefused(f"line {carrier.line}: the media section has no a={name}")
    if not any(fingerprint.algorithm in {"sha-256", "sha-384", "sha-512"} for fingerprint in peer.fingerprints):
        raise SdpRefused(f"line {carrier.line}: the media section has no a=fingerprint with SHA-256, 384 or 512")
    return peer


class _Writer:
    """Builds our session description section by section."""

    def __init__(self, local: LocalTransport, *, setup: str, mixed: bool) -> None:
        self._local = local
        self._setup = setup
        self._mixed = mixed
        self._bundle: list[str] = []
        self._lines: list[str] = []

    def accept(
        self,
        kind: str,
        mid: str,
        direction: str,
        formats: Sequence[Codec],
        extensions: dict[str, int],
        *,
        reduced: bool,
    ) -> None:
        """Write a section with one codec and what goes with it: its retransmissions, its redundant form."""
        address, port = self._local.candidates[0]
        self._lines += [
            f"m={kind} {port} UDP/TLS/RTP/SAVPF {' '.join(str(codec.payload_type) for codec in formats)}",
            f"c=IN {_family(address)} {address}",
        ]
        if mid:
            self._bundle.append(mid)
            self._lines.append(f"a=mid:{mid}")
        self._lines += [f"a={direction}", "a=rtcp-mux"]
        if reduced:
            self._lines.append("a=rtcp-rsize")
        self._lines += [f"a=extmap:{identifier} {uri}" for uri, identifier in extensions.items()]
        for codec in formats:
            self._lines.append(f"a=rtpmap:{codec.payload_type} {codec.rtpmap}")
            if codec.fmtp:
                self._lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
            self._lines += [f"a=rtcp-fb:{codec.payload_type} {value}" for value in codec.feedback]
        self._lines += [
            f"a=ice-ufrag:{self._local.ufrag}",
            f"a=ice-pwd:{self._local.password}",
            *(f"a=fingerprint:{item.algorithm} {item.value}" for item in self._local.fingerprints),
            f"a=setup:{self._setup}",
        ]
        self._lines += candidate_lines(self._local.candidates, self._local.tcp_candidates)

    def receive_layers(self, rids: Sequence[str]) -> None:
        """Say that we take these layers of a simulcast (RFC 8853, section 5.3)."""
        if rids:
            self._lines += [*(f"a=rid:{rid} recv" for rid in rids), f"a=simulcast:recv {';'.join(rids)}"]

    def source(self, track: Outgoing, stream: str, *, rtx: Codec | None = None) -> None:
        """Write the source description of a stream that we send. One CNAME for all: they share a clock."""
        self._lines += [
            f"a=msid:{stream} {stream}-{track.kind}",
            f"a=ssrc:{track.ssrc} cname:{stream}",
        ]
        if rtx is not None:
            self._lines += [
                f"a=ssrc-group:FID {track.ssrc} {track.rtx_ssrc}",
                f"a=ssrc:{track.rtx_ssrc} cname:{stream}",
            ]

    def reject(self, media: Media) -> None:
        """Write a section with port zero (RFC 3264, section 6)."""
        self._lines += [f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}", "c=IN IP4 0.0.0.0"]
        if media.mid:
            self._lines.append(f"a=mid:{media.mid}")
        self._lines.append("a=inactive")

    def text(self) -> str:
        """The whole description."""
        head = ["v=0", f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        if self._bundle:
            head.append(f"a=group:BUNDLE {' '.join(self._bundle)}")
        head.append("a=ice-lite")
        if self._mixed:
            head.append("a=extmap-allow-mixed")
        head.append("a=msid-semantic: WMS *")
        return "\r\n".join([*head, *self._lines, ""])


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"
