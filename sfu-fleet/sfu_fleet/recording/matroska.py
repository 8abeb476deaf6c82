"""Writes Matroska (RFC 9559), and with the codecs of the web WebM: header, clusters, and at the end the index.

A cluster is gathered for at most a second and written whole, in one call and to the end of the file. So whatever
happens to the process, the file up to the last cluster is a good one: its segment has no size yet, which is allowed.
"""

import struct
from typing import BinaryIO

import msgspec

# Blocks count their time from their cluster's in 16 bits of milliseconds, so this must stay far below 32 s.
CLUSTER_MS = 1_000

SEGMENT, INFO, TRACKS, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_EBML, _SEEK_HEAD, _CUES, _VOID = 0x1A45DFA3, 0x114D9B74, 0x1C53BB6B, 0xEC
_UNKNOWN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_MAX_CUES = 100_000
_CODEC_IDS = {"vp8": "V_VP8", "vp9": "V_VP9", "h264": "V_MPEG4/ISO/AVC", "av1": "V_AV1", "opus": "A_OPUS"}
_WEBM = frozenset({"vp8", "vp9", "av1", "opus"})
# Opus needs 80 ms to settle after a jump (RFC 7845, section 4.6); Matroska counts it in nanoseconds.
_OPUS_PREROLL_NS = 80_000_000


class TrackEntry(msgspec.Struct, frozen=True):
    """A track of the file: `encoding` as in SDP, pixels for video, channels for audio."""

    encoding: str
    width: int = 0
    height: int = 0
    channels: int = 0
    private: bytes = b""


class Ending(msgspec.Struct, frozen=True):
    """What is written when a file is finished.

    Places are bytes: `segment_size_at` and `size` from the beginning of the file, the others from that of the segment's
    content. `cues` are times in milliseconds with the places of their clusters.
    """

    segment_size_at: int
    info_at: int
    info_size: int
    cue_track: int
    cues: list[tuple[int, int]]
    duration_ms: int
    size: int


def is_webm(encodings: list[str]) -> bool:
    """Whether these codecs may be in WebM."""
    return _WEBM.issuperset(encodings)


def opus_head(channels: int) -> bytes:
    """The identification header of Opus (RFC 7845, section 5.1). Nothing is to be skipped: we join in the middle."""
    return b"OpusHead\x01" + struct.pack("<BHIHB", channels, 0, 48_000, 0, 0)


def element(identifier: int, content: bytes) -> bytes:
    """An EBML element (RFC 8794) with its size."""
    return _id(identifier) + _size(len(content)) + content


def _id(identifier: int) -> bytes:
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")


def _size(size: int, length: int = 0) -> bytes:
    if not length:
        length = next(count for count in range(1, 9) if size < (1 << 7 * count) - 1)
    return (size | 1 << 7 * length).to_bytes(length, "big")


