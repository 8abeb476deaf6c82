"""What is known of a viewer's way: numbered packets, feedback about them, probes, and REMB where there is none."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sfu_fleet import rtcp, rtp
from sfu_fleet.adaptation import Reason
from sfu_fleet.bandwidth import FRESH_S, BandwidthInfo
from sfu_fleet.replay import ReplayDiffersError, main, replay
from sfu_fleet.subscriber import Subscriber
from sfu_fleet.traces import Line
from sfu_fleet.transport_feedback import Arrivals
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, TRANSPORT_CC_URI, Peer, rtp_packet
from tests.sfu_fleet.test_layers import NAMES, Encoder, Scene

MakePeer = Callable[[], Peer]

# Our id of the extension in offers to viewers.
TRANSPORT_ID = 5


class Reporter:
    """A viewer who tells of each packet when it came, as Chromium does."""

    def __init__(self, viewer: Peer) -> None:
        self.viewer = viewer
        self.arrivals = Arrivals()
        self._clock = asyncio.get_running_loop().time
        viewer.dtls._handle_rtp_data = self._on_rtp  # type: ignore[method-assign]

    async def _on_rtp(self, data: bytes, arrival_time_ms: int) -> None:  # noqa: ARG002 - aiortc's signature
        self.viewer.rtp.append(data)
        number = rtp.extensions(rtp.parse(data)).get(TRANSPORT_ID)
        if number is not None:
            self.arrivals.arrived(int.from_bytes(number, "big"), self._clock())

    def report(self) -> None:
        for packet in self.arrivals.take(1, 2):
            self.viewer.send_rtcp(packet)


async def connect(worker: SfuWorker, peers: MakePeer, *, rtx: bool = True, feedback: bool = True) -> Scene:
    source, viewer = peers(), peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(rids=NAMES))
    await source.connect(publisher.agreement.sdp)
    encoders = [Encoder(source, name) for name in NAMES]
    for encoder in encoders:
        encoder.send(keyframe=True)
    await eventually(lambda: publisher.packets == 3, "three layers")
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    answer = viewer.view_answer(subscriber.sdp, rtx=rtx)
    if not feedback:
        lines = answer.split("\r\n")
        answer = "\r\n".join(line for line in lines if TRANSPORT_CC_URI not in line and "transport-cc" not in line)
    worker.rooms.answer(subscriber.id, answer)
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    return Scene(publisher, subscriber, encoders, viewer)


def known(subscriber: Subscriber) -> BandwidthInfo:
    adaptation = subscriber.info().adaptation
    assert adaptation is not None
    return adaptation.bandwidth


def numbers(viewer: Peer) -> list[int]:
    elements = [rtp.extensions(rtp.parse(data)) for data in viewer.rtp]
    return [int.from_bytes(found[TRANSPORT_ID], "big") for found in elements if TRANSPORT_ID in found]


async def test_sound_picture_and_what_is_sent_again_are_numbered_together(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    source = scene.encoders["q"].peer
    for sequence in range(5):
        source.send_rtp(rtp_packet(sequence, ssrc=AUDIO_SSRC, payload_type=111, payload=OPUS))
        await scene.frames(1, keyframe="qhf")
    await eventually(lambda: len(scene.viewer.rtp) == 10, "all packets")
    video = scene.viewer.video()
    scene.viewer.send_rtcp(rtcp.pack_nack(1, video[0].ssrc, [video[-1].sequence_number, video[-2].sequence_number]))
    await eventually(lambda: len(scene.viewer.rtp) == 12, "two of them again")
    found = numbers(scene.viewer)
    assert sorted(found) == list(range(2_048, 2_060))
    assert {packet.payload_type for packet in scene.viewer.packets()[-2:]} == {97}


async def test_a_packet_that_is_sent_again_as_it_was_is_the_same_to_the_last_bit(
    worker: SfuWorker, peers: MakePeer
) -> None:
    scene = await connect(worker, peers, rtx=False)
    await scene.frames(5, keyframe="qhf")
    await eventually(lambda: len(scene.viewer.rtp) == 5, "frames")
    seen: list[bytes] = []
    handle = scene.viewer.datagram_received

    def keep(data: bytes, addr: tuple[str, int]) -> None:
        if data[0] >= 128 and not rtp.is_rtcp(data):
            seen.append(data)
        else:
            handle(data, addr)

    scene.viewer.datagram_received = keep  # type: ignore[method-assign]
    video = scene.viewer.video()
    for _ in range(2):
        scene.viewer.send_rtcp(rtcp.pack_nack(1, video[0].ssrc, [video[2].sequence_number]))
    await eventually(lambda: len(seen) == 2, "the packet twice")
    assert seen[0] == seen[1]
    await scene.frames(1)
    await eventually(lambda: len(seen) == 3, "the next packet")
    assert numbers(scene.viewer) == list(range(2_048, 2_053))


async def test_feedback_makes_the_estimate_and_remb_is_not_asked_while_it_comes(
    worker: SfuWorker, peers: MakePeer
) -> None:
    scene = await connect(worker, peers)
    reporter = Reporter(scene.viewer)
    ssrc = scene.subscriber.legs[-1].down.ssrc
    while known(scene.subscriber).feedbacks < 5:
        await scene.frames(5, keyframe="qhf")
        reporter.report()
        # What is malformed is refused, and the rest of its compound counts.
        scene.viewer.send_rtcp(b"\x8f\xcd\x00\x05" + bytes(20), rtcp.pack_remb(1, 50_000, [ssrc]))
    info = known(scene.subscriber)
    assert info.source == "transport-cc"
    assert info.estimate is not None
    assert info.estimate > 400_000
    assert info.feedbacks_refused > 0
    assert scene.subscriber.adaptation._estimate > 400_000
    await asyncio.sleep(FRESH_S + 0.1)
    scene.viewer.send_rtcp(rtcp.pack_remb(1, 50_000, [ssrc]))
    await eventually(lambda: scene.subscriber.adaptation._estimate < 51_000, "REMB counts again")
    info = known(scene.subscriber)
    assert info.source == "remb"
    assert info.estimate is not None
    assert 49_000 < info.estimate <= 50_000


async def test_a_viewer_without_the_extension_has_no_numbers_and_remb(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers, feedback=False)
    await scene.frames(5, keyframe="qhf")
    await eventually(lambda: len(scene.viewer.rtp) == 5, "frames")
    assert numbers(scene.viewer) == []
    assert known(scene.subscriber).source == ""
    scene.viewer.send_rtcp(rtcp.pack_remb(1, 700_000, [scene.subscriber.legs[-1].down.ssrc]))
    await eventually(lambda: known(scene.subscriber).source == "remb", "REMB")


@pytest.mark.parametrize(("plane", "feedback", "asked"), [("python", "auto", False), ("python", "on", True)])
async def test_python_asks_for_feedback_only_when_told_to(
    shared_valkey: Valkey, peers: MakePeer, plane: str, feedback: str, asked: bool
) -> None:
    async with SfuWorker(settings_for(shared_valkey.url, plane=plane, feedback=feedback)) as worker:
        source = peers()
        publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
        await source.connect(publisher.agreement.sdp)
        offer = worker.rooms.subscribe("room", "viewer", "Viewer", None).sdp
    assert (TRANSPORT_CC_URI in offer) is asked
    assert ("transport-cc" in offer) is asked
    assert "goog-remb" in offer


async def test_a_probe_that_finds_room_brings_the_next_layer_without_a_trial(
    worker: SfuWorker, peers: MakePeer
) -> None:
    scene = await connect(worker, peers)
    reporter = Reporter(scene.viewer)
    # So large that its cost is above one and a half times what the layer below lets arrive.
    scene.encoders["f"].size = 1_100
    scene.subscriber.choose("h")
    while known(scene.subscriber).acknowledged == 0:
        await scene.frames(8, keyframe="qhf")
        reporter.report()
    scene.subscriber.decisions.clear()
    scene.subscriber.choose(None)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 40
    while not any(decision.layer == 2 for decision in scene.subscriber.decisions):
        assert loop.time() < deadline, known(scene.subscriber)
        await scene.frames(8, keyframe="qhf")
        reporter.report()
    assert Reason.TRIAL not in {decision.reason for decision in scene.subscriber.decisions}
    info = known(scene.subscriber)
    assert info.probes > 0
    assert worker.metrics.traffic.packets_probed > 0
    assert info.probe_bytes <= 60_000


async def test_a_trace_replays_to_the_same_decisions_and_another_one_does_not(
    shared_valkey: Valkey, valkey: object, peers: MakePeer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del valkey
    async with SfuWorker(settings_for(shared_valkey.url, plane="python", traces=str(tmp_path / "traces"))) as worker:
        scene = await connect(worker, peers)
        reporter = Reporter(scene.viewer)
        for layer in ("q", "f", "h"):
            scene.subscriber.choose(layer)
            await scene.frames(60, keyframe="qhf")
            reporter.report()
        decisions = list(scene.subscriber.decisions)
        worker.rooms.hang_up(scene.subscriber.id)
    (path,) = (tmp_path / "traces").iterdir()
    assert path.name == f"{scene.subscriber.id}.jsonl"
    written = path.read_bytes()
    assert replay(written) == decisions
    assert len(decisions) > 1
    main(str(path))
    assert capsys.readouterr().out.endswith(f"the same {len(decisions)} decisions\n")

    lines = [msgspec.json.decode(line, type=Line) for line in written.splitlines()]
    place = next(index for index, line in enumerate(lines) if line.decision is not None)
    wrong = msgspec.structs.replace(lines[place], decision=msgspec.structs.replace(decisions[0], layer=7))
    for broken in ([*lines[:place], wrong, *lines[place + 1 :]], lines[:place], [*lines[:place], *lines[place + 1 :]]):
        with pytest.raises(ReplayDiffersError, match="line "):
            replay(b"\n".join(map(msgspec.json.encode, broken)))
    path.write_bytes(b"{")
    with pytest.raises(SystemExit, match="replay: "):
        main(str(path))
