"""SDP fragments (RFC 8840) of WHIP and WHEP: trickled candidates, and an ICE restart (RFC 9725, section 4.3)."""

import msgspec

from sfu_fleet import sdp
from sfu_fleet.candidates import candidate_lines
from sfu_fleet.errors import SdpRefused
from sfu_fleet.negotiation import LocalTransport, TrackAgreement


class Fragment(msgspec.Struct, frozen=True):
    """What a peer's fragment says: its ICE credentials, empty where it names none, and how many candidates."""

    ufrag: str
    password: str
    candidates: int


def parse(text: str) -> Fragment:
    """Read a fragment.

    Raises:
        SdpRefused: it is malformed; the message names the line.
    """
    found = {"ice-ufrag": "", "ice-pwd": ""}
    candidates = 0
    for number, kind, value in sdp.lines_of(text):
        name, _, content = value.partition(":")
        if kind != "a":
            continue
        if name in found:
            found[name] = sdp.ice_chars(content, name, number)
        elif name == "candidate":
            if not sdp.is_candidate(content):
                raise SdpRefused(f"line {number}: malformed candidate")
            candidates += 1
    return Fragment(found["ice-ufrag"], found["ice-pwd"], candidates)


def restarted(local: LocalTransport, track: TrackAgreement, mids: list[str]) -> str:
    """Our side after a restart: with BUNDLE the one section stands for all."""
    return "\r\n".join(
        [
            "a=ice-lite",
            *([f"a=group:BUNDLE {' '.join(mids)}"] if all(mids) else []),
            f"m={track.kind} 9 UDP/TLS/RTP/SAVPF {track.codec.payload_type}",
            *([f"a=mid:{track.mid}"] if track.mid else []),
            f"a=ice-ufrag:{local.ufrag}",
            f"a=ice-pwd:{local.password}",
            *candidate_lines(local.candidates, local.tcp_candidates),
            "",
        ]
    )
