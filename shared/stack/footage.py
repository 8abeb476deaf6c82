"""Real footage for the demo: fetched once as a wheel, encoded once into what WebRTC takes, then only ever copied.

Run as a program (`python -m shared.stack.footage SOURCE TARGET`), since encoding keeps a process busy.
"""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.audio import AudioStream
from av.audio.resampler import AudioResampler
from av.container import InputContainer

FRAME_RATE: Final = 25
SAMPLE_RATE: Final = 48_000
_OPUS_FRAME: Final = 960  # samples in 20 ms, libopus' own packet length
_VIDEO_BIT_RATE: Final = 2_000_000
_AUDIO_BIT_RATE: Final = 96_000


def prepare(source: Path, target: Path) -> None:
    """Encode the source as H.264 constrained baseline (no B-frames, a keyframe each second) and 48 kHz stereo Opus.

    The result can be played in a loop without a seam: it is cut to whole Opus packets that last exactly as long as the
    video frames do.
    """
    temporary = target.with_suffix(".new.mkv")
    with av.open(str(source)) as media, av.open(str(temporary), "w", format="matroska") as output:
        picture = media.streams.video[0]
        video = output.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
        video.bit_rate = _VIDEO_BIT_RATE
        video.codec_context.gop_size = FRAME_RATE
        video.codec_context.max_b_frames = 0
        # No scene-cut keyframes and a bounded buffer: a burst is what a viewer's jitter buffer pays for.
        video.options = {
            "profile": "baseline",
            "preset": "medium",
            "tune": "zerolatency",
            "x264-params": "scenecut=0:keyint=25:min-keyint=25:bframes=0:vbv-maxrate=2500:vbv-bufsize=1250",
        }
        audio = output.add_stream("libopus", rate=SAMPLE_RATE)
        audio.layout = "stereo"
        audio.bit_rate = _AUDIO_BIT_RATE

        frames = 0
        for frame in media.decode(picture):
            frame.pts, frame.time_base = frames, Fraction(1, FRAME_RATE)
            frame.pict_type = 0
            output.mux(video.encode(frame))
            frames += 1
        output.mux(video.encode(None))

        wanted = frames * SAMPLE_RATE // FRAME_RATE // _OPUS_FRAME
        media.seek(0)
        for number, packet in enumerate(_opus_packets(media, audio)):
            if number == wanted:
                break
            output.mux(packet)
    temporary.replace(target)


def _opus_packets(media: InputContainer, audio: AudioStream) -> Iterator["av.Packet[AudioStream]"]:
    resampler = AudioResampler(format="s16", layout="stereo", rate=SAMPLE_RATE, frame_size=_OPUS_FRAME)
    for decoded in media.decode(media.streams.audio[0]):
        for frame in resampler.resample(decoded):
            yield from audio.encode(frame)
    yield from audio.encode(None)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
