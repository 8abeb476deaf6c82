import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol import messages as m
from shared.protocol import vectors
from shared.protocol.errors import CloseCode, ErrorCode, ProtocolError

VECTORS = json.loads(vectors.PATH.read_text(encoding="utf-8"))


def _name(row: dict[str, object]) -> str:
    return str(row["name"])


def test_the_vectors_on_disk_are_those_of_the_code() -> None:
    assert vectors.PATH.read_text(encoding="utf-8") == vectors.render()


@pytest.mark.parametrize("row", VECTORS["accepted"] + VECTORS["tolerated"], ids=_name)
def test_a_frame_decodes_to_its_message(row: dict[str, Any]) -> None:
    frame = bytes.fromhex(row["hex"])
    message = m.decode_client(frame) if row["direction"] == "client" else m.decode_server(frame)
    assert vectors.describe(message) == row["message"]


@pytest.mark.parametrize("row", VECTORS["accepted"], ids=_name)
def test_a_message_encodes_to_its_frame(row: dict[str, str]) -> None:
    frame = bytes.fromhex(row["hex"])
    message = m.decode_client(frame) if row["direction"] == "client" else m.decode_server(frame)
    assert m.encode(message) == frame


@pytest.mark.parametrize("row", VECTORS["refused"], ids=_name)
def test_a_bad_frame_is_refused_with_its_code(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        m.decode_client(bytes.fromhex(row["hex"]))
    assert caught.value.code == row["code"]


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(ProtocolError) as caught:
        m.decode_client(b"\xc1" * (m.MAX_FRAME_BYTES + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_refusal_names_the_request_where_one_can_be_read() -> None:
    with pytest.raises(ProtocolError) as caught:
        m.decode_client(msgspec.msgpack.encode([4, 17, 5]))
    assert caught.value.reference == 17


def test_a_refusal_names_no_request_where_the_kind_has_none() -> None:
    with pytest.raises(ProtocolError) as caught:
        m.decode_client(msgspec.msgpack.encode([17, 5]))
    assert caught.value.reference is None


def test_every_kind_has_a_vector() -> None:
    covered = {bytes.fromhex(row["hex"])[1] for row in VECTORS["accepted"]}
    assert covered == m.CLIENT_KINDS.keys() | m.SERVER_KINDS.keys()


def test_every_event_has_a_vector() -> None:
    rows = [row["message"]["events"] for row in VECTORS["accepted"] if row["message"]["type"] == "events"]
    covered = {event["type"] for events in rows for _, event in events}
    assert covered == {vectors.kind_name(cls) for cls in m.EVENT_TYPES.values()}


def test_every_client_kind_has_a_frame_that_is_refused() -> None:
    refused = {bytes.fromhex(row["hex"])[1:2] for row in VECTORS["refused"]}
    # The others have no field, or none but a number, which `ping` stands for.
    assert {bytes([kind]) for kind in m.CLIENT_KINDS} - refused == {bytes([kind]) for kind in (1, 5, 6, 7, 11, 16)}


def test_kinds_stay_in_the_range_of_their_direction() -> None:
    assert m.CLIENT_KINDS.keys() == set(range(1, 21)) <= set(range(1, 32))
    assert m.SERVER_KINDS.keys() == set(range(33, 53)) <= set(range(33, 64))


@pytest.mark.parametrize(
    ("title", "structs"),
    [
        ("3. Client to server", m.CLIENT_KINDS),
        ("4. Server to client", m.SERVER_KINDS),
        ("5. The room log", m.EVENT_TYPES),
    ],
)
def test_the_specification_has_every_kind_with_its_fields_in_order(
    title: str, structs: dict[int, type[m.Message]]
) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in _section(title) if line.startswith("| ")]
    described = {int(row[0]): (row[1], row[2]) for row in rows if row[0].isdigit()}
    assert described.keys() == structs.keys()
    for kind, cls in structs.items():
        name, fields = described[kind]
        assert name == vectors.kind_name(cls)
        # Of "sdp, an offer" the second is an explanation; what stands in brackets is of the field before.
        named = re.findall(r"(?:^|, )(sdp\b|candidate\b|[a-z_]+(?=:))", re.sub(r"\[.*?\]|\(.*?\)", "", fields))
        assert named == list(cls.__struct_fields__), name


def test_the_specification_has_every_error_and_close_code() -> None:
    text = "\n".join(_section("9. Errors"))
    for code in ErrorCode:
        assert f"| {code.value} | {code.name.lower()} |" in text
    closes = {int(number) for number in re.findall(r"\b(?:4\d{3}|10\d\d)\b", text)}
    # The two that are no error are RFC 6455's own; a frame that is too large closes nothing yet.
    assert set(CloseCode) - closes == {CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.TOO_LARGE}


def test_the_specification_has_every_action_of_a_moderator() -> None:
    text = "\n".join(_section("3. Client to server"))
    assert all(f"| {action.value} {action.name.lower()} |" in text for action in m.ModerationAction)


def test_the_specification_has_every_mode_and_reason_of_quality() -> None:
    asked, told = ("\n".join(_section(title)) for title in ("3. Client to server", "4. Server to client"))
    assert all(f"| {mode.value} {mode.name.lower()} |" in asked for mode in m.QualityMode)
    assert all(f"| {why.value} {why.name.lower()} |" in told for why in m.QualityReason)


def _section(title: str) -> list[str]:
    """The lines of a section of the specification."""
    text = vectors.PATH.with_name("SPEC.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].splitlines()


@settings(max_examples=2000)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_decoder_fail_in_another_way(frame: bytes) -> None:
    _decode_or_refuse(frame)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=2000)
@given(st.lists(_VALUES, max_size=6), st.integers(0, 50))
def test_no_array_makes_the_decoder_fail_in_another_way(values: list[object], kind: int) -> None:
    _decode_or_refuse(msgspec.msgpack.encode([kind, *values]))


@settings(max_examples=1000)
@given(st.sampled_from([bytes.fromhex(row["hex"]) for row in VECTORS["accepted"]]), st.data())
def test_no_damaged_frame_makes_the_decoder_fail_in_another_way(frame: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(frame) - 1))
    byte = data.draw(st.integers(0, 255))
    _decode_or_refuse(frame[:position] + bytes([byte]) + frame[position + 1 :])


def _decode_or_refuse(frame: bytes) -> None:
    try:
        m.encode(m.decode_client(frame))
    except ProtocolError as error:
        m.encode(m.Error(error.code, error.message, error.reference))
