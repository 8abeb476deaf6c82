"""Picture numbers: found where RFC 7741 and RFC 9628 put them, shifted in place, and nothing else touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import picture_ids, rtp
from sfu_fleet.picture_ids import NO_SHIFT, NONE, Marks, Shift
from tests.sfu_fleet.peer import rtp_packet


def marks(encoding: str, payload: bytes) -> Marks:
    return picture_ids.read(encoding, rtp.parse(rtp_packet(1, payload=payload)))


@pytest.mark.parametrize(
    ("encoding", "payload", "expected"),
    [
        ("vp8", "10 00", NONE),
        ("vp8", "90 80 05 00", Marks(2, False, 5)),
        ("vp8", "90 80 8105 00", Marks(2, True, 0x105)),
        ("vp8", "90 c0 8105 07 00", Marks(2, True, 0x105, 4, 7)),
        ("vp8", "90 e0 05 07 20 00", Marks(2, False, 5, 3, 7)),
        ("vp8", "90 c0 81", NONE),  # truncated
        ("vp9", "08", NONE),
        ("vp9", "88 8105 00", Marks(1, True, 0x105)),
        ("vp9", "a8 05 20 07", Marks(1, False, 5, 3, 7)),
        ("vp9", "b8 05 20 07", Marks(1, False, 5)),  # flexible: no TL0PICIDX
        ("h264", "65 88", NONE),
        ("av1", "18 00", NONE),
    ],
)
def test_the_numbers_are_found(encoding: str, payload: str, expected: Marks) -> None:
    assert marks(encoding, bytes.fromhex(payload)) == expected


@given(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 0x7FFF), st.integers(0, 255), st.binary(max_size=30))
def test_a_shift_changes_the_numbers_and_nothing_else(
    picture: int, base: int, by: int, by_base: int, rest: bytes
) -> None:
    payload = b"\x90\xe0" + (0x8000 | picture).to_bytes(2, "big") + bytes((base, 0x20)) + rest
    shifted = picture_ids.apply(marks("vp8", payload), Shift(by, by_base), b"header" + payload, 6)
    found = marks("vp8", shifted[6:])
    assert (found.picture, found.base) == ((picture + by) & 0x7FFF, (base + by_base) & 0xFF)
    assert (shifted[:8], shifted[11:]) == (b"header\x90\xe0", b"\x20" + rest)


@given(st.integers(0, 0x7FFF), st.integers(0, 0x7FFF), st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 255))
def test_the_first_picture_of_another_layer_follows_the_last_one(
    old: int, old_by: int, new: int, old_base: int, new_base: int
) -> None:
    before = Marks(2, True, old, 4, old_base)
    after = Marks(2, True, new, 4, new_base)
    shift = picture_ids.follow(before, Shift(old_by, 3), after)
    assert (new + shift.picture) & 0x7FFF == (old + old_by + 1) & 0x7FFF
    assert (new_base + shift.base) & 0xFF == (old_base + 3 + 1) & 0xFF


def test_short_picture_ids_wrap_at_seven_bits() -> None:
    payload = b"\x90\x80\x7f\x00"
    assert picture_ids.apply(marks("vp8", payload), Shift(1, 0), payload, 0) == b"\x90\x80\x00\x00"


def test_nothing_is_copied_where_there_is_nothing_to_shift() -> None:
    body = b"\x90\x80\x05\x00"
    assert picture_ids.apply(marks("vp8", body), NO_SHIFT, body, 0) is body
    assert picture_ids.apply(NONE, Shift(1, 1), body, 0) is body
