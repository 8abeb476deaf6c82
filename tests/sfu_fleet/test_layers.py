"""A simulcast over real sockets: layers arrive apart, and a viewer sees one stream, whichever layer it comes from."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from aiortc.rtp import (
    RTCP_PSFB_PLI,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)

from sfu_fleet import picture_ids, rtcp, rtp, transport_feedback
from sfu_fleet.adaptation import RAMP_S, Adaptation, Input
from sfu_fleet.errors import UnknownLayer
from sfu_fleet.publisher import Publisher
from sfu_fleet.rtp import pack_extensions
from sfu_fleet.subscriber import Subscriber
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import MID, STREAM_ID, TRANSPORT_CC, Peer, rtp_packet

MakePeer = Callable[[], Peer]

NAMES = ("q", "h", "f")
SSRCS = {"q": 0xA1, "h": 0xA2, "f": 0xA3}
NTP = 0xE0000000 << 32
FRAME_S = 1 / 30


class Encoder:
    """One layer as a browser sends it: numbers, timestamps and pictures of its own; one packet is one frame."""

    def __init__(self, peer: Peer, name: str, *, marked: bool = True) -> None:
        index = NAMES.index(name)
        self.peer = peer
        self.name = name
        self.marked = marked
        self.size = 40 * 4**index
        self.sequence = 65_000 + 11_000 * index
        self.clock = 0x7FFFFF00 * (index + 1)
        self.picture = 32_700 - 9_000 * index
        self.base = 100 * index
        self.frame = 0

    def send(self, *, keyframe: bool = False) -> None:
        """The next frame; all layers of a test advance together."""
        descriptor = b"\x90\xe0" + (0x8000 | self.picture & 0x7FFF).to_bytes(2, "big") + bytes((self.base & 0xFF, 0x20))
        start = b"\x00\x9d\x01\x2a" if keyframe else b"\x01"
        elements = {MID: b"1", STREAM_ID: self.name.encode()} if self.marked else {}
        packet = rtp_packet(
            self.sequence,
            timestamp=self.timestamp,
            ssrc=SSRCS[self.name],
            payload=descriptor + start + self.name.encode() * self.size,
            extension=pack_extensions(elements),
        )
        self.peer.send_rtp(packet)
        self.sequence += 1
        self.picture += 1
        self.base += 1
        self.frame += 1

    @property
    def timestamp(self) -> int:
        return (self.clock + self.frame * 3_000) & 0xFFFFFFFF

    def report(self) -> None:
        """A sender report: the wall clock of all layers is the same, their timestamps are not."""
        ntp = NTP + round(self.frame * FRAME_S * 2**32)
        self.peer.send_rtcp(RtcpSrPacket(SSRCS[self.name], RtcpSenderInfo(ntp, self.timestamp, self.frame, 0)))


class Scene:
    """A publisher of three layers and one viewer, connected."""

    def __init__(self, publisher: Publisher, subscriber: Subscriber, encoders: list[Encoder], viewer: Peer) -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self.encoders = {encoder.name: encoder for encoder in encoders}
        self.viewer = viewer

    async def frames(self, count: int, *, keyframe: str = "", of: tuple[str, ...] = NAMES) -> None:
        """Frames of the layers, the first of them a keyframe in those that are named."""
        for index in range(count):
            for name in of:
                self.encoders[name].send(keyframe=index == 0 and name in keyframe)
            await asyncio.sleep(0.005)

    def seen(self) -> list[str]:
        """Which layer each frame came from, in the order of the viewer's numbers."""
        return [chr(packet.payload[-1]) for packet in self.viewer.video()]


async def connect(worker: SfuWorker, peers: MakePeer) -> Scene:
    source, viewer = peers(), peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(rids=NAMES))
    await source.connect(publisher.agreement.sdp)
    encoders = [Encoder(source, name) for name in NAMES]
    for encoder in encoders:
        encoder.send(keyframe=True)
        encoder.report()
    await eventually(lambda: len(worker.metrics.drops) == 0 and publisher.packets == 3, "three layers")
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    return Scene(publisher, subscriber, encoders, viewer)


def requested(peer: Peer) -> set[int]:
    plis = [p for p in peer.feedback() if isinstance(p, RtcpPsfbPacket) and p.fmt == RTCP_PSFB_PLI]
    return {packet.media_ssrc for packet in plis}


