"""Test vectors of the wire protocol: `python -m shared.protocol.vectors` writes vectors.json.

Every codec, in whichever language, decodes `hex` to `message` and encodes `message` to `hex`. A frame in `refused`
must be answered with the given error code, and in `tolerated` be read as `message` though it holds more.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode

PATH = Path(__file__).with_name("vectors.json")

_SESSION = "w1-abcdefghijklmnopqrstuv"
_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
_T0 = 1_795_352_400_000_000

_CLIENT: tuple[tuple[str, m.ClientMessage], ...] = (
    ("join-fresh", m.Join("header.payload.signature")),
    ("join-resume", m.Join("header.payload.signature", "9f8e7d6c5b4a3f2e", _T0)),
    ("ping", m.Ping(7)),
    ("chat", m.Chat(9_007_199_254_740_991, "hello")),
    ("chat-unicode", m.Chat(1, "né ✓ 👩‍👩‍👧 שלום")),
    ("publish", m.Publish(1, _SDP)),
    ("subscribe", m.Subscribe(2)),
    ("accept", m.Accept(3, _SESSION, _SDP)),
    ("hangup", m.Hangup(4, _SESSION)),
)
_SERVER: tuple[tuple[str, m.ServerMessage], ...] = (
    ("welcome", m.Welcome("c1", "p1", "Ana", "viewer", "9f8e7d6c5b4a3f2e", _T0, True, 3, 20_000, "function-1")),
    ("pong", m.Pong(7)),
    ("sent", m.Sent(9_007_199_254_740_991, _T0)),
    ("gap", m.Gap("trimmed", "9f8e7d6c5b4a3f2e", _T0)),
    ("error", m.Error(ErrorCode.RATE_LIMITED, "too fast", 17, 400)),
    ("error-bare", m.Error(ErrorCode.MALFORMED, "not a MessagePack array")),
    ("offer", m.Offer(2, _SESSION, _SDP)),
    ("answer", m.Answer(1, _SESSION, _SDP)),
    ("viewers", m.Viewers(1234)),
    ("done", m.Done(3)),
    ("move", m.Move(1500)),
)
_EVENTS: tuple[tuple[str, list[tuple[int, m.Event]]], ...] = (
    ("events-chat", [(_T0, m.ChatEvent("p1", "Ana", 42, "hello"))]),
    (
        "events-batch",
        [
            (_T0, m.StreamStarted(_SESSION, "Ana")),
            (_T0 + 1, m.ChatEvent("p2", "Bo", 43, "hi")),
            (_T0 + 5_000_000, m.StreamEnded(_SESSION, "left")),
        ],
    ),
)
_REFUSED: tuple[tuple[str, bytes, ErrorCode], ...] = (
    ("empty", b"", ErrorCode.MALFORMED),
    ("not-an-array", msgspec.msgpack.encode({"kind": 3}), ErrorCode.MALFORMED),
    ("empty-array", msgspec.msgpack.encode([]), ErrorCode.MALFORMED),
    ("kind-not-a-number", msgspec.msgpack.encode(["chat", 1, "x"]), ErrorCode.MALFORMED),
    ("kind-unknown", msgspec.msgpack.encode([32, 1]), ErrorCode.KIND_UNKNOWN),
    ("kind-of-the-server", msgspec.msgpack.encode([34, 1]), ErrorCode.KIND_UNKNOWN),
    ("field-missing", msgspec.msgpack.encode([3, 1]), ErrorCode.MALFORMED),
    ("field-of-wrong-type", msgspec.msgpack.encode([3, 1, 2]), ErrorCode.MALFORMED),
    ("number-negative", msgspec.msgpack.encode([2, -1]), ErrorCode.MALFORMED),
    ("number-over-53-bits", msgspec.msgpack.encode([2, 2**53]), ErrorCode.MALFORMED),
    ("text-not-utf-8", b"\x93\x03\x01\xa2\xff\xfe", ErrorCode.MALFORMED),
    ("truncated", m.encode(m.Chat(1, "hello"))[:-2], ErrorCode.MALFORMED),
    ("trailing-bytes", m.encode(m.Ping(1)) + b"\x00", ErrorCode.MALFORMED),
    ("nested-too-deep", b"\x91" * 1100 + b"\x01", ErrorCode.MALFORMED),
)


def describe(message: m.ClientMessage | m.ServerMessage | m.Event) -> dict[str, Any]:
    """A message as JSON: `type` and its fields by name."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        if isinstance(message, m.Events) and field.name == "events":
            value = [[delta, describe(m.decode_event(event))] for delta, event in message.events]
        fields[field.name] = value
    return {"type": _kind_name(type(message)), **fields}


def _kind_name(cls: type) -> str:
    """`StreamStarted` is `stream_started`; `ChatEvent` is `chat`: what is an event shows by where it stands."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().removesuffix("_event")


def build() -> dict[str, list[dict[str, Any]]]:
    """All vectors."""
    accepted: list[dict[str, Any]] = []
    for direction, rows in (("client", _CLIENT), ("server", _SERVER)):
        for name, message in rows:
            accepted.append(_vector(name, direction, m.encode(message), message))
    for name, entries in _EVENTS:
        frame = m.events_frame([(offset, m.encode(event)) for offset, event in entries])
        accepted.append(_vector(name, "server", frame, m.decode_server(frame)))
    longer = msgspec.msgpack.encode([2, 7, "a field of a later version"])
    return {
        "accepted": accepted,
        "tolerated": [_vector("ping-with-later-field", "client", longer, m.Ping(7))],
        "refused": [{"name": name, "hex": frame.hex(), "code": int(code)} for name, frame, code in _REFUSED],
    }


def _vector(name: str, direction: str, frame: bytes, message: m.ClientMessage | m.ServerMessage) -> dict[str, Any]:
    return {"name": name, "direction": direction, "hex": frame.hex(), "message": describe(message)}


def render() -> str:
    """The contents of vectors.json."""
    return json.dumps(build(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
