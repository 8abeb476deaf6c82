"""What is published: packets in the sizes that a real encoder makes them, VP8 and Opus by their headers."""

import asyncio
import os
import struct
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
import msgspec

from tests.sfu_fleet.peer import AUDIO_SSRC, Peer, rtp_packet

FRAME_RATE: Final = 30
# As Chromium cuts video for an Ethernet path.
_PAYLOAD: Final = 1_150
_AUDIO_PAYLOAD: Final = 160
_RTP_HEADER: Final = 12
_MARK: Final = struct.Struct("!4sQ")
_MAGIC: Final = b"hdrc"
# Descriptor and the start of a frame (RFC 7741, sections 4.2 and 4.3): a keyframe, another frame, a continuation.
_KEY: Final = b"\x10\x00\x9d\x01\x2a"
_DELTA: Final = b"\x10\x01\x00\x00\x00"
_MORE: Final = b"\x00\x00\x00\x00\x00"


AUDIO_PER_SECOND: Final = 50
AUDIO_PACKET: Final = _RTP_HEADER + _MARK.size + _AUDIO_PAYLOAD
"""Size of an audio packet in bytes."""


class Frames(msgspec.Struct, frozen=True):
    """Sizes of encoded frames in bytes, in order, each with whether it is a keyframe; and where they are from.

    With no frames it is audio alone.
    """

    sizes: tuple[tuple[int, bool], ...]
    origin: str
    audio: bool = True

    @property
    def rate(self) -> int:
        """How often a second something is sent."""
        return FRAME_RATE if self.sizes else AUDIO_PER_SECOND

    @property
    def packets_per_second(self) -> float:
        """Video packets per second."""
        return sum(count for count, _ in self.trains()) / max(1, len(self.sizes)) * FRAME_RATE

    @property
    def packets_per_viewer(self) -> float:
        """Packets of video and audio per second."""
        return self.packets_per_second + AUDIO_PER_SECOND * self.audio

    def trains(self) -> Iterator[tuple[int, int]]:
        """Of each frame in turn, how many packets it takes and the size of the largest in bytes."""
        for size, _ in self.sizes:
            parts = list(split(size))
            yield len(parts), _RTP_HEADER + max(parts)

    @staticmethod
    def audio_packets(number: int) -> int:
        """How many audio packets come until the next frame: five to three frames."""
        return 2 if number % 3 else 1

    def schedule(self, seconds: float) -> list[tuple[float, bool]]:
        """When something is sent, in seconds from the start, and whether it is a frame; audio has its own clock."""
        frames = [(step / FRAME_RATE, True) for step in range(round(seconds * FRAME_RATE)) if self.sizes]
        audio = [((step + 0.5) / AUDIO_PER_SECOND, False) for step in range(round(seconds * AUDIO_PER_SECOND))]
        return sorted(frames + (audio if self.audio else []))


AUDIO_ALONE: Final = Frames((), f"{AUDIO_PER_SECOND} packets/s of {AUDIO_PACKET} bytes, as of Opus")


def record(bit_rate: int, seconds: int = 6, *, audio: bool = True) -> Frames:
    """Encode a moving test picture in real time's settings and keep the sizes."""
    found: list[tuple[int, bool]] = []
    with av.open(f"testsrc2=size=1280x720:rate={FRAME_RATE},noise=alls=20:allf=t", format="lavfi") as source:
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
        encoder.framerate = Fraction(FRAME_RATE)
        encoder.bit_rate = bit_rate
        encoder.gop_size = 2 * FRAME_RATE
        kilobits = bit_rate // 1000
        encoder.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"scenecut=0:vbv-maxrate={kilobits}:vbv-bufsize={kilobits // 2}",
        }
        for number, frame in enumerate(source.decode(video=0)):
            if number >= seconds * FRAME_RATE:
                break
            frame.pict_type = 0
            found += [(packet.size, packet.is_keyframe) for packet in encoder.encode(frame.reformat(format="yuv420p"))]
    return Frames(tuple(found), f"libx264, 720p at {FRAME_RATE} frames/s, {bit_rate // 1000} kbit/s", audio)


class Publisher:
    """Sends frames on time, beginning with that one of the stream; `packets` counts what was sent."""

    def __init__(self, peer: Peer, first: int = 0) -> None:
        self._peer = peer
        self._sequence = 1
        self._audio_sequence = 1
        self._number = first
        self.packets = 0

    async def run(self, frames: Frames, seconds: float, *, offset_s: float = 0.0) -> int:
        """Send for so long, each frame so much later than a run without offset; how many packets that were."""
        before = self.packets
        began = time.perf_counter() + offset_s
        for place, (at, is_frame) in enumerate(frames.schedule(seconds)):
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            if is_frame:
                # A keyframe first: whoever has just joined begins with it.
                self._send_frame(frames, force_keyframe=place == 0)
            else:
                self._send_audio()
        return self.packets - before

    def _send_frame(self, frames: Frames, *, force_keyframe: bool) -> None:
        size, keyframe = frames.sizes[self._number % len(frames.sizes)]
        keyframe = keyframe or force_keyframe
        self._number += 1
        parts = list(split(size))
        for index, part in enumerate(parts):
            prefix = (_KEY if keyframe else _DELTA) if index == 0 else _MORE
            mark = _MARK.pack(_MAGIC, time.time_ns())
            payload = prefix + mark + os.urandom(max(0, part - len(prefix) - len(mark)))
            last = index == len(parts) - 1
            self._send(rtp_packet(self._sequence, timestamp=self._number * 3000, payload=payload, marker=last))
            self._sequence += 1

    def _send_audio(self) -> None:
        self._audio_sequence += 1
        payload = _MARK.pack(_MAGIC, time.time_ns()) + bytes(_AUDIO_PAYLOAD)
        packet = rtp_packet(
            self._audio_sequence,
            timestamp=self._audio_sequence * 960,
            payload_type=111,
            ssrc=AUDIO_SSRC,
            payload=payload,
            marker=False,
        )
        self._send(packet)

    def _send(self, packet: bytes) -> None:
        self._peer.send_rtp(packet)
        self.packets += 1


def sent_at(packet: bytes) -> int | None:
    """When a decrypted packet was sent, in ns of the real-time clock."""
    at = packet.find(_MAGIC, 12, 80)
    return _MARK.unpack_from(packet, at)[1] if at >= 0 else None


def split(size: int) -> Iterator[int]:
    """Payload sizes of a frame's packets: equal parts, as Chromium makes them, so that they can go as one train."""
    count = max(1, -(-size // _PAYLOAD))
    yield from (size // count + (1 if index < size % count else 0) for index in range(count))
