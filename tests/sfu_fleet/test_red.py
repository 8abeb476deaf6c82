"""Redundant audio (RFC 2198): passed to who can read it, and taken apart for who cannot."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import red, rtp, sdp
from sfu_fleet.companions import red_of
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.uplink import Layer
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, Peer, rtp_packet

MakePeer = Callable[[], Peer]


def redundant(primary: bytes, *before: bytes, payload_type: int = 111) -> bytes:
    """A payload with frames that were sent before, 20 ms apart (section 3)."""
    head = b""
    for back, block in enumerate(before):
        time = 960 * (len(before) - back)
        head += (1 << 31 | payload_type << 24 | time << 10 | len(block)).to_bytes(4, "big")
    return head + bytes((payload_type,)) + b"".join(before) + primary


@given(st.binary(max_size=60), st.lists(st.binary(max_size=60), max_size=4))
def test_the_primary_block_is_the_last_one(primary: bytes, before: list[bytes]) -> None:
    packet = rtp.parse(rtp_packet(7, payload_type=63, payload=redundant(primary, *before), padding=3))
    found = red.primary(packet)
    assert (found.payload, found.payload_type, found.sequence) == (primary, 111, 7)
    assert red.is_of(packet, 111)
    assert not red.is_of(packet, 112)
    again = red.retyped(packet, 96)
    assert red.is_of(again, 96)
    assert red.primary(again).payload == primary
    assert again.payload == redundant(primary, *before, payload_type=96)


@given(st.binary(max_size=30))
def test_any_payload_is_taken_apart_or_refused(payload: bytes) -> None:
    packet = rtp.parse(rtp_packet(1, payload=payload))
    try:
        found = red.primary(packet)
    except ValueError:
        assert not red.is_of(packet, 111)
    else:
        assert packet.payload.endswith(found.payload)
        assert red.retyped(packet, packet.payload_type).payload[len(payload) - len(found.payload) :] == found.payload


class Recorder:
    """What a recording hears."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def packet(
        self,
        layer: Layer,  # noqa: ARG002 - the tap's signature
        packet: RtpPacket,
        sequence: int,  # noqa: ARG002
        timestamp: int,  # noqa: ARG002
        *,
        keyframe: bool,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> None:
        self.payloads.append(packet.payload)

    def report(self, layer: Layer) -> None:
        """Not of interest."""

    def ended(self) -> None:
        """Not of interest."""


async def test_a_viewer_with_redundancy_gets_it_one_without_gets_its_frames_and_so_does_a_recording(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source, reader, other = peers(), peers(), peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(video=None, red="63"))
    assert sdp.parse(publisher.agreement.sdp).media[0].formats == ("63", "111"), "in the publisher's order"
    await source.connect(publisher.agreement.sdp)
    recorder = Recorder()
    publisher.taps.append(recorder)
    for viewer, everything in ((reader, True), (other, False)):
        subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
        assert "a=fmtp:63 111/111\r\n" in subscriber.sdp
        worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp, rtx=everything))
        await viewer.connect(subscriber.sdp)
        await eventually(lambda s=subscriber: s.state == "connected", "viewer connected")  # type: ignore[misc]

    def send(number: int, payload: bytes, payload_type: int = 63) -> None:
        packet = rtp_packet(number, timestamp=960 * number, payload_type=payload_type, ssrc=AUDIO_SSRC, payload=payload)
        source.send_rtp(packet)

    send(1, redundant(OPUS + b"\1"))
    send(2, redundant(OPUS + b"\2", OPUS + b"\1"))
    # A frame that does not fit comes alone, and what is malformed does not come at all.
    send(3, OPUS + b"\3", payload_type=111)
    send(4, redundant(OPUS, bytes(900))[:40])
    send(5, redundant(OPUS + b"\5", payload_type=96))
    send(7, redundant(OPUS + b"\7", OPUS + b"\3"))
    # Padding leaves no gap, but where it comes late.
    source.send_rtp(rtp_packet(8, timestamp=960 * 7, payload_type=63, ssrc=AUDIO_SSRC, padding=200))
    source.send_rtp(rtp_packet(6, timestamp=960 * 6, payload_type=63, ssrc=AUDIO_SSRC, padding=200))
    send(9, redundant(OPUS + b"\x09"))
    await eventually(lambda: len(reader.rtp) == len(other.rtp) == 6, "six packets each")
    assert [(packet.payload_type, packet.payload) for packet in reader.packets()] == [
        (63, redundant(OPUS + b"\1")),
        (63, redundant(OPUS + b"\2", OPUS + b"\1")),
        (111, OPUS + b"\3"),
        (63, redundant(OPUS + b"\7", OPUS + b"\3")),
        (63, b""),
        (63, redundant(OPUS + b"\x09")),
    ]
    frames = [OPUS + bytes((number,)) if number else b"" for number in (1, 2, 3, 7, 0, 9)]
    assert [(packet.payload_type, packet.payload) for packet in other.packets()] == [(111, frame) for frame in frames]
    assert recorder.payloads == frames
    numbers = [[packet.sequence_number for packet in viewer.packets()] for viewer in (reader, other)]
    assert [[number - first[0] for number in first] for first in numbers] == [[0, 1, 2, 6, 5, 7]] * 2
    assert worker.metrics.drops == {"payload_type": 2}


async def test_a_viewer_with_other_numbers_finds_them_inside_of_the_blocks(worker: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(video=None, red="63"))
    await source.connect(publisher.agreement.sdp)
    lines = ["rtpmap:109 opus/48000/2", "rtpmap:121 red/48000/2", "fmtp:121 109/109"]
    offer = viewer._description([("audio", "109 121", lines)], "recvonly", "actpass")
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", offer)
    await viewer.connect(subscriber.sdp)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    payload = redundant(OPUS + b"\2", OPUS + b"\1")
    source.send_rtp(rtp_packet(1, payload_type=63, ssrc=AUDIO_SSRC, payload=payload))
    await eventually(lambda: len(viewer.rtp) == 1, "a packet")
    packet = viewer.packets()[0]
    assert (packet.payload_type, packet.payload) == (121, redundant(OPUS + b"\2", OPUS + b"\1", payload_type=109))


@pytest.mark.parametrize("fmtp", ["a=fmtp:63 111/0\r\n", "a=fmtp:63 111/112\r\n", ""])
def test_redundancy_of_anything_but_opus_is_not_taken(fmtp: str) -> None:
    offer = Peer().publish_offer(video=None, red="63").replace("a=fmtp:63 111/111\r\n", fmtp)
    media = sdp.parse(offer).media[0]
    assert red_of(media, media.codecs[1]) is None
