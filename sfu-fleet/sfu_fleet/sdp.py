"""A small strict parser for WebRTC session descriptions (RFC 8866 syntax, RFC 8829 attributes).

It reads what a worker needs and ignores other attributes, as RFC 8866, section 5.13 asks. What it does read must be
well-formed: every refusal names the line.
"""

import re
from typing import Literal

import msgspec

from sfu_fleet.codecs import Codec
from sfu_fleet.errors import SdpRefused

MAX_BYTES = 65_536
MAX_LINES = 3_000
MAX_MEDIA = 16

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

_DIRECTIONS: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}
_SETUPS = frozenset({"actpass", "active", "passive"})
_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF"})
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64}")
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+")
# RFC 8851, section 10: the id of a restriction identifier.
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_MAX_HEIGHT = re.compile(r"[ ;]max-height=(\d{1,5})(?=;|$)")
_ICE_MINIMUM = {"ice-ufrag": 4, "ice-pwd": 22}
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63}")
# RFC 8839, section 5.1: foundation, component, transport, priority, address, port, type and then pairs.
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} \d{1,3} [A-Za-z-]{1,16} \d{1,10} [A-Za-z0-9.:-]{1,255} \d{1,5} typ [a-z]{1,16}(?: \S+ \S+)*"
)


class Fingerprint(msgspec.Struct, frozen=True):
    """`a=fingerprint` (RFC 8122)."""

    algorithm: str
    value: str


class TransportParameters(msgspec.Struct, frozen=True):
    """What a peer says about its side of one transport: ICE credentials, certificate, DTLS role."""

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str


class Media(msgspec.Struct, frozen=True):
    """One media section. `formats` are the payload types of the m= line in order of preference.

    `rids` and `simulcast_ssrcs` are the layers of a simulcast that the peer sends, as it lists them: by restriction id
    (RFC 8853) or, without those, by the older group of SSRCs. `rtx_ssrcs` are the SSRCs of their retransmissions.
    """

    line: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str
    direction: Direction
    codecs: tuple[Codec, ...]
    extensions: dict[str, int]
    rtcp_mux: bool
    rtcp_reduced: bool
    ssrcs: tuple[int, ...]
    rids: tuple[str, ...]
    rid_heights: dict[str, int]
    simulcast_ssrcs: tuple[int, ...]
    rtx_ssrcs: dict[int, int]
    transport: TransportParameters

    @property
    def rejected(self) -> bool:
        """Port zero (RFC 8829, section 5.2.2); a bundle-only section has port zero as well but is not rejected."""
        return self.port == 0


class Description(msgspec.Struct, frozen=True):
    """A whole session description."""

    media: tuple[Media, ...]
    bundle: tuple[str, ...]
    extmap_allow_mixed: bool


class _Section:
    """The lines of the session part or of one media section while it is read."""

    def __init__(self, line: int, header: str = "") -> None:
        self.line = line
        self.header = header
        self.attributes: list[tuple[int, str, str]] = []

    def add(self, line: int, attribute: str) -> None:
        """Note an attribute line."""
        name, _, value = attribute.partition(":")
        if not _TOKEN.fullmatch(name):
            raise SdpRefused(f"line {line}: bad attribute name")
        self.attributes.append((line, name, value))

    def last(self, name: str) -> tuple[int, str] | None:
        """Line number and value of an attribute; the last one counts."""
        return next(((line, value) for line, key, value in reversed(self.attributes) if key == name), None)

    def every(self, name: str) -> list[tuple[int, str]]:
        return [(line, value) for line, key, value in self.attributes if key == name]

    def has(self, name: str) -> bool:
        return any(key == name for _, key, _ in self.attributes)


def parse(text: str) -> Description:
    """Read a session description.

    Raises:
        SdpRefused: it is malformed; the message names the line.
    """
    session, sections = _split(text)
    media = tuple(_media(section, session) for section in sections)
    mids = [m.mid for m in media if m.mid]
    if len(set(mids)) != len(mids):
        raise SdpRefused("two media sections have the same a=mid")
    bundle: tuple[str, ...] = ()
    for line, value in session.every("group"):
        words = value.split()
        if words[:1] != ["BUNDLE"]:
            continue
        bundle = tuple(words[1:])
        unknown = set(bundle) - set(mids)
        if unknown:
            raise SdpRefused(f"line {line}: a=group names a mid that no media section has: {min(unknown)}")
        break
    return Description(media, bundle, session.has("extmap-allow-mixed"))


def is_candidate(value: str) -> bool:
    """Whether the text after `a=candidate:` has the syntax of RFC 8839, section 5.1."""
    return _CANDIDATE.fullmatch(value) is not None


def lines_of(text: str) -> list[tuple[int, str, str]]:
    """Split `<type>=<value>` lines into (line number, type, value).

    Raises:
        SdpRefused: too long, or a line is not of that form.
    """
    if len(text) > MAX_BYTES:
        raise SdpRefused(f"longer than {MAX_BYTES} characters")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) > MAX_LINES:
        raise SdpRefused(f"more than {MAX_LINES} lines")
    found: list[tuple[int, str, str]] = []
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        if len(line) < 2 or line[1] != "=" or not ("a" <= line[0] <= "z"):
            raise SdpRefused(f"line {number}: expected <type>=<value>")
        if not line.isprintable():
            raise SdpRefused(f"line {number}: control character")
        found.append((number, line[0], line[2:]))
    return found


