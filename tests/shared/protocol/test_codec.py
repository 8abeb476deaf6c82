import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol import messages as m
from shared.protocol import sdp, vectors
from shared.protocol.codec import CODECS, BinaryCodec, Codec, JsonCodec, negotiate
from shared.protocol.errors import ErrorCode, ProtocolError

VECTORS = json.loads(vectors.PATH.read_text(encoding="utf-8"))
JSON = JsonCodec()


def _name(row: dict[str, Any] | Codec) -> str:
    return str(row["name"]) if isinstance(row, dict) else row.subprotocol


def _message(row: dict[str, Any]) -> m.ClientMessage | m.ServerMessage:
    frame = bytes.fromhex(row["hex"])
    return m.decode_client(frame) if row["direction"] == "client" else m.decode_server(frame)


@pytest.mark.parametrize("row", VECTORS["accepted"], ids=_name)
def test_a_message_has_its_json_and_comes_back_from_it(row: dict[str, Any]) -> None:
    message = _message(row)
    if row["direction"] == "client":
        assert JSON.encode_client(message) == row["json"]  # type: ignore[arg-type]
        again: Any = JSON.decode_client(row["json"])
    else:
        assert JSON.encode_server(message) == row["json"]  # type: ignore[arg-type]
        again = JSON.decode_server(row["json"])
    if isinstance(message, m.Events):
        # Undecoded events do not compare.
        assert m.encode(again) == m.encode(message)
    elif isinstance(message, m.Publish | m.Accept | m.Offer | m.Answer):
        assert again == msgspec.structs.replace(message, sdp=sdp.plain(message.sdp))
    else:
        assert again == message


@pytest.mark.parametrize("row", VECTORS["accepted"], ids=_name)
def test_the_json_of_a_message_is_the_same_array(row: dict[str, Any]) -> None:
    array = json.loads(row["json"])
    assert array[0] == bytes.fromhex(row["hex"])[1]
    assert len(array) == bytes.fromhex(row["hex"])[0] & 15


@pytest.mark.parametrize("row", VECTORS["refused_json"], ids=_name)
def test_bad_json_is_refused_with_its_code(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        JSON.decode_client(row["json"])
    assert caught.value.code == row["code"]


def _json_of(hexadecimal: str) -> str | None:
    """The same elements in JSON, if that frame has any."""
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(bytes.fromhex(hexadecimal))).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


# Where only the MessagePack is wrong: JSON has strings for bytes.
_ALSO_WRONG = {
    "candidate-no-bin": '[8,"s1",7]',
    "sdp-empty": '[4,1,""]',
    "candidates-too-many": json.dumps([9, "s1", [""] * 33]),
}


@pytest.mark.parametrize("row", [row for row in VECTORS["refused"] if _json_of(row["hex"])], ids=_name)
def test_what_is_refused_in_one_encoding_is_refused_in_the_other(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        JSON.decode_client(_ALSO_WRONG.get(row["name"]) or _json_of(row["hex"]) or "")
    assert caught.value.code == row["code"]


def test_an_error_in_json_names_its_request() -> None:
    with pytest.raises(ProtocolError) as caught:
        JSON.decode_client("[4,17,5]")
    assert caught.value.reference == 17


@pytest.mark.parametrize("text", ["[" * 70_000, '[3,1,"' + "✓" * 30_000 + '"]'], ids=["characters", "bytes"])
def test_json_over_the_limit_is_refused_unread(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        JSON.decode_client(text)
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("codec", CODECS, ids=_name)
def test_a_frame_of_the_other_kind_is_malformed(codec: Codec) -> None:
    for other in CODECS:
        frame = other.encode_client(m.Ping(7))
        if other is codec:
            assert codec.decode_client(frame) == m.Ping(7)
        else:
            with pytest.raises(ProtocolError) as caught:
                codec.decode_client(frame)
            assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("codec", CODECS, ids=_name)
def test_a_batch_of_the_room_log_is_one_frame(codec: Codec) -> None:
    events: list[m.Event] = [m.ChatEvent("p1", "Ana", 42, "né ✓"), m.Deleted(5), m.GiftEvent("p", "Bo", 1, "rose", 2)]
    frame = codec.events_frame([(100 + 10 * index, m.encode(event)) for index, event in enumerate(events)])
    message = codec.decode_server(frame)
    assert isinstance(message, m.Events)
    read = [(message.base + delta, m.decode_event(event)) for delta, event in message.events]
    assert read == [(100, events[0]), (110, events[1]), (120, events[2])]
    assert codec.encode_server(message) == frame


def test_the_clients_preference_decides() -> None:
    assert isinstance(negotiate(["headrace.1"]), BinaryCodec)
    assert isinstance(negotiate(["headrace.1+json"]), JsonCodec)
    assert isinstance(negotiate(["headrace.9", "headrace.1+json", "headrace.1"]), JsonCodec)
    assert negotiate(["headrace.9", "chat"]) is None
    assert negotiate([]) is None


def test_bytes_of_a_later_revision_are_readable() -> None:
    later = msgspec.msgpack.encode([99, b"\xfb\xff", {"in": [b"a map"]}])
    frame = JSON.events_frame([(1, later)])
    assert frame == '[35,1,[[0,[99,"b:-_8",{"in":["b:YSBtYXA"]}]]]]'


@settings(max_examples=2000)
@given(st.text(max_size=100))
def test_no_text_makes_the_decoder_fail_in_another_way(text: str) -> None:
    _decode_or_refuse(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=2000)
@given(st.lists(_VALUES, max_size=6), st.integers(0, 50))
def test_no_json_array_makes_the_decoder_fail_in_another_way(values: list[object], kind: int) -> None:
    _decode_or_refuse(json.dumps([kind, *values]))


@settings(max_examples=1000)
@given(st.sampled_from([row["json"] for row in VECTORS["accepted"]]), st.data())
def test_no_damaged_json_makes_the_decoder_fail_in_another_way(text: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(text) - 1))
    _decode_or_refuse(text[:position] + data.draw(st.characters()) + text[position + 1 :])


def _decode_or_refuse(text: str) -> None:
    try:
        message = JSON.decode_client(text)
    except ProtocolError as error:
        m.encode(m.Error(error.code, error.message, error.reference))
    else:
        assert JSON.decode_client(JSON.encode_client(message)) == message