async def test_each_layer_is_a_source_of_its_own(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    await scene.frames(5)
    info = scene.publisher.info()
    assert [(layer.name, layer.active) for layer in info.layers] == [("q", True), ("h", True), ("f", True)]
    costs = [layer.bitrate for layer in info.layers]
    assert costs == sorted(costs)
    assert worker.metrics.drops == {}


async def test_layers_by_sources_alone_need_no_marks(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    offer = source.publish_offer(group=tuple(SSRCS.values()))
    publisher = worker.rooms.publish("room", "streamer", "Streamer", offer)
    await source.connect(publisher.agreement.sdp)
    for name in NAMES:
        Encoder(source, name, marked=False).send(keyframe=True)
    source.send_rtp(rtp_packet(1, ssrc=0xBB, payload=b"\x10\x00"))
    await eventually(lambda: worker.metrics.drops == {"unknown_layer": 1}, "a source that nobody announced dropped")
    assert [layer.active for layer in publisher.info().layers] == [True, True, True]


async def test_a_viewer_goes_over_at_a_keyframe_and_sees_no_jump(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    await scene.frames(4, keyframe="qhf")
    order = []
    for name in ("f", "q", "h", "f"):
        scene.subscriber.choose(name)
        # A choice is the most that is given; what is to be given is then said to the switch itself.
        leg = next(leg for leg in scene.subscriber.legs if leg.uplink.kind == "video")
        leg.switch.to(leg.uplink.layers[NAMES.index(name)])
        before = scene.seen()[-1:]
        await scene.frames(2, keyframe="".join(set(NAMES) - {name}))
        await eventually(lambda b=before: scene.seen()[-1:] == b, "no switch at another layer's keyframe")  # type: ignore[misc]
        await scene.frames(3, keyframe=name)
        await eventually(lambda n=name: scene.seen()[-1] == n, "the switch")  # type: ignore[misc]
        order.append(name)
    video = scene.viewer.video()
    assert len({packet.ssrc for packet in video}) == 1
    numbers = [packet.sequence_number for packet in video]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(len(video))]
    marks = [picture_ids.read("vp8", rtp.parse(data)) for data in scene.viewer.rtp]
    assert [mark.picture for mark in marks] == [(marks[0].picture + index) & 0x7FFF for index in range(len(marks))]
    assert [mark.base for mark in marks] == [(marks[0].base + index) & 0xFF for index in range(len(marks))]
    # All layers show the same instants, so a step is a frame, or nearly none where the old layer showed it already.
    steps = [(after.timestamp - packet.timestamp) & 0xFFFFFFFF for packet, after in pairwise(video)]
    assert all(1 <= step <= 3_000 for step in steps)
    assert sum(step < 2_900 for step in steps) <= len(order)


async def test_only_the_layer_that_is_wanted_is_asked_for_a_keyframe(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    leg = next(leg for leg in scene.subscriber.legs if leg.uplink.kind == "video")
    await scene.frames(2, keyframe="qhf")
    source = scene.encoders["q"].peer
    source.rtcp.clear()
    leg.switch.to(leg.uplink.layers[0 if leg.switch.layer is not leg.uplink.layers[0] else 1])
    target = leg.switch.target
    assert target is not None
    await eventually(lambda: requested(source), "a keyframe request")
    assert requested(source) == {SSRCS[target.name]}


async def test_what_was_lost_before_a_switch_is_not_mixed_up_with_what_came_after(
    worker: SfuWorker, peers: MakePeer
) -> None:
    scene = await connect(worker, peers)
    leg = next(leg for leg in scene.subscriber.legs if leg.uplink.kind == "video")
    await scene.frames(5, keyframe="qhf")
    await eventually(lambda: len(scene.seen()) >= 5, "frames")
    other = leg.uplink.layers[0 if leg.switch.layer is not leg.uplink.layers[0] else 1]
    leg.switch.to(other)
    await scene.frames(3, keyframe=other.name)
    await eventually(lambda: scene.seen()[-2:] == [other.name] * 2, "the switch")
    video = scene.viewer.video()
    old = [packet for packet in video if chr(packet.payload[-1]) != other.name]
    nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=video[0].ssrc, lost=[old[-1].sequence_number])
    scene.viewer.send_rtcp(RtcpRrPacket(ssrc=1), nack)
    await eventually(lambda: worker.metrics.drops == {"nack_unknown": 1}, "an answer that there is none")
    nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=video[0].ssrc, lost=[video[-1].sequence_number])
    scene.viewer.send_rtcp(RtcpRrPacket(ssrc=1), nack)
    await eventually(lambda: worker.metrics.traffic.packets_resent == 1, "the packet of the new layer again")


async def test_a_viewer_who_wants_sound_alone_goes_on_later_without_a_jump(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    await scene.frames(3, keyframe="qhf")
    await eventually(lambda: len(scene.seen()) == 3, "frames")
    scene.subscriber.choose(None, paused=True)
    await scene.frames(5, keyframe="qhf")
    scene.subscriber.choose(None)
    await scene.frames(3, keyframe="qhf")
    await eventually(lambda: len(scene.seen()) == 6, "frames after the pause")
    video = scene.viewer.video()
    numbers = [packet.sequence_number for packet in video]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(6)]
    assert (video[3].timestamp - video[2].timestamp) & 0xFFFFFFFF == 6 * 3_000


async def test_an_unknown_layer_cannot_be_chosen(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    with pytest.raises(UnknownLayer, match="q, h, f"):
        scene.subscriber.choose("x")


async def test_a_falling_estimate_takes_a_viewer_down_and_the_snapshot_says_why(
    worker: SfuWorker, peers: MakePeer
) -> None:
    scene = await connect(worker, peers)
    trace: list[Input] = []
    feed = scene.subscriber.adaptation.feed
    # What was fed before the recording began is in the decisions that are there already.
    known = len(scene.subscriber.decisions)
    scene.subscriber.adaptation = Adaptation()
    feed = scene.subscriber.adaptation.feed

    def record(observed: Input) -> object:
        trace.append(observed)
        return feed(observed)

    scene.subscriber.adaptation.feed = record  # type: ignore[method-assign,assignment]
    await scene.frames(20, keyframe="qhf")
    await eventually(scene.seen, "frames")
    ssrc = scene.viewer.video()[0].ssrc

    async def estimate(bitrate: int, until: Callable[[], bool]) -> None:
        while not until():
            scene.viewer.send_rtcp(rtcp.pack_receiver_report(1, ()) + rtcp.pack_remb(1, bitrate, [ssrc]))
            await scene.frames(5, keyframe="qhf")

    # The largest layer, for long enough that the estimate is about it.
    await estimate(10_000_000, lambda: scene.seen()[-40:] == ["f"] * 40 and trace[-1].at - trace[0].at > 2 * RAMP_S)
    await estimate(20_000, lambda: scene.seen()[-1] == "q")
    (info,) = [info for info in worker.rooms.infos() if info.kind == "subscribe"]
    assert info.adaptation is not None
    assert (info.adaptation.layer, info.adaptation.target, info.adaptation.choice) == ("q", "q", None)
    last = info.adaptation.decisions[-1]
    assert (last.reason, last.layer) == ("overuse", 0)
    assert 19_000 <= last.estimate <= 20_000
    again = Adaptation()
    replayed = [decision for decision in map(again.feed, trace) if decision is not None]
    assert replayed == info.adaptation.decisions[known:]


async def test_loss_in_reports_takes_a_viewer_down(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    await scene.frames(20, keyframe="qhf")
    await eventually(scene.seen, "frames")
    leg = next(leg for leg in scene.subscriber.legs if leg.uplink.kind == "video")
    highest = 1_000
    while not any(decision.reason == "loss" for decision in scene.subscriber.decisions):
        highest += 50
        report = RtcpReceiverInfo(leg.down.ssrc, 100, highest // 3, highest, 0, 0, 0)
        scene.viewer.send_rtcp(RtcpRrPacket(1, [report]))
        await scene.frames(10, keyframe="qhf")
    assert leg.switch.target is not None
    assert scene.subscriber.decisions[-1].before != 0


async def test_the_publisher_is_told_when_each_packet_came(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(rids=NAMES))
    await source.connect(publisher.agreement.sdp)
    for number in (65_534, 65_535, 1):
        elements = {MID: b"1", STREAM_ID: b"q", TRANSPORT_CC: number.to_bytes(2, "big")}
        extension = pack_extensions(elements)
        source.send_rtp(rtp_packet(number, ssrc=SSRCS["q"], payload=b"\x10\x00", extension=extension))

    def told() -> dict[int, float | None]:
        found: dict[int, float | None] = {}
        for compound in source.rtcp:
            # Ours are a receiver report without blocks, and the feedback behind it.
            packet = compound[8:]
            if compound[1] == 201 and packet[:1] and packet[0] & 0x1F == 15 and packet[1] == 205:
                padding = packet[-1] if packet[0] & 0x20 else 0
                found |= transport_feedback.by_number(transport_feedback.read(packet[4 : len(packet) - padding]))
        return found

    await eventually(lambda: set(told()) >= {65_534, 65_535, 1}, "feedback")
    assert {number for number, at in told().items() if at is not None} == {65_534, 65_535, 1}
    assert told()[0] is None
