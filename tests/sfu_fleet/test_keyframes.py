"""Keyframes are recognised by their payload headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import rtp
from sfu_fleet.keyframes import detector
from tests.sfu_fleet.peer import rtp_packet


@pytest.mark.parametrize(
    ("encoding", "payload", "expected"),
    [
        ("vp8", "100000", True),
        ("vp8", "1001", False),
        ("vp8", "0000", False),  # not the start of a partition
        ("vp8", "1100", False),  # partition 1
        ("vp8", "90f081ff0102 00", True),  # 15 bit picture id, TL0PICIDX, TID and KEYIDX
        ("vp8", "90f081ff0102 01", False),
        ("vp8", "9080", False),  # truncated
        ("vp9", "88 81ff", True),  # I and B set, P clear
        ("vp9", "c8 81ff", False),  # inter-picture predicted
        ("vp9", "80 81ff", False),  # not the beginning of a frame
        ("vp9", "a8 01 00 00", True),  # lowest spatial layer
        ("vp9", "a8 01 02 00", False),  # spatial layer 1
        ("h264", "67420000", True),  # SPS
        ("h264", "65880000", True),  # IDR
        ("h264", "41880000", False),
        ("h264", "78 0002 6742 0002 6888", True),  # STAP-A with an SPS
        ("h264", "78 0002 6842 0002 4188", False),
        ("h264", "7c85", True),  # FU-A, start of an IDR
        ("h264", "7c05", False),  # FU-A, middle of an IDR
        ("h264", "7c81", False),
        ("h264", "78 ffff 68", False),  # length leads outside
        ("av1", "18 0a", True),  # N
        ("av1", "10 0a", False),
    ],
)
def test_a_keyframe_s_start_is_recognised(encoding: str, payload: str, *, expected: bool) -> None:
    packet = rtp.parse(rtp_packet(1, payload=bytes.fromhex(payload)))
    assert detector(encoding)(packet) is expected


@given(st.binary(max_size=30), st.sampled_from(["vp8", "vp9", "h264", "av1"]))
def test_any_payload_is_looked_at_safely(payload: bytes, encoding: str) -> None:
    assert detector(encoding)(rtp.parse(rtp_packet(1, payload=payload))) in {True, False}
