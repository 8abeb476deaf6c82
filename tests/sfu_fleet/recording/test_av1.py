"""AV1: any packing of a temporal unit, what a container says of the sequence, and pictures that are what was coded."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.recording.av1 import configuration, leb128, low_overhead, parse_sequence_header, temporal_unit
from sfu_fleet.recording.depacketize import av1
from sfu_fleet.recording.pipeline import Pipeline, Plan
from tests.sfu_fleet.recording.media import decoded_pictures, obus, pictures, video_media

DELIMITER, SEQUENCE, FRAME, PADDING = b"\x10", b"\x08", b"\x30", b"\x78"


def packed(units: Sequence[bytes], *, counted: bool) -> bytes:
    """OBUs in one packet: with W = their number the last has no length, with W = 0 each has one."""
    sized = [leb128(len(unit)) + unit for unit in units]
    if not counted:
        return b"\x00" + b"".join(sized)
    return bytes((len(units) << 4,)) + b"".join(sized[:-1]) + units[-1]


@pytest.mark.parametrize("counted", [False, True])
def test_several_units_in_a_packet_come_out_whole_without_delimiter_and_padding(counted: bool) -> None:
    units = [DELIMITER, FRAME + b"x" * 200, PADDING + b"p"]
    assert temporal_unit([packed(units, counted=counted)]) == [FRAME + b"x" * 200]


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3), st.integers(1, 60), st.data())
def test_a_unit_that_is_cut_anywhere_comes_out_whole(contents: list[bytes], limit: int, data: st.DataObject) -> None:
    whole = [FRAME + content for content in contents]
    packets = []
    for unit in whole:
        pieces = [unit[start : start + limit] for start in range(0, len(unit), limit)]
        for index, piece in enumerate(pieces):
            counted = data.draw(st.booleans())
            cut = (0x80 if index else 0) | (0x40 if index < len(pieces) - 1 else 0)
            packet = packed([piece], counted=counted)
            packets.append(bytes((packet[0] | cut,)) + packet[1:])
    assert temporal_unit(packets) == whole


def test_a_unit_that_says_its_size_itself_is_the_same() -> None:
    unit = FRAME + b"picture"
    assert temporal_unit([packed([low_overhead(unit)], counted=True)]) == [unit]
    assert low_overhead(b"\x34\x08picture") == b"\x36\x08\x07picture"


@pytest.mark.parametrize(
    ("packets", "why"),
    [
        ([b"\x90" + FRAME], "no beginning"),
        ([b"\x50" + FRAME], "no end"),
        ([b"\x50" + FRAME, b"\x10" + FRAME], "hole"),
        ([b"\x20\x05" + FRAME], "truncated"),
        ([b"\x20\x01" + FRAME], "as many units"),
        ([b"\x00" + b"\xff" * 9], "malformed"),
        ([b"\x10\xb0"], "not a unit"),
        ([b"\x10\x32\x09ab"], "size"),
    ],
)
def test_what_makes_no_unit_is_refused(packets: list[bytes], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        temporal_unit(packets)


def test_only_a_shown_key_frame_behind_a_sequence_header_counts_as_keyframe() -> None:
    sequence = next(obu for kind, obu in obus(pictures("av1", 16)[0]) if kind == 1)
    shown_key, hidden_key, shown_intra = b"\x10", b"\x00", b"\x50"
    for first, expected in ((shown_key, True), (hidden_key, False), (shown_intra, False)):
        frame = av1([packed([sequence, FRAME + first + b"rest"], counted=True)])
        assert frame.keyframe is expected
    assert not av1([packed([FRAME + shown_key], counted=True)]).keyframe


def test_the_configuration_is_the_one_that_ffmpeg_writes(tmp_path: Path) -> None:
    frames = pictures("av1", 16)
    path = tmp_path / "ffmpeg.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("libsvtav1", rate=30)
        stream.width, stream.height, stream.time_base = 320, 180, Fraction(1, 30)
        for number, frame in enumerate(frames):
            packet: Any = Packet(frame)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 30)
            packet.is_keyframe = number % 15 == 0
            output.mux(packet)
    with av.open(str(path)) as written:
        theirs = written.streams.video[0].codec_context.extradata
    header = next(obu for kind, obu in obus(frames[0]) if kind == 1)
    assert configuration(header)[:4] == (theirs or b"")[:4]
    known = parse_sequence_header(header)
    assert (known.width, known.height) == (320, 180)


def test_every_picture_of_the_file_is_the_one_that_was_coded(tmp_path: Path) -> None:
    coded = pictures("av1", 45)
    path = tmp_path / "file.webm"
    with path.open("wb", buffering=0) as file:
        pipeline = Pipeline(Plan("av1", None), file, lambda _: None)
        for media in video_media("av1", coded):
            pipeline.media(media)
        pipeline.finish()
    straight = decoded_pictures(coded, "av1")
    assert len(set(straight)) == 45
    assert decoded_pictures(path) == straight
    with av.open(str(path)) as container:
        assert container.format.name == "matroska,webm"
        assert container.streams.video[0].codec_context.name == "libdav1d"
    assert b"webm" in path.read_bytes()[:40]


@given(st.binary(max_size=60))
def test_no_sequence_header_does_more_than_be_refused(data: bytes) -> None:
    try:
        known = parse_sequence_header(SEQUENCE + data)
    except ValueError:
        return
    assert known.width >= 1
    assert known.height >= 1
