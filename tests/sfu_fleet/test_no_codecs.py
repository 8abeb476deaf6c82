"""Forwarding is not transcoding: no codec object is ever made in a worker."""

import inspect
from collections.abc import Callable
from pathlib import Path

import aiortc.codecs
import av
import pytest
from aiortc.codecs import g711, g722, h264, opus, vpx

from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.writer import Limits
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, send_video, view


class CodecMadeError(AssertionError):
    """Somebody made a codec."""


def refuse(*_arguments: object, **_named: object) -> None:
    raise CodecMadeError


@pytest.fixture
def no_codecs(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make every way to a codec raise: aiortc's coder classes and factories, and PyAV's contexts."""
    patched = 0
    for module in (g711, g722, h264, opus, vpx):
        for _, member in inspect.getmembers(module, inspect.isclass):
            if member.__module__ == module.__name__ and member.__name__.endswith(("Encoder", "Decoder")):
                monkeypatch.setattr(member, "__init__", refuse)
                patched += 1
    for name in ("get_decoder", "get_encoder"):
        monkeypatch.setattr(aiortc.codecs, name, refuse)
    # PyAV's own types are immutable: what is replaced is every name under which a context or container is made.
    for owner, name in ((av, "open"), (av, "CodecContext"), (av, "Codec"), (av, "AudioResampler")):
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(av.codec, "CodecContext", refuse)
    monkeypatch.setattr(av.codec.context, "CodecContext", refuse)
    return patched


async def test_no_codec_is_made_for_a_recording(
    no_codecs: int, worker: SfuWorker, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    assert no_codecs >= 8
    worker.recordings._folder = RecordingFolder(tmp_path)
    source = peers()
    session = await publish(worker.rooms, source)
    keyframe = b"\x10" + bytes(3) + b"\x9d\x01\x2a\x40\x01\xb4\x00" + bytes(20)
    send_video(source, 1, 1, keyframe)
    await eventually(lambda: worker.rooms.infos()[0].live, "live")
    await worker.recordings.start(worker.rooms.publisher_of("room"), None, Limits())
    send_video(source, 2, 1, keyframe)
    send_video(source, 3, 30)
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.rooms.infos()[0].packets_in == 33, "all packets")
    worker.rooms.hang_up(session)
    await eventually(lambda: not worker.recordings._active, "the file is finished")
    (known,) = await worker.recordings.of_room("room")
    assert (known.state, known.dropped_frames) == ("ready", 0)
    assert known.bytes > 1_000


async def test_no_codec_is_made_from_publishing_to_viewing(
    no_codecs: int, worker: SfuWorker, peers: Callable[[], Peer]
) -> None:
    assert no_codecs >= 8
    with pytest.raises(CodecMadeError):
        vpx.Vp8Decoder()
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    await view(worker.rooms, viewer)
    send_video(source, 1, 1, VP8_KEYFRAME)
    send_video(source, 2, 30)
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: len(viewer.rtp) == 32, "all packets")
    assert worker.metrics.registry.get_sample_value("sfu_loop_errors_total") == 0
    assert "internal_error" not in worker.metrics.drops