def _split(text: str) -> tuple[_Section, list[_Section]]:
    lines = lines_of(text)
    session = _Section(1)
    sections: list[_Section] = []
    seen = set()
    for number, kind, value in lines:
        if kind == "m":
            if len(sections) == MAX_MEDIA:
                raise SdpRefused(f"line {number}: more than {MAX_MEDIA} media sections")
            sections.append(_Section(number, value))
        elif kind == "a":
            (sections[-1] if sections else session).add(number, value)
        elif not sections:
            seen.add(kind)
    if not lines or lines[0][1:] != ("v", "0"):
        raise SdpRefused("line 1: expected v=0")
    for required in "ost":
        if required not in seen:
            raise SdpRefused(f"the session part has no {required}= line")
    if not sections:
        raise SdpRefused("no media section")
    return session, sections


def _media(section: _Section, session: _Section) -> Media:
    words = section.header.split()
    if len(words) < 4:
        raise SdpRefused(f"line {section.line}: expected m=<media> <port> <proto> <fmt> ...")
    kind, port_text, protocol, *formats = words
    port = _number(port_text, 65_535, section.line, "port")
    if port == 0 and section.has("bundle-only"):
        port = 9
    is_rtp = kind in {"audio", "video"} and port != 0
    if is_rtp and protocol not in _PROTOCOLS:
        raise SdpRefused(f"line {section.line}: transport {protocol} is not UDP/TLS/RTP/SAVPF")
    mid = _mid(section)
    direction = _direction(section, session)
    return Media(
        line=section.line,
        kind=kind,
        port=port,
        protocol=protocol,
        formats=tuple(formats),
        mid=mid,
        direction=direction,
        codecs=_codecs(section, formats) if is_rtp else (),
        extensions=_extensions(section) if is_rtp else {},
        rtcp_mux=section.has("rtcp-mux"),
        rtcp_reduced=section.has("rtcp-rsize"),
        ssrcs=_ssrcs(section) if is_rtp else (),
        rids=_sent_rids(section) if is_rtp else (),
        rid_heights=_rid_heights(section) if is_rtp else {},
        simulcast_ssrcs=_simulcast_ssrcs(section) if is_rtp else (),
        rtx_ssrcs=_rtx_ssrcs(section) if is_rtp else {},
        transport=_transport(section, session),
    )


