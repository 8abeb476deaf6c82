"""Retransmissions (RFC 4588): what a publisher sends again reaches viewers once; viewers are sent theirs apart."""

import asyncio
from collections.abc import Callable

from aiortc.rtp import RtcpRrPacket, RtcpRtpfbPacket
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import rtp
from sfu_fleet.rtx import RetransmissionStream, unwrap
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import REPAIRED_STREAM_ID, STREAM_ID, VIDEO_SSRC, VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import send_video, view

MakePeer = Callable[[], Peer]
RTX_SSRC = 0x33333333


@given(
    st.binary(max_size=40),
    st.booleans(),
    st.sampled_from([b"", b"\xbe\xde\x00\x01\x10\x05\x00\x00"]),
    st.integers(0, 65_535),
)
def test_what_is_wrapped_comes_out_the_same(payload: bytes, marker: bool, extension: bytes, number: int) -> None:
    original = rtp_packet(number, timestamp=77, payload=payload, marker=marker, extension=extension)
    stream = RetransmissionStream(97, RTX_SSRC)
    wrapped = bytearray(stream.wrap(original, len(payload), number))
    rtp.IDENTITY.pack_into(wrapped, 2, stream.next_number(), 77, RTX_SSRC)
    packet = rtp.parse(bytes(wrapped))
    assert (packet.payload_type, packet.ssrc, packet.marker) == (97, RTX_SSRC, marker)
    unwrapped = unwrap(packet, 96, VIDEO_SSRC)
    assert unwrapped is not None
    assert unwrapped.data == original


@given(st.binary(max_size=60))
def test_anything_is_unwrapped_or_refused(data: bytes) -> None:
    try:
        packet = rtp.parse(b"\x80\x61" + data)
    except ValueError:
        return
    unwrapped = unwrap(packet, 96, 1)
    assert (unwrapped is None) == (packet.payload_end - packet.payload_start < 2)


async def publish_with_rtx(worker: SfuWorker, peer: Peer) -> None:
    publisher = worker.rooms.publish("room", "streamer", "Streamer", peer.publish_offer(rtx="97"))
    assert "a=fmtp:97 apt=96" in publisher.agreement.sdp
    await peer.connect(publisher.agreement.sdp)
    await eventually(lambda: publisher.state == "connected", "publisher connected")


def again(number: int, sequence: int, *, payload: bytes = VP8_DELTA) -> bytes:
    """A retransmission whose payload ends in the number, as those of `send_video` do."""
    body = (number & 0xFFFF).to_bytes(2, "big") + payload + bytes((number & 0xFF,))
    return rtp_packet(sequence, timestamp=number * 3_000, payload_type=97, ssrc=RTX_SSRC, payload=body)


async def test_a_publisher_s_retransmission_fills_the_gap_and_the_late_original_is_dropped(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    await publish_with_rtx(worker, source)
    await view(worker.rooms, viewer)
    send_video(source, 65_534, 1, VP8_KEYFRAME)
    send_video(source, 65_535, 1)
    send_video(source, 65_537, 3)

    def nacks() -> list[int]:
        return [seq for packet in source.feedback() if isinstance(packet, RtcpRtpfbPacket) for seq in packet.lost]

    await eventually(lambda: 0 in nacks(), "a NACK for number 0, after the wrap")
    source.send_rtp(again(65_536, 500))
    await eventually(lambda: len(viewer.rtp) == 6, "six packets")
    send_video(source, 65_536, 1)
    source.send_rtp(again(65_536, 501))
    source.send_rtp(again(65_535, 502))
    source.send_rtp(rtp_packet(503, payload_type=97, ssrc=RTX_SSRC, padding=100))
    send_video(source, 65_540, 1)
    await eventually(lambda: len(viewer.rtp) == 7, "the packet behind")
    await asyncio.sleep(0.05)
    by_number = sorted(viewer.video(), key=lambda packet: packet.sequence_number)
    assert [packet.payload[-1] for packet in by_number] == [0xFE, 0xFF, 0, 1, 2, 3, 4]
    assert worker.metrics.drops == {"late": 1, "rtx_unneeded": 2}


async def test_a_retransmission_before_any_media_is_dropped(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    await publish_with_rtx(worker, source)
    source.send_rtp(again(5, 1))
    await eventually(lambda: worker.metrics.drops == {"rtx_unneeded": 1}, "the drop")


async def test_a_viewer_that_negotiated_it_gets_what_it_missed_on_a_stream_of_its_own(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    await publish_with_rtx(worker, source)
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    group = next(line for line in subscriber.sdp.split("\r\n") if line.startswith("a=ssrc-group:FID"))
    media_ssrc, rtx_ssrc = map(int, group.split()[1:])
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp, rtx=True))
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    send_video(source, 1, 1, VP8_KEYFRAME)
    send_video(source, 2, 5)
    await eventually(lambda: len(viewer.rtp) == 6, "six packets")
    wanted = viewer.video()[2:4]
    for _ in range(2):
        numbers = [packet.sequence_number for packet in wanted]
        viewer.send_rtcp(RtcpRrPacket(ssrc=1), RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=media_ssrc, lost=numbers))
    await eventually(lambda: len(viewer.rtp) == 10, "four packets again")
    repeated = viewer.video()[6:]
    assert {(packet.payload_type, packet.ssrc) for packet in repeated} == {(97, rtx_ssrc)}
    assert [packet.payload[:2] for packet in repeated] == [p.sequence_number.to_bytes(2, "big") for p in wanted] * 2
    assert [packet.payload[2:] for packet in repeated] == [packet.payload for packet in wanted] * 2
    assert len({packet.sequence_number for packet in repeated}) == 4
    await eventually(lambda: worker.metrics.traffic.packets_resent == 4, "the count of a plane's thread")


