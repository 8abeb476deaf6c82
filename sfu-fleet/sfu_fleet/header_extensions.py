"""Header extensions (RFC 8285) by their URIs: which of them we ask for, and which travel on to viewers."""

from sfu_fleet.codecs import PAYLOAD_CODECS, Codec

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
ABSOLUTE_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

# Extensions whose values mean the same to a viewer as to us, so that they travel on. The others describe one hop only.
# A capture time is by the publisher's clock, and so are the sender reports that viewers get.
_FORWARDED_EXTENSIONS = {
    "audio": (AUDIO_LEVEL, ABSOLUTE_CAPTURE_TIME),
    "video": (VIDEO_ORIENTATION, ABSOLUTE_CAPTURE_TIME),
}
# Ids in our own offers: the same for every viewer, so that one rewritten packet serves all of them.
OFFERED_IDS = {
    MID: 1,
    AUDIO_LEVEL: 2,
    VIDEO_ORIENTATION: 3,
    DEPENDENCY_DESCRIPTOR: 4,
    TRANSPORT_SEQUENCE: 5,
    ABSOLUTE_CAPTURE_TIME: 6,
}
# What a publisher is asked to tell us about each packet: which layer it is of, and its place among all packets.
UPLINK_EXTENSIONS = {
    "audio": (TRANSPORT_SEQUENCE,),
    "video": (TRANSPORT_SEQUENCE, STREAM_ID, REPAIRED_STREAM_ID),
}


def downlink_extensions(codec: Codec) -> tuple[str, ...]:
    """The header extensions that viewers' packets carry, where they want them."""
    return (MID, TRANSPORT_SEQUENCE, *forwarded_extensions(codec))


def forwarded_extensions(codec: Codec) -> tuple[str, ...]:
    """The header extensions that travel on to viewers.

    The dependency descriptor goes with AV1 alone, whose payload says nothing of its frames. Where it is agreed for VP8,
    Chromium leaves picture ids and temporal layers out of the payload descriptor (RFC 7741), which all receivers read.
    """
    kind = "audio" if codec.encoding in PAYLOAD_CODECS["audio"] else "video"
    return _FORWARDED_EXTENSIONS[kind] + ((DEPENDENCY_DESCRIPTOR,) if codec.encoding == "av1" else ())
