"""The demo's clip and its loop: what is published never stops, jumps or reorders. Real FFmpeg, a made-up film."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest

from shared.stack import certificate, footage
from shared.stack.encoder import Clip


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a changing picture and a tone, prepared as the demo's film is."""
    folder = tmp_path_factory.mktemp("footage")
    with av.open(str(folder / "film.mp4"), "w") as film:
        video = film.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio = film.add_stream("aac", rate=44_100)
        audio.layout = "stereo"
        for number in range(50):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 5 % 256]) * plane.buffer_size)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        for number in range(90):
            sound = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for channel in sound.planes:
                channel.update(bytes(channel.buffer_size))
            sound.sample_rate, sound.pts = 44_100, number * 1024
            film.mux(audio.encode(sound))
        film.mux(audio.encode(None))
    footage.prepare(folder / "film.mp4", folder / "clip.mkv")
    return folder / "clip.mkv"


def test_the_prepared_clip_is_what_webrtc_takes(clip_path: Path) -> None:
    with av.open(str(clip_path)) as media:
        video, audio = media.streams.video[0], media.streams.audio[0]
        assert (video.codec_context.name, video.profile) == ("h264", "Constrained Baseline")
        assert (audio.codec_context.name, audio.rate, audio.layout.name) == ("opus", 48_000, "stereo")
        keyframes = [packet.pts for packet in media.demux(video) if packet.pts is not None and packet.is_keyframe]
        assert [float(pts * video.time_base) for pts in keyframes if video.time_base] == [0.0, 1.0]


def test_the_loop_has_no_seam(clip_path: Path) -> None:
    clip = Clip.read(clip_path)
    assert clip.duration == 2
    rounds = list(itertools.islice(clip.forever(), 3 * len(clip.samples)))
    assert [at for at, _ in rounds] == sorted(at for at, _ in rounds)
    frames = [at for at, sample in rounds if sample.video]
    assert len(frames) == 150
    assert {b - a for a, b in itertools.pairwise(frames)} == {Fraction(1, 25)}
    sound = [at for at, sample in rounds if not sample.video]
    assert len(sound) == 300
    assert max(b - a for a, b in itertools.pairwise(sound)) < Fraction(1, 25)


def test_the_encoders_key_is_for_its_user_only_and_made_once(tmp_path: Path) -> None:
    paths = certificate.ensure(tmp_path / "encoder")
    first = [path.read_bytes() for path in paths]
    assert paths[1].stat().st_mode & 0o777 == 0o600
    assert [path.read_bytes() for path in certificate.ensure(tmp_path / "encoder")] == first