async def test_the_retransmissions_of_a_simulcast_repair_the_layer_that_they_name(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(rids=("q", "h"), rtx="97"))
    await source.connect(publisher.agreement.sdp)

    def send(rid: str, ssrc: int, number: int, payload: bytes = VP8_DELTA) -> None:
        extension = rtp.pack_extensions({STREAM_ID: rid.encode()})
        source.send_rtp(rtp_packet(number, ssrc=ssrc, payload=payload, extension=extension))

    for rid, ssrc in (("q", 0xA1), ("h", 0xA2)):
        send(rid, ssrc, 1, VP8_KEYFRAME)
        for number in (2, 4, 5, 6):
            send(rid, ssrc, number)
    await eventually(lambda: publisher.info().packets_lost == 2, "a gap in each layer")
    body = (3).to_bytes(2, "big") + VP8_DELTA
    extension = rtp.pack_extensions({REPAIRED_STREAM_ID: b"h"})
    source.send_rtp(rtp_packet(1, payload_type=97, ssrc=0xB2, payload=body, extension=extension))
    await eventually(lambda: publisher.info().packets_lost == 1, "the repair")
    assert [layer.packets_lost for layer in publisher.info().layers] == [1, 0]
    # Later packets of the stream do not say whose they are, and a stream that never did is of no use.
    source.send_rtp(rtp_packet(2, payload_type=97, ssrc=0xB2, payload=body))
    source.send_rtp(rtp_packet(1, payload_type=97, ssrc=0xB9, payload=body))
    await eventually(lambda: worker.metrics.drops == {"rtx_unneeded": 2}, "the drops")


async def test_the_retransmissions_of_a_simulcast_by_sources_are_known_from_the_offer(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source = peers()
    offer = source.publish_offer(group=(0xA1, 0xA2), group_rtx=(0xB1, 0xB2), rtx="97")
    publisher = worker.rooms.publish("room", "streamer", "Streamer", offer)
    await source.connect(publisher.agreement.sdp)
    for ssrc in (0xA1, 0xA2):
        source.send_rtp(rtp_packet(1, ssrc=ssrc, payload=VP8_KEYFRAME))
        for number in (2, 4, 5, 6):
            source.send_rtp(rtp_packet(number, ssrc=ssrc, payload=VP8_DELTA))
    await eventually(lambda: publisher.info().packets_lost == 2, "a gap in each layer")
    body = (3).to_bytes(2, "big") + VP8_DELTA
    source.send_rtp(rtp_packet(1, payload_type=97, ssrc=0xB2, payload=body))
    await eventually(lambda: publisher.info().packets_lost == 1, "the repair")
    assert [layer.packets_lost for layer in publisher.info().layers] == [1, 0]
    source.send_rtp(rtp_packet(1, payload_type=97, ssrc=0xB9, payload=body))
    await eventually(lambda: worker.metrics.drops == {"rtx_unneeded": 1}, "a stream that nobody announced")