def _number(text: str, maximum: int, line: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > maximum:
        raise SdpRefused(f"line {line}: {what} is not a number from 0 to {maximum}")
    return int(text)


def _mid(section: _Section) -> str:
    found = section.last("mid")
    if found is None:
        return ""
    line, value = found
    if not _TOKEN.fullmatch(value) or len(value) > 16:
        raise SdpRefused(f"line {line}: a=mid is not a token of at most 16 characters")
    return value


def _direction(section: _Section, session: _Section) -> Direction:
    for source in (section, session):
        for _, name, _ in source.attributes:
            if name in _DIRECTIONS:
                return _DIRECTIONS[name]
    return "sendrecv"


def _codecs(section: _Section, formats: list[str]) -> tuple[Codec, ...]:
    maps: dict[int, tuple[str, int, int]] = {}
    for line, value in section.every("rtpmap"):
        payload_type, _, rest = value.partition(" ")
        parts = rest.strip().split("/")
        if not 2 <= len(parts) <= 3 or not _TOKEN.fullmatch(parts[0]):
            raise SdpRefused(f"line {line}: expected a=rtpmap:<payload type> <name>/<clock rate>[/<channels>]")
        channels = _number(parts[2], 255, line, "channel count") if len(parts) == 3 else 1
        clock_rate = _number(parts[1], 1_000_000, line, "clock rate")
        if clock_rate == 0:
            raise SdpRefused(f"line {line}: clock rate is zero")
        maps[_number(payload_type, 127, line, "payload type")] = (parts[0], clock_rate, channels)
    parameters = _parameters(section)
    feedback = _feedback(section)
    codecs: list[Codec] = []
    for text in formats:
        number = _number(text, 127, section.line, "payload type")
        if number in maps:
            name, clock_rate, channels = maps[number]
            supported = (*feedback.get(text, ()), *feedback.get("*", ()))
            codecs.append(Codec(number, name, clock_rate, channels, parameters.get(number, {}), supported))
    return tuple(codecs)


def _parameters(section: _Section) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for line, value in section.every("fmtp"):
        payload_type, _, rest = value.partition(" ")
        pairs = (part.strip().partition("=") for part in rest.split(";") if part.strip())
        found[_number(payload_type, 127, line, "payload type")] = {key.strip(): text for key, _, text in pairs}
    return found


def _feedback(section: _Section) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line, value in section.every("rtcp-fb"):
        payload_type, _, rest = value.partition(" ")
        if payload_type != "*":
            _number(payload_type, 127, line, "payload type")
        found.setdefault(payload_type, []).append(rest.strip())
    return found


def _extensions(section: _Section) -> dict[str, int]:
    found: dict[str, int] = {}
    for line, value in section.every("extmap"):
        words = value.split()
        if len(words) < 2:
            raise SdpRefused(f"line {line}: expected a=extmap:<id> <uri>")
        identifier = _number(words[0].partition("/")[0], 255, line, "extension id")
        if identifier == 0:
            raise SdpRefused(f"line {line}: extension id is zero")
        found.setdefault(words[1], identifier)
    return found


def _ssrcs(section: _Section) -> tuple[int, ...]:
    found = {_number(value.partition(" ")[0], 0xFFFFFFFF, line, "SSRC"): None for line, value in section.every("ssrc")}
    return tuple(found)


def _sent_rids(section: _Section) -> tuple[str, ...]:
    """The streams after `send` in `a=simulcast` (RFC 8853, section 5.1), each by the first of its alternatives."""
    described = set()
    for line, value in section.every("rid"):
        words = value.split(None, 2)
        if len(words) < 2 or not _RID.fullmatch(words[0]) or words[1] not in {"send", "recv"}:
            raise SdpRefused(f"line {line}: expected a=rid:<id> send or recv")
        if words[1] == "send":
            described.add(words[0])
    found = section.last("simulcast")
    if found is None:
        return ()
    line, value = found
    words = value.split()
    if len(words) not in {2, 4} or not {"send", "recv"}.issuperset(words[0::2]):
        raise SdpRefused(f"line {line}: expected a=simulcast:<send or recv> <streams>")
    streams = dict(zip(words[0::2], words[1::2], strict=True)).get("send", "")
    first = (alternatives.partition(",")[0].removeprefix("~") for alternatives in streams.split(";"))
    return tuple(dict.fromkeys(rid for rid in first if rid in described))


def _rid_heights(section: _Section) -> dict[str, int]:
    """The heights in pixels that restriction ids are bound to (RFC 8851, section 5), of those that are."""
    return {value.partition(" ")[0]: int(f[1]) for _, value in section.every("rid") if (f := _MAX_HEIGHT.search(value))}


def _simulcast_ssrcs(section: _Section) -> tuple[int, ...]:
    """The SSRCs of `a=ssrc-group:SIM`, which browsers had before restriction ids."""
    for line, value in section.every("ssrc-group"):
        semantics, *ssrcs = value.split() or [""]
        if semantics == "SIM":
            return tuple(dict.fromkeys(_number(ssrc, 0xFFFFFFFF, line, "SSRC") for ssrc in ssrcs))
    return ()


def _rtx_ssrcs(section: _Section) -> dict[int, int]:
    """The pairs of `a=ssrc-group:FID` (RFC 5576, section 4.2)."""
    groups = (value.split() or [""] for _, value in section.every("ssrc-group"))
    pairs = (ssrcs for semantics, *ssrcs in groups if semantics == "FID" and len(ssrcs) == 2)
    return {int(media): int(rtx) for media, rtx in pairs if media.isdecimal() and rtx.isdecimal()}


def _transport(section: _Section, session: _Section) -> TransportParameters:
    """Attributes that may stand in the media section or, for all of them, in the session part."""
    return TransportParameters(
        ufrag=_ice(section, session, "ice-ufrag"),
        password=_ice(section, session, "ice-pwd"),
        fingerprints=_fingerprints(section) or _fingerprints(session),
        setup=_setup(section, session),
    )


def ice_chars(value: str, name: str, line: int) -> str:
    """The value of `a=ice-ufrag` or `a=ice-pwd` (RFC 8839, section 5.4).

    Raises:
        SdpRefused: it is none.
    """
    minimum = _ICE_MINIMUM[name]
    if not minimum <= len(value) <= 256 or not _ICE_CHARS.fullmatch(value):
        raise SdpRefused(f"line {line}: a={name} is not {minimum} to 256 ice-chars")
    return value


def _ice(section: _Section, session: _Section, name: str) -> str:
    found = section.last(name) or session.last(name)
    if found is None:
        return ""
    line, value = found
    return ice_chars(value, name, line)


def _fingerprints(section: _Section) -> tuple[Fingerprint, ...]:
    found = []
    for line, value in section.every("fingerprint"):
        algorithm, _, digest = value.strip().partition(" ")
        if not _TOKEN.fullmatch(algorithm) or not _FINGERPRINT.fullmatch(digest):
            raise SdpRefused(f"line {line}: expected a=fingerprint:<hash> <hex pairs with colons>")
        found.append(Fingerprint(algorithm.lower(), digest.upper()))
    return tuple(found)


def _setup(section: _Section, session: _Section) -> str:
    found = section.last("setup") or session.last("setup")
    if found is None:
        return ""
    line, value = found
    if value not in _SETUPS:
        raise SdpRefused(f"line {line}: a=setup is not actpass, active or passive")
    return value
