"""Codec descriptions: what counts as the same format."""

import pytest

from sfu_fleet.codecs import Codec, h264_profile, same_format


def h264(profile: str, mode: str = "1") -> Codec:
    return Codec(96, "H264", 90_000, 1, {"profile-level-id": profile, "packetization-mode": mode})


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("42e01f", "constrained-baseline"),
        ("42001f", "baseline"),
        ("4d001f", "main"),
        ("4d801f", "constrained-baseline"),
        ("64001f", "high"),
        ("640c1f", "constrained-high"),
        ("f4001f", "f400"),
        ("zz", "zz"),
    ],
)
def test_h264_profiles_are_named_whatever_their_level(profile: str, name: str) -> None:
    assert h264_profile(h264(profile)) == name


def test_h264_formats_match_by_profile_and_packetization_not_by_level() -> None:
    assert same_format(h264("42e01f"), h264("42e034"))
    assert same_format(h264("42001e"), h264("42e01f"))
    assert not same_format(h264("42e01f"), h264("64001f"))
    assert not same_format(h264("42e01f"), h264("42e01f", mode="0"))


def test_other_codecs_match_by_name_without_case_and_profile() -> None:
    assert same_format(Codec(96, "VP8", 90_000), Codec(120, "vp8", 90_000))
    assert same_format(Codec(98, "VP9", 90_000), Codec(98, "VP9", 90_000, 1, {"profile-id": "0"}))
    assert not same_format(Codec(98, "VP9", 90_000), Codec(98, "VP9", 90_000, 1, {"profile-id": "2"}))
    assert not same_format(Codec(111, "opus", 48_000, 2), Codec(111, "opus", 48_000, 1))
