"""NACK and retransmission both ways over a deterministic transport: whatever is lost, everything arrives once."""

import asyncio
from collections.abc import Callable

import pytest
from aiortc.rtp import RtcpRrPacket, RtcpRtpfbPacket, RtpPacket

from sfu_fleet import rtp
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.lossy import LossyPair, Pattern, burst, clean, doubled, every, reordered
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet

MakePeer = Callable[[], Peer]

PATTERNS = {
    "every fifth lost": every(5),
    "every second lost": every(2),
    "a burst lost": burst(20, 12),
    "some overtaken": reordered(4, 2),
    "many overtaken": reordered(7, 6),
    "some twice": doubled(3),
    "some twice and late": doubled(3, 5),
}
COUNT, MORE = 80, 12
RTX_SSRC = 0x33333333


class Meeting:
    """A publisher and a viewer, each behind a pair; both repair what they can."""

    def __init__(self, worker: SfuWorker, source: Peer, viewer: Peer, up: Pattern, down: Pattern) -> None:
        self.rooms = worker.rooms
        self.source, self.viewer = source, viewer
        self.up = LossyPair(source, worker.rooms._context.media_socket, up=up)
        self.down = LossyPair(viewer, worker.rooms._context.media_socket, down=down)
        self.repeated = 0

    async def connect(self, *, rtx: bool) -> None:
        publisher = self.rooms.publish(
            "room", "s", "S", self.source.publish_offer(audio=False, rtx="97" if rtx else "")
        )
        await self.source.connect(publisher.agreement.sdp)
        subscriber = self.rooms.subscribe("room", "v", "V", None)
        self.rooms.answer(subscriber.id, self.viewer.view_answer(subscriber.sdp, rtx=rtx))
        await self.viewer.connect(subscriber.sdp)
        await eventually(lambda: publisher.state == subscriber.state == "connected", "connected")

    async def play(self, *, rtx: bool) -> list[RtpPacket]:
        """Send everything; what the viewer has in the end, by number."""
        # Some more behind: something must overtake what is late, and show what is lost.
        for number in range(COUNT + MORE):
            payload = VP8_DELTA if number else VP8_KEYFRAME
            self.source.send_rtp(
                rtp_packet(65_500 + number, timestamp=3_000 * number, payload=payload + bytes((number,)))
            )
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while True:
                found = self.received()
                if {packet.payload[-1] for packet in found.values()} >= set(range(COUNT)):
                    return [found[number] for number in sorted(found)][:COUNT]
                self.repeat(rtx=rtx)
                self.ask(found)
                await asyncio.sleep(0.02)

    def repeat(self, *, rtx: bool) -> None:
        """Answer the worker's NACKs."""
        nacks = [packet for packet in self.source.feedback() if isinstance(packet, RtcpRtpfbPacket)]
        wanted = [sequence & 0xFFFF for packet in nacks for sequence in packet.lost]
        self.source.rtcp.clear()
        for sequence in wanted:
            if not rtx:
                self.up.up.send(self.up.sent[sequence])
                continue
            number = (sequence - 65_500) & 0xFFFF
            body = sequence.to_bytes(2, "big") + (VP8_DELTA if number else VP8_KEYFRAME) + bytes((number,))
            again = rtp_packet(self.repeated, timestamp=3_000 * number, payload_type=97, ssrc=RTX_SSRC, payload=body)
            self.source.send_rtp(again)
            self.repeated += 1

    def ask(self, found: dict[int, RtpPacket]) -> None:
        """Send a NACK for what the viewer misses; the last packets may all be lost, so those as well."""
        first = min(found, default=None)
        if first is None:
            return
        missing = [(first + index) & 0xFFFF for index in range(COUNT) if first + index not in found]
        ssrc = next(iter(found.values())).ssrc
        self.viewer.send_rtcp(RtcpRrPacket(ssrc=1), RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=ssrc, lost=missing))

    def received(self) -> dict[int, RtpPacket]:
        """What came, under the number that it had first; begins below 2^15, so nothing wraps."""
        found: dict[int, RtpPacket] = {}
        for data in self.viewer.rtp:
            packet = RtpPacket.parse(data)
            if packet.payload_type == 97:
                parsed = rtp.parse(data)
                found.setdefault(int.from_bytes(parsed.payload[:2], "big"), packet)
                packet.payload = packet.payload[2:]
            else:
                found[packet.sequence_number] = packet
        return found


@pytest.mark.parametrize("rtx", [True, False])
@pytest.mark.parametrize("name", PATTERNS)
async def test_what_is_lost_on_the_way_to_the_worker_is_asked_for_until_it_is_there(
    worker: SfuWorker, peers: MakePeer, name: str, *, rtx: bool
) -> None:
    meeting = Meeting(worker, peers(), peers(), PATTERNS[name], clean)
    await meeting.connect(rtx=rtx)
    packets = await meeting.play(rtx=rtx)
    assert [packet.payload[-1] for packet in packets] == list(range(COUNT))


@pytest.mark.parametrize("rtx", [True, False])
@pytest.mark.parametrize("name", PATTERNS)
async def test_what_is_lost_on_the_way_to_a_viewer_is_sent_again_until_it_is_there(
    worker: SfuWorker, peers: MakePeer, name: str, *, rtx: bool
) -> None:
    meeting = Meeting(worker, peers(), peers(), clean, PATTERNS[name])
    await meeting.connect(rtx=rtx)
    packets = await meeting.play(rtx=rtx)
    assert [packet.payload[-1] for packet in packets] == list(range(COUNT))
    assert worker.metrics.drops.get("nack_budget", 0) == 0


async def test_loss_both_ways_is_repaired_both_ways(worker: SfuWorker, peers: MakePeer) -> None:
    meeting = Meeting(worker, peers(), peers(), every(7), every(4))
    await meeting.connect(rtx=True)
    packets = await meeting.play(rtx=True)
    assert [packet.payload[-1] for packet in packets] == list(range(COUNT))
