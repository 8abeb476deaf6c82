"""Codecs as they are named in SDP: which ones pass through a worker, and when two descriptions mean the same one.

Nothing here encodes or decodes: a codec is a name, a clock rate and format parameters.
"""

from collections.abc import Mapping

import msgspec

PAYLOAD_CODECS = {"audio": frozenset({"opus"}), "video": frozenset({"vp8", "vp9", "h264", "av1"})}


class Codec(msgspec.Struct, frozen=True):
    """One payload format of a media section: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` of one payload type."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: Mapping[str, str] = {}
    feedback: tuple[str, ...] = ()

    @property
    def encoding(self) -> str:
        """The encoding name in lower case: names are compared without case (RFC 8866, section 6.6)."""
        return self.name.lower()

    @property
    def rtpmap(self) -> str:
        """The value of `a=rtpmap` after the payload type."""
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")

    @property
    def fmtp(self) -> str:
        """The value of `a=fmtp` after the payload type; empty when there are no parameters."""
        return ";".join(f"{key}={value}" if value else key for key, value in self.parameters.items())


def is_forwardable(kind: str, codec: Codec) -> bool:
    """Whether a worker forwards this payload format: a codec whose keyframes it recognises, or Opus."""
    return codec.encoding in PAYLOAD_CODECS.get(kind, frozenset())


def same_format(a: Codec, b: Codec) -> bool:
    """Whether a receiver of `a` can take a stream described as `b`."""
    if (a.encoding, a.clock_rate, a.channels) != (b.encoding, b.clock_rate, b.channels):
        return False
    if a.encoding == "h264":
        return _packetization_mode(a) == _packetization_mode(b) and _same_profile(h264_profile(a), h264_profile(b))
    if a.encoding == "vp9":
        return a.parameters.get("profile-id", "0") == b.parameters.get("profile-id", "0")
    if a.encoding == "av1":
        return a.parameters.get("profile", "0") == b.parameters.get("profile", "0")
    return True


def _packetization_mode(codec: Codec) -> str:
    return codec.parameters.get("packetization-mode", "0")


def _same_profile(a: str, b: str) -> bool:
    """Baseline counts as Constrained Baseline: no encoder of today makes the slice groups that they differ in."""
    return a == b or {a, b} == {"baseline", "constrained-baseline"}


# RFC 6184, section 8.1, table 5: profile_idc, then the constraint bits that matter with their values.
_H264_PROFILES = (
    ("constrained-baseline", 0x42, 0b0100_0000, 0b0100_0000),
    ("constrained-baseline", 0x4D, 0b1000_0000, 0b1000_0000),
    ("constrained-baseline", 0x58, 0b1100_0000, 0b1100_0000),
    ("baseline", 0x42, 0b0100_0000, 0b0000_0000),
    ("baseline", 0x58, 0b1100_0000, 0b1000_0000),
    ("main", 0x4D, 0b1000_0000, 0b0000_0000),
    ("extended", 0x58, 0b1100_0000, 0b0000_0000),
    ("constrained-high", 0x64, 0b0000_1100, 0b0000_1100),
    ("high", 0x64, 0b0000_1100, 0b0000_0000),
)


def h264_profile(codec: Codec) -> str:
    """The profile in `profile-level-id`; the level is left out, since a stream's level is the sender's to choose.

    Without the parameter it is Baseline (RFC 6184, section 8.1). Unknown profiles stand for themselves.
    """
    text = codec.parameters.get("profile-level-id", "420010")
    try:
        profile_idc, constraints = int(text[0:2], 16), int(text[2:4], 16)
    except ValueError:
        return text
    for name, idc, mask, value in _H264_PROFILES:
        if profile_idc == idc and constraints & mask == value:
            return name
    return text[:4].lower()
