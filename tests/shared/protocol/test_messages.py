import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol import messages as m
from shared.protocol import vectors
from shared.protocol.errors import ErrorCode, ProtocolError

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


def test_every_kind_has_a_vector() -> None:
    covered = {bytes.fromhex(row["hex"])[1] for row in VECTORS["accepted"]}
    assert covered == set(range(1, 8)) | set(range(33, 44))


def test_every_kind_code_and_event_is_in_the_specification() -> None:
    text = vectors.PATH.with_name("SPEC.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert {str(kind) for kind in [*range(1, 8), *range(33, 44)]} <= rows
    for code in ErrorCode:
        assert f"| {code.value} | {code.name.lower()} |" in text


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
