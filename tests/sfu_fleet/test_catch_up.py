"""A fast first picture from publishers who ignore keyframe requests: begun in the past, and caught up with."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import rtp
from sfu_fleet.catch_up import MAX_AGE_S, haste_of
from sfu_fleet.forwarder import RESENDABLE, Track
from sfu_fleet.haste import Haste
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, send_video, view

MakePeer = Callable[[], Peer]


def filled(frames: int, *, size: int = 1_000, missing: frozenset[int] = frozenset(), start: int = 70_000) -> Track:
    """A track whose latest keyframe is so many frames of a thirtieth of a second old; one packet is one frame."""
    track = Track(starts_at_keyframe=True, encoding="vp8")
    for index in set(range(frames)) - missing:
        packet = rtp.parse(rtp_packet(start + index, payload=bytes(size)))
        track.remember(start + index, (2**32 - 9_000 + 3_000 * index) % 2**32, packet, keyframe=index == 0)
    return track


def test_who_cannot_wait_catches_up_as_fast_as_the_way_allows() -> None:
    track = filled(150)
    rate = 150 * 1_012 * 8 / 5
    haste = haste_of(track, None)
    assert haste is not None
    assert haste.speed == 8
    # Five seconds, at eight times the pace: after five sevenths of a second it is where the others are.
    assert abs(haste.due(haste.until - 1) - 149 / 30 / 7) < 0.001
    slower = haste_of(track, round(3.5 * rate))
    assert slower is not None
    assert slower.speed == 3


def test_there_are_pasts_that_are_not_begun_with() -> None:
    assert haste_of(Track(starts_at_keyframe=True), None) is None, "nothing has come"
    assert haste_of(filled(90), round(90 * 1_012 * 8 / 3 * 1.5)) is None, "the way is hardly wider than the stream"
    assert haste_of(filled(90, missing=frozenset((50,))), None) is None, "what is lost cannot be decoded past"
    assert haste_of(filled(round(31 * MAX_AGE_S), size=10), None) is None, "too old"
    assert haste_of(filled(300, size=40_000), 10**9) is None, "too many bytes"


def test_what_is_older_than_the_keyframe_before_the_last_is_forgotten() -> None:
    track = filled(3 * RESENDABLE)
    for index in range(3 * RESENDABLE, 5 * RESENDABLE):
        packet = rtp.parse(rtp_packet(70_000 + index))
        track.remember(70_000 + index, 3_000 * index, packet, keyframe=index % 100 == 0)
    known = sum(entry is not None for entry in track.history)
    assert track.remembered(track.keep) is not None
    assert known < 4 * RESENDABLE
    first = track.remembered(track.keyframe)
    assert first is not None
    # A second beginning in one frame: parameter sets are sent before the picture.
    track.remember(track.highest + 1, first[1], first[2], keyframe=True)
    assert track.remembered(track.keyframe) == first


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**6), st.integers(2, 8), st.lists(st.integers(0, 3 * 10**6)))
def test_drawn_timestamps_keep_their_order_and_end_where_time_does(
    since: int, age: int, speed: int, steps: list[int]
) -> None:
    haste = Haste(since, (since + age + age // (speed - 1)) % 2**32, speed)
    drawn = [(haste.drawn((since + step) % 2**32) - haste.drawn(since)) % 2**32 for step in sorted(steps)]
    assert drawn == sorted(drawn)
    assert haste.drawn(haste.until) == haste.until
    # The first picture is given the time at which it is sent, or a tick or two beside it.
    assert abs((haste.drawn(since) - since - age + 2**31) % 2**32 - 2**31) <= 2
    assert haste.due(haste.until) == 0


async def test_a_viewer_of_a_publisher_who_ignores_requests_begins_at_the_latest_keyframe(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source, viewer, second = peers(), peers(), peers()
    session = await publish(worker.rooms, source)
    send_video(source, 65_500, 1, VP8_KEYFRAME)
    send_video(source, 65_501, 59)
    await view(worker.rooms, viewer)
    await eventually(lambda: len(viewer.video()) == 60, "everything since the keyframe")
    send_video(source, 65_560, 10)
    await eventually(lambda: len(viewer.video()) == 70, "and what comes now")
    seen = viewer.video()
    assert [packet.payload[-1] for packet in seen] == [(65_500 + index) & 0xFF for index in range(70)]
    numbers = [packet.sequence_number for packet in seen]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(70)]
    steps = [(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in pairwise(seen)]
    assert {step // 375 for step in steps[:58]} <= {0, 1}, "an eighth of the time"
    assert sum(steps) < 30 * 3_000
    # Now it is known: the next one waits for nothing.
    publisher = next(info for info in worker.rooms.infos() if info.session == session)
    assert publisher.keyframe_requests >= 2
    await view(worker.rooms, second)
    await eventually(lambda: len(second.video()) == 70, "everything since the keyframe again")


async def test_a_viewer_of_a_publisher_who_answers_waits_for_the_answer(worker: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    send_video(source, 1, 1, VP8_KEYFRAME)
    send_video(source, 2, 20)
    await view(worker.rooms, viewer)
    send_video(source, 22, 1, VP8_KEYFRAME)
    send_video(source, 23, 2)
    await eventually(lambda: len(viewer.video()) == 3, "from the new keyframe on")
    await asyncio.sleep(0.6)
    assert [packet.payload[-1] for packet in viewer.video()] == [22, 23, 24]


async def test_what_was_lost_while_catching_up_is_sent_again_as_it_was(worker: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    send_video(source, 1, 1, VP8_KEYFRAME)
    send_video(source, 2, 59)
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp, rtx=True))
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: len(viewer.video()) == 60, "everything since the keyframe")
    leg = next(leg for leg in subscriber.legs if leg.uplink.kind == "video")
    wanted = viewer.video()[20]
    worker_plane = subscriber._plane
    worker_plane.resend(leg.uplink.layers[0].track, leg.down, [wanted.sequence_number], 1.0)
    await eventually(lambda: len(viewer.video()) == 61, "one packet again")
    again = viewer.video()[60]
    assert (again.timestamp, again.payload[2:]) == (wanted.timestamp, wanted.payload)
    send_video(source, 61, 1, VP8_DELTA)
    await eventually(lambda: len(viewer.video()) == 62, "and on")
