"""Payload formats that go with a codec: its retransmissions (RFC 4588), and its redundant form (RFC 2198)."""

from sfu_fleet.codecs import Codec
from sfu_fleet.sdp import Media

# In our own offers; that of retransmissions is the one behind the codec's.
_RED_PAYLOAD_TYPE = 63


def offered_rtx(codec: Codec) -> Codec:
    """The retransmission format of a codec of ours: its number is the next one."""
    return Codec(codec.payload_type + 1, "rtx", codec.clock_rate, parameters={"apt": str(codec.payload_type)})


def offered_red(codec: Codec) -> Codec:
    """Redundant audio as our offers name it: every block is of the one codec."""
    blocks = f"{codec.payload_type}/{codec.payload_type}"
    return Codec(_RED_PAYLOAD_TYPE, "red", codec.clock_rate, codec.channels, {blocks: ""})


def red_of(media: Media, codec: Codec) -> Codec | None:
    """The format of redundant audio that a peer lists for Opus (RFC 2198, section 5): all blocks of that codec."""
    if codec.encoding != "opus":
        return None
    for candidate in media.codecs:
        blocks = "".join(candidate.parameters).split("/")
        same_clock = (candidate.clock_rate, candidate.channels) == (codec.clock_rate, codec.channels)
        if candidate.encoding == "red" and same_clock and set(blocks) == {str(codec.payload_type)}:
            return candidate
    return None


def rtx_of(media: Media, codec: Codec) -> Codec | None:
    """The retransmission format that a peer lists for a codec; of use only where losses are reported."""
    if "nack" not in codec.feedback:
        return None
    wanted = str(codec.payload_type)
    return next((c for c in media.codecs if c.encoding == "rtx" and c.parameters.get("apt") == wanted), None)
