"""Depacketizers: what the formats say, and that nothing a publisher sends does more than raise ValueError."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.recording.bits import h264_size, vp8_size, vp9_size
from sfu_fleet.recording.depacketize import DEPACKETIZERS, Frame, avc_configuration, h264, vp8, vp9
from tests.sfu_fleet.recording.media import payloads, pictures, units

VP8_KEY = b"\x10\x02\x00\x00\x9d\x01\x2a" + (640).to_bytes(2, "little") + (360).to_bytes(2, "little") + b"rest"
SPS = bytes.fromhex("6742c01fda014016ec0440000003004000000f03c60ca8")
PPS = bytes.fromhex("68ce3c80")


@pytest.mark.parametrize("encoding", ["vp8", "vp9", "h264", "av1"])
@pytest.mark.parametrize("limit", [40, 1_100, 100_000])
def test_what_is_packed_comes_out_whole(encoding: str, limit: int) -> None:
    for number, picture in enumerate(pictures(encoding, 16)):
        frame = DEPACKETIZERS[encoding](payloads(encoding, picture, limit))
        assert frame.keyframe is (number % 15 == 0)
        if encoding == "h264":
            assert frame.data == b"".join(len(unit).to_bytes(4, "big") + unit for unit in units(picture))
        elif encoding == "av1":
            # All but the temporal delimiter, which has no content.
            assert picture == b"\x12\x00" + frame.data
        else:
            assert frame.data == picture
        if frame.format is not None:
            assert (frame.format.width, frame.format.height) == (320, 180)


@given(st.binary(min_size=1, max_size=60), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 9))
def test_vp8_descriptors_of_any_length_are_taken_off(
    content: bytes, picture: bool, long_picture: bool, temporal: bool, size: int
) -> None:
    extra = b""
    if picture:
        extra += b"\x81\x02" if long_picture else b"\x01"
    if temporal:
        extra += b"\x05\x20"
    flags = (0x80 if picture else 0) | (0x60 if temporal else 0)
    data = b"\x01" + content  # not a keyframe
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    packed = [bytes((0x80 | (0x10 if i == 0 else 0), flags)) + extra + part for i, part in enumerate(parts)]
    assert vp8(packed) == Frame(data)


def test_a_frame_without_its_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="beginning"):
        vp8([b"\x00\x01"])
    with pytest.raises(ValueError, match="beginning"):
        vp9([b"\x00\x01"])
    with pytest.raises(ValueError, match="beginning"):
        h264([bytes((0x7C, 0x05)) + b"middle"])


def test_a_fragmented_unit_without_its_end_is_refused() -> None:
    start = bytes((0x7C, 0x85)) + b"start"
    for parts in ([start], [start, start], [start, b"\x65single"]):
        with pytest.raises(ValueError, match=r"end|incomplete"):
            h264(parts)


def test_the_vp8_size_has_fourteen_bits() -> None:
    scaled = VP8_KEY[1:7] + (640 | 0x4000).to_bytes(2, "little") + (360 | 0x8000).to_bytes(2, "little")
    assert vp8_size(scaled) == (640, 360)
    frame = vp8([VP8_KEY])
    assert frame.format is not None
    assert (frame.format.width, frame.format.height) == (640, 360)


def test_the_h264_size_is_cropped_and_the_configuration_names_the_profile() -> None:
    frame = h264([b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in (SPS, PPS)), b"\x65slice"])
    assert frame.format is not None
    assert (frame.format.width, frame.format.height) == (1280, 720)
    assert frame.format.private == avc_configuration(SPS, PPS)
    assert frame.format.private[:4] == b"\x01\x42\xc0\x1f"


def test_a_picture_without_parameter_sets_does_not_count_as_keyframe() -> None:
    assert not h264([b"\x65slice"]).keyframe


@given(
    st.sampled_from(sorted(DEPACKETIZERS)),
    st.lists(st.binary(max_size=40) | st.binary(max_size=20).map(lambda tail: b"\x78\x00\x05" + tail), max_size=4),
)
def test_no_payload_does_more_than_be_refused(encoding: str, parts: Sequence[bytes]) -> None:
    try:
        frame = DEPACKETIZERS[encoding](parts)
    except ValueError:
        return
    assert frame.data


@pytest.mark.parametrize("size_of", [vp8_size, vp9_size, h264_size])
@given(st.binary(max_size=60))
def test_no_header_does_more_than_be_refused(size_of: Callable[[bytes], tuple[int, int]], data: bytes) -> None:
    try:
        width, height = size_of(data)
    except ValueError:
        return
    assert width >= 0
    assert height >= 0


@given(st.sampled_from(["vp8", "vp9", "h264", "av1"]), st.integers(0, 15), st.data())
def test_a_cut_off_payload_is_a_shorter_frame_or_refused(encoding: str, number: int, data: st.DataObject) -> None:
    parts = payloads(encoding, pictures(encoding, 16)[number], 300)
    index = data.draw(st.integers(0, len(parts) - 1))
    parts[index] = parts[index][: data.draw(st.integers(0, len(parts[index])))]
    try:
        frame = DEPACKETIZERS[encoding](parts)
    except ValueError:
        return
    assert len(frame.data) <= 4 * len(parts) + 100 + sum(map(len, parts))
