"""RTP headers: read like aiortc reads them, rewritten without loss, garbage refused."""

import contextlib

import pytest
from aiortc.rtp import RtpPacket as OraclePacket
from aiortc.rtp import unpack_header_extensions
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import rtp
from tests.sfu_fleet.peer import rtp_packet

elements = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6)
long_elements = st.dictionaries(st.integers(1, 200), st.binary(max_size=40), min_size=1, max_size=4)


@given(
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(min_size=1, max_size=64),
    padding=st.integers(0, 40),
    extensions=st.one_of(elements, long_elements),
)
def test_a_packet_reads_as_aiortc_reads_it(
    sequence: int, timestamp: int, payload: bytes, padding: int, extensions: dict[int, bytes]
) -> None:
    block = rtp.pack_extensions(extensions)
    data = rtp_packet(sequence, timestamp=timestamp, payload=payload, padding=padding, extension=block)
    packet, oracle = rtp.parse(data), OraclePacket.parse(data)
    assert (packet.sequence, packet.timestamp, packet.ssrc) == (oracle.sequence_number, oracle.timestamp, oracle.ssrc)
    assert (packet.payload_type, packet.marker) == (oracle.payload_type, bool(oracle.marker))
    assert packet.payload == oracle.payload == payload
    assert rtp.extensions(packet) == extensions
    if block:
        profile = int.from_bytes(block[:2], "big")
        assert dict(unpack_header_extensions(profile, block[4:])) == extensions


@given(payload=st.binary(min_size=1, max_size=64), extensions=elements, padding=st.integers(0, 20))
def test_rebuilding_keeps_the_payload_and_drops_padding(
    payload: bytes, extensions: dict[int, bytes], padding: int
) -> None:
    packet = rtp.parse(
        rtp_packet(7, timestamp=9, payload=payload, padding=padding, extension=rtp.pack_extensions({3: b"x"}))
    )
    rebuilt = rtp.parse(rtp.rebuild(packet, 101, rtp.pack_extensions(extensions)))
    assert rebuilt.payload == payload
    assert rtp.extensions(rebuilt) == extensions
    assert (rebuilt.payload_type, rebuilt.sequence, rebuilt.timestamp, rebuilt.marker) == (101, 7, 9, True)
    assert rebuilt.payload_end == len(rebuilt.data)


def test_contributing_sources_survive_rebuilding() -> None:
    data = b"\x82\x60\x00\x01" + bytes(8) + b"\x00\x00\x00\x07\x00\x00\x00\x08" + b"media"
    rebuilt = rtp.rebuild(rtp.parse(data), 96, rtp.pack_extensions({1: b"0"}))
    assert OraclePacket.parse(rebuilt).csrc == [7, 8]
    assert rtp.parse(rebuilt).payload == b"media"


@given(st.binary(max_size=80))
def test_garbage_is_refused_with_a_value_error_or_read(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        rtp.extensions(rtp.parse(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80", "shorter"),
        (b"\x40" + bytes(11), "version"),
        (b"\x90" + bytes(11), "truncated"),
        (b"\xa0" + bytes(12), "padding length is zero"),
        (b"\xa0" + bytes(11) + b"\x09", "longer than the packet"),
    ],
)
def test_a_packet_whose_lengths_lead_outside_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rtp.parse(data)


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_sequence_numbers_compare_across_the_wrap(start: int, step: int) -> None:
    assert rtp.sequence_delta((start + step) & 0xFFFF, start) == step
