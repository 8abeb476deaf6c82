"""Warnings about a publisher's stream: B-frames, keyframes that do not come when asked for, a clock that runs wrong."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import health
from sfu_fleet.health import StreamHealth, Trouble
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, send_video, view

MakePeer = Callable[[], Peer]


def report(seconds: float, ticks: int) -> SenderReport:
    return SenderReport(1, (3_900_000_000 << 32) + int(seconds * (1 << 32)), ticks % (1 << 32), 0, 0)


def test_time_that_goes_back_and_forth_is_b_frames() -> None:
    stream = StreamHealth(90_000)
    number = 0
    for group in range(3):
        # Decoding order I P B B: shown as I B B P.
        for place in (0, 3, 1, 2):
            number += 1
            stream.packet(number, group * 12_000 + place * 3_000)
    assert stream.warnings == {Trouble.B_FRAMES}


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 90_000), max_size=50))
def test_time_that_only_goes_on_is_no_b_frames_over_any_wrap(start: int, steps: list[int]) -> None:
    stream = StreamHealth(90_000)
    for number, step in enumerate(steps):
        start = (start + step) % 2**32
        stream.packet(number, start)
        stream.packet(number - 5, start - 9_000)
    assert stream.warnings == set()


def test_a_restarted_source_is_no_step_back() -> None:
    stream = StreamHealth(90_000)
    for _ in range(5):
        stream.packet(9, 1_000_000)
        stream.restarted()
        stream.packet(10, 5)
        stream.restarted()
    assert stream.warnings == set()


@pytest.mark.parametrize(("rate", "wrong"), [(90_000, False), (90_050, False), (90_400, True), (88_000, True)])
def test_a_media_clock_that_is_not_the_wall_clock_is_told(rate: int, wrong: bool) -> None:
    stream = StreamHealth(90_000)
    for second in range(0, 200, 5):
        stream.report(report(second, 4_294_900_000 + second * rate))
    assert stream.warnings == ({Trouble.CLOCK_DRIFT} if wrong else set())


async def test_the_control_api_shows_what_is_wrong(
    worker: SfuWorker, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEYFRAME_PATIENCE_S", 0.1)
    source, viewer = peers(), peers()
    session = await publish(worker.rooms, source)
    send_video(source, 1, 1, VP8_KEYFRAME)
    await view(worker.rooms, viewer)
    for number, place in enumerate((0, 3, 1, 2, 6, 4, 5, 9, 7, 8), 2):
        source.send_rtp(rtp_packet(number, timestamp=9_000 + place * 3_000, payload=VP8_DELTA))

    def warnings() -> list[str]:
        return next(info.warnings for info in worker.rooms.infos() if info.session == session)

    await eventually(lambda: warnings() == ["b_frames", "keyframes_late"], "both warnings")
