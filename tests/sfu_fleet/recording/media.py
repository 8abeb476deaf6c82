"""Real coded pictures and sound, made with PyAV's encoders, and packed into RTP payloads as publishers do it."""

import hashlib
import itertools
import math
from array import array
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame

from sfu_fleet.recording.pipeline import AUDIO, Media
from sfu_fleet.rtp import RtpPacket
from tests.sfu_fleet.peer import rtp_packet

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
    "av1": ("libsvtav1", {"preset": "10", "svtav1-params": "pred-struct=1:lp=1:rc=2:rtc=1"}),
}
FRAME_RATE = 30
TICKS = 90_000 // FRAME_RATE


@cache
def pictures(encoding: str, count: int, *, width: int = 320, height: int = 180, group: int = 15) -> tuple[bytes, ...]:
    """Coded frames, of which each `group`th is a keyframe."""
    name, options = ENCODERS[encoding]
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FRAME_RATE), Fraction(FRAME_RATE)
    encoder.gop_size, encoder.bit_rate = group, 600_000 * width // 320
    encoder.options = options
    coded: list[bytes] = []
    for number in range(count):
        frame = VideoFrame(width, height, "yuv420p")
        for index, plane in enumerate(frame.planes):
            plane.update(bytes((x * (index + 1) + number * 5) & 0xFF for x in range(plane.buffer_size)))
        frame.pts = number
        coded += [bytes(packet) for packet in encoder.encode(frame)]
    coded += [bytes(packet) for packet in encoder.encode(None)]
    assert len(coded) == count
    return tuple(coded)


