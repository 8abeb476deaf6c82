"""RTCP: written so that aiortc understands it, read so that nothing in a compound takes the rest with it."""

from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    unpack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import rtcp
from sfu_fleet.rtcp import Bye, KeyframeRequest, Nack, ReceiverReport, ReceptionReport, SenderReport, TransportFeedback

u32 = st.integers(0, 0xFFFFFFFF)
# Transport-wide feedback whose last byte is padding: aiortc loses the whole compound over it.
PADDED_TRANSPORT_FEEDBACK = bytes.fromhex("afcd0006000000010000000200010001000000012001900000000004")


def test_a_padded_or_unknown_packet_costs_only_itself() -> None:
    compound = (
        bytes(RtcpRrPacket(ssrc=1))
        + PADDED_TRANSPORT_FEEDBACK
        + bytes((0x80, 207, 0, 1, 0, 0, 0, 1))
        + bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=5))
        + bytes(RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=5, lost=[9]))
    )
    packets, skipped = rtcp.parse(compound)
    feedback = TransportFeedback(PADDED_TRANSPORT_FEEDBACK)
    assert packets == [ReceiverReport(1, ()), feedback, KeyframeRequest(5), Nack(5, (9,))]
    assert skipped == 1


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40, unique=True), u32)
def test_nacks_carry_exactly_the_missing_numbers(missing: list[int], ssrc: int) -> None:
    missing.sort()
    packed = rtcp.pack_nack(1, ssrc, missing)
    assert rtcp.parse(packed) == ([Nack(ssrc, tuple(missing))], 0)
    oracle = RtcpPacket.parse(packed)[0]
    assert isinstance(oracle, RtcpRtpfbPacket)
    assert sorted(oracle.lost) == missing


def test_a_nack_reaches_across_the_wrap() -> None:
    packed = rtcp.pack_nack(1, 2, [65534, 65535, 0, 3])
    assert len(packed) == 16
    assert rtcp.parse(packed)[0] == [Nack(2, (65534, 65535, 0, 3))]


@given(u32, u32, u32, u32, u32)
def test_sender_reports_are_read_and_written_as_aiortc_does(
    ssrc: int, ntp: int, ts: int, count: int, size: int
) -> None:
    oracle = RtcpSrPacket(ssrc=ssrc, sender_info=RtcpSenderInfo(ntp << 20, ts, count, size))
    report = SenderReport(ssrc, ntp << 20, ts, count, size)
    assert rtcp.pack_sender_report(report) == bytes(oracle)
    assert rtcp.parse(bytes(oracle)) == ([report], 0)


@given(u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32)
def test_receiver_reports_are_read_and_written_as_aiortc_does(
    ssrc: int, fraction: int, lost: int, highest: int, jitter: int, last: int, delay: int
) -> None:
    oracle = RtcpRrPacket(1, [RtcpReceiverInfo(ssrc, fraction, lost, highest, jitter, last, delay)])
    report = ReceptionReport(ssrc, fraction, lost, highest, jitter, last, delay)
    assert rtcp.pack_receiver_report(1, [report]) == bytes(oracle)
    assert rtcp.parse(bytes(oracle)) == ([ReceiverReport(1, (report,))], 0)


@given(st.integers(0, 2**40), u32)
def test_the_bitrate_in_remb_is_read_back_within_its_precision(bitrate: int, ssrc: int) -> None:
    packet = RtcpPacket.parse(rtcp.pack_remb(1, bitrate, [ssrc]))[0]
    assert isinstance(packet, RtcpPsfbPacket)
    read, ssrcs = unpack_remb_fci(packet.fci)
    assert ssrcs == [ssrc]
    assert bitrate * (1 - 2**-17) <= read <= bitrate


def test_keyframe_requests_are_written_and_read() -> None:
    assert rtcp.pack_pli(1, 2) == bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=2))
    assert rtcp.parse(rtcp.pack_pli(1, 2)) == ([KeyframeRequest(2)], 0)
    assert rtcp.parse(rtcp.pack_fir(1, 2, 7)) == ([KeyframeRequest(2)], 0)


def test_good_bye_and_source_description_are_what_aiortc_reads() -> None:
    compound = rtcp.pack_receiver_report(1, ()) + rtcp.pack_source_description(1, "name") + rtcp.pack_bye([1, 2])
    assert RtcpPacket.parse(compound)[-1] == RtcpByePacket([1, 2])
    assert rtcp.parse(compound) == ([ReceiverReport(1, ()), Bye((1, 2))], 0)


@given(st.binary(max_size=120))
def test_garbage_never_raises(data: bytes) -> None:
    rtcp.parse(data)


@given(st.binary(max_size=60), st.sampled_from([200, 201, 202, 203, 204, 205, 206, 207]), st.integers(0, 63))
def test_a_well_framed_packet_with_a_garbage_body_never_raises(body: bytes, kind: int, low: int) -> None:
    body += bytes(-len(body) % 4)
    rtcp.parse(bytes((0x80 | low, kind)) + (len(body) // 4).to_bytes(2, "big") + body)


def test_what_workers_tell_each_other_is_read_back_and_what_is_cut_off_is_skipped() -> None:
    packet = rtcp.pack_application(7, "HRTL", b"12345")
    assert len(packet) % 4 == 0
    assert rtcp.parse(packet) == ([rtcp.Application(7, "HRTL", b"12345")], 0)
    longer_than_it_is = packet[:12] + b"\x00\xff" + packet[14:]
    assert rtcp.parse(longer_than_it_is) == ([], 1)