def _number(identifier: int, value: int, length: int = 0) -> bytes:
    return element(identifier, value.to_bytes(length or max(1, (value.bit_length() + 7) // 8), "big"))


def _real(identifier: int, value: float) -> bytes:
    return element(identifier, struct.pack(">d", value))


def _text(identifier: int, value: str) -> bytes:
    return element(identifier, value.encode())


class MatroskaWriter:
    """Writes into a file that can be read back at any time. Track numbers are places in `tracks`, from 0."""

    def __init__(self, file: BinaryIO, tracks: list[TrackEntry]) -> None:
        self._file = file
        self._tracks = tracks
        self._video = next((index for index, track in enumerate(tracks) if track.width), None)
        self._cluster: list[bytes] = []
        self._cluster_at = 0
        self._cluster_has_keyframe = False
        self._cues: list[tuple[int, int]] = []
        self.duration_ms = 0
        webm = is_webm([track.encoding for track in tracks])
        head = b"".join(
            (
                _number(0x4286, 1), _number(0x42F7, 1), _number(0x42F2, 4), _number(0x42F3, 8),
                _text(0x4282, "webm" if webm else "matroska"), _number(0x4287, 4), _number(0x4285, 2),
            )
        )  # fmt: skip
        before_segment = element(_EBML, head) + _id(SEGMENT)
        self._segment_size_at = len(before_segment)
        self._segment_at = self._segment_size_at + len(_UNKNOWN_SIZE)
        # Room for what is known only at the end: where the index is.
        self._seek_head_size = len(_seek_head(0, 0, 0))
        info = _info(0)
        self._info_at = self._seek_head_size
        self._info_size = len(info)
        start = before_segment + _UNKNOWN_SIZE + _filler(self._seek_head_size) + info + self._track_list()
        self._file.write(start)
        self.size = len(start)

    def write(self, track: int, at_ms: int, data: bytes, *, keyframe: bool) -> None:
        """Add a block. The times of one track must not go back; those of all tracks go back by little."""
        starts_picture = keyframe and track == self._video
        age = at_ms - self._cluster_at
        if self._cluster and (starts_picture or not -CLUSTER_MS <= age < CLUSTER_MS):
            self.flush()
        if not self._cluster:
            self._cluster_at = at_ms
        self._cluster_has_keyframe = self._cluster_has_keyframe or starts_picture
        block = struct.pack(">Bh", 0x80 | track + 1, at_ms - self._cluster_at)
        self._cluster.append(element(0xA3, block + (b"\x80" if keyframe else b"\x00") + data))
        self.duration_ms = max(self.duration_ms, at_ms)

    def flush(self) -> None:
        """Write the cluster that is being gathered."""
        if not self._cluster:
            return
        if (self._cluster_has_keyframe or self._video is None) and len(self._cues) < _MAX_CUES:
            self._cues.append((self._cluster_at, self.size - self._segment_at))
        whole = element(CLUSTER, _number(0xE7, self._cluster_at) + b"".join(self._cluster))
        self._file.write(whole)
        self.size += len(whole)
        self._cluster.clear()
        self._cluster_has_keyframe = False

    def finish(self) -> None:
        """Write the index and the duration. The file is a good one without, but players seek faster with."""
        self.flush()
        self.size = write_ending(
            self._file,
            Ending(
                segment_size_at=self._segment_size_at,
                info_at=self._info_at,
                info_size=self._info_size,
                cue_track=1 if self._video is None else self._video + 1,
                cues=self._cues,
                duration_ms=self.duration_ms,
                size=self.size,
            ),
        )

    def _track_list(self) -> bytes:
        return element(TRACKS, b"".join(_entry(number, track) for number, track in enumerate(self._tracks, 1)))


def write_ending(file: BinaryIO, ending: Ending) -> int:
    """Write the index behind the last cluster, then fill in what the header left open; the size of the file."""
    segment_at = ending.segment_size_at + len(_UNKNOWN_SIZE)
    cues_at = ending.size - segment_at
    points = b"".join(
        element(0xBB, _number(0xB3, at) + element(0xB7, _number(0xF7, ending.cue_track) + _number(0xF1, position)))
        for at, position in ending.cues[:_MAX_CUES]
    )
    cues = element(_CUES, points) if points else b""
    file.seek(ending.size)
    file.write(cues)
    size = ending.size + len(cues)
    if cues:
        file.seek(segment_at)
        file.write(_seek_head(ending.info_at, ending.info_size, cues_at))
    file.seek(segment_at + ending.info_at)
    file.write(_info(ending.duration_ms))
    file.seek(ending.segment_size_at)
    file.write(_size(size - segment_at, 8))
    file.seek(size)
    return size


def _info(duration_ms: int) -> bytes:
    # Before the end the duration is not known, and its place is kept by something that says nothing.
    duration = _real(0x4489, float(duration_ms)) if duration_ms else _filler(11)
    scale = _number(0x2AD7B1, 1_000_000)
    return element(INFO, scale + _text(0x4D80, "Headrace") + _text(0x5741, "Headrace") + duration)


def _seek_head(info_at: int, info_size: int, cues_at: int) -> bytes:
    entries = ((INFO, info_at), (TRACKS, info_at + info_size), (_CUES, cues_at))
    return element(
        _SEEK_HEAD,
        b"".join(element(0x4DBB, element(0x53AB, _id(name)) + _number(0x53AC, at, 8)) for name, at in entries),
    )


def _filler(size: int) -> bytes:
    """A Void element of `size` bytes altogether."""
    return _id(_VOID) + _size(size - 2) + bytes(size - 2)


def _entry(number: int, track: TrackEntry) -> bytes:
    parts = [_number(0xD7, number), _number(0x73C5, number), _number(0x9C, 0)]
    parts += [_text(0x86, _CODEC_IDS[track.encoding]), _text(0x22B59C, "und")]
    if track.private:
        parts.append(element(0x63A2, track.private))
    if track.width:
        parts += [_number(0x83, 1), element(0xE0, _number(0xB0, track.width) + _number(0xBA, track.height))]
    else:
        parts += [_number(0x83, 2), element(0xE1, _real(0xB5, 48_000.0) + _number(0x9F, track.channels))]
        parts += [_number(0x56AA, 0), _number(0x56BB, _OPUS_PREROLL_NS)]
    return element(0xAE, b"".join(parts))