@cache
def sound(count: int) -> tuple[bytes, ...]:
    """Packets of Opus of 20 ms each."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    encoder.time_base = Fraction(1, 48_000)
    coded: list[bytes] = []
    for number in range(count + 2):
        samples = array("h", (int(8_000 * math.sin(2 * math.pi * 440 * s / 48_000)) for s in range(960) for _ in "lr"))
        frame = AudioFrame(format="s16", layout="stereo", samples=960)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts = 48_000, number * 960
        coded += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(coded[:count])


def payloads(encoding: str, frame: bytes, limit: int = 1_100) -> list[bytes]:
    """A frame in the payload format of its codec."""
    return {"vp8": _vp8, "vp9": _vp9, "h264": _h264, "av1": _av1}[encoding](frame, limit)


def units(stream: bytes) -> list[bytes]:
    """The units of an H.264 byte stream (Annex B)."""
    found = stream.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [unit.rstrip(b"\x00") for unit in found[1:]]


def _pieces(data: bytes, limit: int) -> list[bytes]:
    return [data[start : start + limit] for start in range(0, len(data), limit)]


def _vp8(frame: bytes, limit: int) -> list[bytes]:
    # With a 15 bit picture id, as browsers send it.
    return [
        bytes((0x90 if index == 0 else 0x80, 0x80, 0x81, 0x02)) + piece
        for index, piece in enumerate(_pieces(frame, limit))
    ]


def _vp9(frame: bytes, limit: int) -> list[bytes]:
    pieces = _pieces(frame, limit)
    predicted = 0x40 if frame[0] & 0x04 else 0
    return [
        bytes((0x80 | predicted | (0x08 if i == 0 else 0) | (0x04 if i == len(pieces) - 1 else 0), 0x81, 0x02)) + piece
        for i, piece in enumerate(pieces)
    ]


def _h264(frame: bytes, limit: int) -> list[bytes]:
    found: list[bytes] = []
    small = [unit for unit in units(frame) if unit[0] & 0x1F in {6, 7, 8}]
    if small:
        found.append(b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in small))
    for unit in units(frame):
        if unit[0] & 0x1F in {6, 7, 8}:
            continue
        if len(unit) <= limit:
            found.append(unit)
            continue
        pieces = _pieces(unit[1:], limit)
        for index, piece in enumerate(pieces):
            edge = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
            found.append(bytes((unit[0] & 0xE0 | 28, edge | unit[0] & 0x1F)) + piece)
    return found


def obus(unit: bytes) -> list[tuple[int, bytes]]:
    """Type and bytes without size field of each OBU in a temporal unit of the low-overhead format."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(unit):
        header = unit[position : position + (2 if unit[position] & 0x04 else 1)]
        position += len(header)
        size = shift = 0
        while True:
            octet = unit[position]
            size |= (octet & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if not octet & 0x80:
                break
        bare = bytes((header[0] & ~0x02,)) + header[1:]
        found.append((header[0] >> 3 & 0x0F, bare + unit[position : position + size]))
        position += size
    return found


def _av1(unit: bytes, limit: int) -> list[bytes]:
    """Each OBU in packets of its own, without size field and temporal delimiter (W = 1)."""
    kept = [(kind, obu) for kind, obu in obus(unit) if kind != 2]
    starts = any(kind == 1 for kind, _ in kept)
    packets: list[bytes] = []
    for _, obu in kept:
        pieces = _pieces(obu, limit)
        for index, piece in enumerate(pieces):
            head = 0x10 | (0x80 if index else 0) | (0x40 if index < len(pieces) - 1 else 0)
            packets.append(bytes((head | (0x08 if starts and not packets else 0),)) + piece)
    return packets


def video_media(
    encoding: str, frames: tuple[bytes, ...], *, layer: str = "0", ssrc: int = 1, first: int = 0, at: float = 100.0
) -> list[Media]:
    """The packets of frames, as the tap gives them to the pipeline, from number `first` and time `at` on."""
    found: list[Media] = []
    for number, frame in enumerate(frames):
        parts = payloads(encoding, frame)
        for index, payload in enumerate(parts):
            packet = _parsed(payload, ssrc=ssrc, marker=index == len(parts) - 1)
            when = at + number / FRAME_RATE
            found.append(Media(layer, packet, first + len(found), 1_000 + round((when - 100.0) * 90_000), when, 90_000))
    return found


def audio_media(packets: tuple[bytes, ...], *, first: int = 0, at: float = 100.0) -> list[Media]:
    """The same for sound."""
    return [
        Media(AUDIO, _parsed(payload, ssrc=2, marker=False), first + i, 77 + i * 960, at + i * 0.02, 48_000)
        for i, payload in enumerate(packets)
    ]


def _parsed(payload: bytes, *, ssrc: int, marker: bool) -> RtpPacket:
    data = rtp_packet(0, ssrc=ssrc, payload=payload, marker=marker)
    return RtpPacket(data, marker, 96, 0, 0, ssrc, 0, 0, 0, 0, 12, len(data))


def opened(path: Path) -> tuple[list[tuple[float, bool]], list[float], int]:
    """(time, keyframe) of each video packet and time of each sound packet in a file, and how many frames decode."""
    video: list[tuple[float, bool]] = []
    audio: list[float] = []
    decoded = 0
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is None or packet.time_base is None:
                continue
            at = float(packet.pts * packet.time_base)
            if packet.stream.type == "video":
                video.append((at, packet.is_keyframe))
            else:
                audio.append(at)
    with av.open(str(path)) as container:
        if container.streams.video:
            decoded = sum(1 for _ in container.decode(video=0))
        else:
            decoded = sum(1 for _ in container.decode(audio=0))
    return video, audio, decoded


def decoded_widths(path: Path) -> list[int]:
    """The width of each picture in a file."""
    with av.open(str(path)) as container:
        # The decoder's own frames: a picture of another size is not scaled to the first one's.
        return [frame.width for frame in container.decode(video=0)]


def decoded_pictures(source: Path | tuple[bytes, ...], encoding: str = "") -> list[str]:
    """A digest of each decoded picture, of a file or of coded frames themselves."""
    if isinstance(source, Path):
        with av.open(str(source)) as container:
            return [_digest(frame) for frame in container.decode(video=0)]
    decoder: Any = av.CodecContext.create({"av1": "libdav1d"}.get(encoding, encoding), "r")
    packets: list[Any] = [*map(Packet, source), None]
    return [_digest(frame) for packet in packets for frame in decoder.decode(packet)]


def _digest(frame: VideoFrame) -> str:
    digest = hashlib.sha256()
    for plane in frame.planes:
        # What a line has beyond the picture is not of the picture.
        data, line = bytes(plane), plane.line_size
        for row in range(plane.height):
            digest.update(data[row * line : row * line + plane.width])
    return digest.hexdigest()


def ascending(times: list[float]) -> bool:
    """Whether each is later than the one before."""
    return all(later > earlier for earlier, later in itertools.pairwise(times))
