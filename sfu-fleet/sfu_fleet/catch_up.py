"""A fast first picture: where in the past a viewer begins who cannot wait for the next keyframe, and how it catches up.

A publisher that answers keyframe requests gives a viewer who joins a picture within a round trip, and that is the
better way: nothing has to be caught up with. Many encoders do not answer (FFmpeg's WHIP client, most that were made for
RTMP), and send a keyframe every few seconds. So when a request has gone unanswered (`KeyframeRequests.ignored`), a
viewer who has had nothing yet begins at the latest keyframe, out of the track's history.

Such a viewer is behind by as much as the keyframe is old. It is sent the past faster than it happened, and timestamps
are drawn together to the same measure (`haste.Haste`). A player that got old timestamps in a burst would take the
first of them for the present and play on with that delay; this way it plays a stream of many frames a second for a
while, at the end of which it is where all others are.
"""

import secrets
from typing import Final

from sfu_fleet.forwarder import HISTORY_SIZE, DownTrack, Splice, Track
from sfu_fleet.haste import VIDEO_CLOCK_RATE, Haste
from sfu_fleet.picture_ids import NO_SHIFT

# What the way is taken to carry, in bit/s, before anything is known of it.
UNKNOWN_WAY: Final = 8_000_000
# More pictures at once than a phone decodes help nobody; with less the next keyframe comes sooner.
FASTEST: Final = 8
SLOWEST: Final = 2
# Of the history some is left for what comes while the viewer catches up.
MAX_PACKETS: Final = HISTORY_SIZE * 3 // 4
MAX_OCTETS: Final = 4_000_000
# x264's own distance of keyframes is 250 frames: ten seconds.
MAX_AGE_S: Final = 12.0
# Of one layer: what they are sent comes on top of all that is live.
MAX_AT_ONCE: Final = 50


def haste_of(track: Track, way: int | None) -> Haste | None:
    """How a viewer whose way carries so many bit/s can begin at the latest keyframe; None when it had better wait.

    None as well where something is missing since the keyframe: it could not be decoded.
    """
    latest, first = track.remembered(track.highest), track.remembered(track.keyframe)
    if latest is None or first is None or track.kept != track.highest - track.keyframe + 1:
        return None
    age = ((latest[1] - first[1] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
    if not 0 <= age <= MAX_AGE_S * VIDEO_CLOCK_RATE or track.kept > MAX_PACKETS or track.octets > MAX_OCTETS:
        return None
    # Over a second at least: a keyframe alone says nothing about the rate.
    rate = track.octets * 8 / max(1.0, age / VIDEO_CLOCK_RATE)
    speed = min(FASTEST, int((way or UNKNOWN_WAY) / rate))
    if speed < SLOWEST:
        return None
    # While a viewer catches up with what there is, time goes on: s * t = age + t.
    return Haste(first[1], (latest[1] + age // (speed - 1)) & 0xFFFFFFFF, speed)


def beginning(track: Track, down: DownTrack, haste: Haste) -> Splice:
    """How a viewer who has had nothing yet begins at the latest keyframe.

    RFC 3711, section 3.3.1: below 2^15, as in `DownTrack.begin`.
    """
    offset = secrets.randbits(15) - track.keyframe
    return Splice(track.keyframe, offset, down.timestamp_offset, NO_SHIFT, haste)
