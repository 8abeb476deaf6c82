"""Temporal layers: read from descriptors, left out without a hole, and gone to and left without a jump."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import picture_ids, rtp, temporal
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.temporal import Frame, Thinning
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import Peer, rtp_packet
from tests.sfu_fleet.scenes import publish

MakePeer = Callable[[], Peer]

# Three layers, as libvpx makes them: a quarter of the frames, another quarter, and half.
PATTERN = (0, 2, 1, 2)


def vp8(index: int, *, first: bool = True, keyframe: bool = False, wide: bool = True) -> bytes:
    """The payload of a packet of frame number `index` (RFC 7741, section 4.2), which ends with that number."""
    layer = PATTERN[index % 4]
    picture = (0x8000 | (32_760 + index) & 0x7FFF).to_bytes(2, "big") if wide else bytes(((120 + index) & 0x7F,))
    base = 250 + index // 4 & 0xFF
    synchronised = 0x20 if index % 16 < 4 else 0
    head = bytes((0x90 if first else 0x80, 0xE0)) + picture + bytes((base, layer << 6 | synchronised))
    return head + (b"\x00\x9d\x01\x2a" if keyframe else b"\x01") + index.to_bytes(4, "big")


def packet(number: int, payload: bytes) -> RtpPacket:
    return rtp.parse(rtp_packet(number, timestamp=3_000 * number, payload=payload))


def test_the_layer_of_a_frame_is_told_by_the_descriptors_of_vp8_and_vp9() -> None:
    assert temporal.read("vp8", packet(1, vp8(1))) == Frame(2, begins=True, up=True)
    assert temporal.read("vp8", packet(1, vp8(1, first=False, wide=False))) == Frame(2, begins=False, up=True)
    assert temporal.read("vp8", packet(1, vp8(18))) == Frame(1, begins=True, up=True)
    assert temporal.read("vp8", packet(1, vp8(20))) == Frame(0, begins=True, up=False)
    # RFC 9628, section 4.2: I, L and B; a picture id of 15 bits; layer 2, U, spatial layer 0; TL0PICIDX.
    assert temporal.read("vp9", packet(1, b"\xa8\x81\x00\x50\x07")) == Frame(2, begins=True, up=True)
    assert temporal.read("vp9", packet(1, b"\xa8\x01\x42\x07")) == Frame(2, begins=False, up=False)
    for encoding, payload in (
        ("vp8", b""),
        ("vp8", b"\x10\x00"),
        ("vp8", b"\x90\xe0\x80"),
        ("vp9", b"\xa8"),
        ("av1", b"\x10"),
    ):
        assert temporal.read(encoding, packet(1, payload)) is None


@given(st.integers(0, 2**32), st.booleans())
def test_what_is_left_has_no_holes_and_no_number_twice_whatever_is_lost_or_late(seed: int, wide: bool) -> None:
    rng = random.Random(seed)
    sent = [(index, part) for index in range(120) for part in range(rng.randrange(1, 4))]
    arrivals = [(number + rng.choice((0, 0, 0, 0, 0, 4)), number) for number in range(len(sent)) if rng.random() > 0.02]
    thinning = Thinning("vp8", 90_000)
    thinning.highest = 2
    out: dict[int, RtpPacket] = {}
    seen = set()
    for _, number in sorted(arrivals):
        index, part = sent[number]
        packed = packet(number, vp8(index, first=part == 0, wide=wide))
        seen.add(number)
        placed = thinning.place(packed, temporal.read("vp8", packed), 70_000 + number, 3_000 * index, 0.0)
        if placed is not None:
            assert placed.sequence not in out
            out[placed.sequence] = placed.packet
    kept = {number for number in seen if PATTERN[sent[number][0] % 4] < 2}
    with_payload = [out[place] for place in sorted(out) if out[place].payload]
    assert [int.from_bytes(p.payload[-4:], "big") for p in with_payload] == [sent[number][0] for number in sorted(kept)]
    # A hole is where a packet was lost that was not seen, and nowhere else.
    holes = max(out) - min(out) + 1 - len(out)
    assert holes <= len(sent) - len(seen)


def test_without_loss_numbers_and_pictures_are_consecutive() -> None:
    thinning = Thinning("vp8", 90_000)
    thinning.highest = 2
    placed = []
    for index in range(200):
        packed = packet(index, vp8(index))
        placed.append(thinning.place(packed, temporal.read("vp8", packed), 70_000 + index, 3_000 * index, 0.0))
    left = [place for place in placed if place is not None]
    assert len(left) == 100
    assert [place.sequence for place in left] == list(range(70_000, 70_100))
    marks = [picture_ids.read("vp8", place.packet) for place in left]
    assert [mark.picture for mark in marks] == [(32_760 + index) & 0x7FFF for index in range(100)]
    assert [mark.base for mark in marks] == [(250 + index // 2) & 0xFF for index in range(100)]


async def test_a_viewer_goes_to_half_the_frames_and_back_and_sees_no_jump(worker: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    subscriber._adapt = lambda observed: None  # type: ignore[method-assign] # noqa: ARG005 - its signature
    leg = next(leg for leg in subscriber.legs if leg.uplink.kind == "video")
    layer = leg.uplink.layers[0]
    leg.switch.to(layer)
    thinning = layer.thinning
    assert thinning is not None
    sent = 0

    async def frames(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            source.send_rtp(rtp_packet(65_400 + sent, timestamp=3_000 * sent, payload=vp8(sent, keyframe=sent == 0)))
            sent += 1
            await asyncio.sleep(0.001)
        await eventually(lambda: layer.track.highest - layer.track.keyframe + 1 == sent, "arrived")

    await frames(20)
    for _ in range(3):
        leg.switch.to(layer, thin=True)
        await frames(40)
        assert (leg.switch.thinned, thinning.viewers) == (True, 1)
        leg.switch.to(layer)
        await frames(40)
        assert (leg.switch.thinned, thinning.viewers) == (False, 0)
    # Asked for again, and thought better of before a frame came.
    leg.switch.to(layer, thin=True)
    leg.switch.to(layer)
    await frames(8)
    expected = 20 + 3 * 80 + 8
    assert sent == expected
    await eventually(lambda: int.from_bytes(viewer.video()[-1].payload[-4:], "big") == sent - 1, "the last frame")
    video = viewer.video()
    shown = [int.from_bytes(packet.payload[-4:], "big") for packet in video]
    assert shown == sorted(set(shown))
    numbers = [packet.sequence_number for packet in video]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(len(video))]
    marks = [picture_ids.read("vp8", rtp.parse(data)) for data in viewer.rtp]
    assert [mark.picture for mark in marks] == [(marks[0].picture + index) & 0x7FFF for index in range(len(marks))]
    assert [mark.base for mark in marks] == [250 + index // 4 & 0xFF for index in shown]
    steps = {(packet.timestamp - video[0].timestamp) & 0xFFFFFFFF for packet in video}
    assert steps == {3_000 * (index - shown[0]) for index in shown}
    # In each of the three rounds what is missing is of the highest layer, and half of what was sent.
    missing = set(range(sent)) - set(shown)
    assert {PATTERN[index % 4] for index in missing} == {2}
    assert 3 * 15 <= len(missing) <= 3 * 28
    # What comes first after each return allowed it.
    returns = [index for index in shown if index - 1 in shown and PATTERN[index % 4] == 2 and index - 2 in missing]
    assert all(vp8(index)[5] & 0x20 for index in returns)


@pytest.mark.parametrize("thin", [False, True])
async def test_a_viewer_who_leaves_takes_nothing_along(worker: SfuWorker, peers: MakePeer, *, thin: bool) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    leg = next(leg for leg in subscriber.legs if leg.uplink.kind == "video")
    layer = leg.uplink.layers[0]
    for index in range(8):
        source.send_rtp(rtp_packet(index, timestamp=3_000 * index, payload=vp8(index, keyframe=index == 0)))
    await eventually(lambda: len(viewer.video()) == 8, "frames")
    leg.switch.to(layer, thin=True)
    if thin:
        for index in range(8, 16):
            source.send_rtp(rtp_packet(index, timestamp=3_000 * index, payload=vp8(index)))
        await eventually(lambda: leg.switch.thinned, "half the frames")
    worker.rooms.hang_up(subscriber.id)
    assert layer.thinning is not None
    assert layer.thinning.viewers == 0
    assert not layer.frame_listeners
