"""Video and sound that a browser can play and of which every frame says its number and when it was sent.

The mark is a message for the decoder that decoders ignore: user data, unregistered (Rec. ITU-T H.264, section D.1.7).
"""

from fractions import Fraction
from typing import Final

import av
import msgspec

FRAME_RATE: Final = 30
KEYFRAME_EVERY: Final = 2 * FRAME_RATE
OPUS_PER_SECOND: Final = 50
_SECONDS: Final = 6
# As Chromium cuts video for an Ethernet path.
_LARGEST: Final = 1_150
_SIZE: Final = (1280, 720)
_AUDIO_BIT_RATE: Final = 64_000
# The identifier of the message, 16 bytes; C looks for it. No byte of a mark is 0, so that nothing has to be escaped
# (Rec. ITU-T H.264, section 7.4.1.1).
_MAGIC: Final = b"headrace/frame/1"
_SEI, _SPS, _PPS, _STAP_A, _FU_A = 6, 7, 8, 24, 28
_USER_DATA_UNREGISTERED: Final = 5


class Picture(msgspec.Struct, frozen=True):
    """An encoded frame: parameter sets (only a keyframe has them) and payloads as RTP takes them, but for its mark."""

    keyframe: bool
    parameters: tuple[bytes, ...]
    payloads: tuple[bytes, ...]

    def marked(self, number: int, sent_ns: int) -> list[bytes]:
        """All payloads, the mark in the first (RFC 6184, sections 5.6 and 5.7.1)."""
        return [_first(self.parameters, mark(number, sent_ns, keyframe=self.keyframe)), *self.payloads]


class Footage(msgspec.Struct, frozen=True):
    """A clip that can be played in a loop: frames, and Opus packets of 20 ms."""

    pictures: tuple[Picture, ...]
    sounds: tuple[bytes, ...]

    @property
    def kbps(self) -> float:
        """Kbit/s of RTP payload, video and sound."""
        video = sum(len(part) for picture in self.pictures for part in picture.marked(0, 0)) / len(self.pictures)
        sound = sum(map(len, self.sounds)) / len(self.sounds)
        return (video * FRAME_RATE + sound * OPUS_PER_SECOND) * 8 / 1000

    @property
    def packets_per_second(self) -> float:
        """RTP packets per second, video and sound."""
        return sum(len(picture.payloads) + 1 for picture in self.pictures) / len(self.pictures) * FRAME_RATE + (
            OPUS_PER_SECOND
        )


def mark(number: int, sent_ns: int, *, keyframe: bool) -> bytes:
    """The message (NAL unit) that says a frame's number and when it was sent, ns of the real-time clock."""
    body = _MAGIC + f"{'K' if keyframe else 'D'}{number & 0xFFFFFFFF:08x}{sent_ns:016x}".encode()
    # Header, type and size of the message, the bit behind it (section 7.3.2.3).
    return bytes((_SEI, _USER_DATA_UNREGISTERED, len(body))) + body + b"\x80"


def make(bit_rate: int) -> Footage:
    """Encode a moving test picture at so many bit/s, in constrained baseline, which every browser plays; and a tone."""
    return Footage(tuple(_pictures(bit_rate)), tuple(_sounds()))


def _pictures(bit_rate: int) -> list[Picture]:
    width, height = _SIZE
    found: list[Picture] = []
    source_name = f"testsrc2=size={width}x{height}:rate={FRAME_RATE},noise=alls=20:allf=t"
    with av.open(source_name, format="lavfi") as source:
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.framerate, encoder.time_base = Fraction(FRAME_RATE), Fraction(1, FRAME_RATE)
        encoder.bit_rate, encoder.gop_size, encoder.max_b_frames = bit_rate, KEYFRAME_EVERY, 0
        kilobits = bit_rate // 1000
        encoder.options = {
            "profile": "baseline",
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"scenecut=0:keyint={KEYFRAME_EVERY}:min-keyint={KEYFRAME_EVERY}:bframes=0"
            f":sliced-threads=0:slices=1:vbv-maxrate={kilobits}:vbv-bufsize={kilobits // 2}",
        }
        for number, frame in enumerate(source.decode(video=0)):
            if number == _SECONDS * FRAME_RATE:
                break
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base, picture.pict_type = number, encoder.time_base, 0
            found += [_picture(bytes(packet)) for packet in encoder.encode(picture)]
        found += [_picture(bytes(packet)) for packet in encoder.encode(None)]
    return found


def _sounds() -> list[bytes]:
    with av.open(f"sine=frequency=440:sample_rate=48000:duration={_SECONDS}", format="lavfi") as source:
        encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
        encoder.bit_rate = _AUDIO_BIT_RATE
        encoder.options = {"vbr": "off"}
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=48_000, frame_size=960)
        return [
            bytes(packet)
            for decoded in source.decode(audio=0)
            for frame in resampler.resample(decoded)
            for packet in encoder.encode(frame)
        ]


def _picture(access_unit: bytes) -> Picture:
    """Cut a byte stream (Rec. ITU-T H.264, annex B) into payloads."""
    units = [unit.rstrip(b"\0") for unit in access_unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    parameters = tuple(unit for unit in units if unit[0] & 31 in {_SPS, _PPS})
    slices = [unit for unit in units if unit[0] & 31 in {1, 5}]
    payloads = tuple(payload for unit in slices for payload in _payloads(unit))
    return Picture(bool(parameters), parameters, payloads)


def _payloads(unit: bytes) -> list[bytes]:
    """A slice as one packet, or as fragments of about the same size (RFC 6184, section 5.8)."""
    if len(unit) <= _LARGEST:
        return [unit]
    indicator, kind, body = unit[0] & 0xE0 | _FU_A, unit[0] & 31, unit[1:]
    count = -(-len(body) // (_LARGEST - 2))
    sizes = [len(body) // count + (index < len(body) % count) for index in range(count)]
    found, at = [], 0
    for index, size in enumerate(sizes):
        flags = (0x80 if index == 0 else 0) | (0x40 if index == count - 1 else 0)
        found.append(bytes((indicator, flags | kind)) + body[at : at + size])
        at += size
    return found


def _first(parameters: tuple[bytes, ...], message: bytes) -> bytes:
    if not parameters:
        return message
    # Of the aggregated units the one that is most important gives its importance (section 5.7).
    units = (*parameters, message)
    importance = max(unit[0] & 0x60 for unit in units)
    return bytes((importance | _STAP_A,)) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
