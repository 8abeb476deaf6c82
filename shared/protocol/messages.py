"""Sub-protocol `headrace.1`, as SPEC.md defines it: all its messages, and their MessagePack encoding.

A frame is one MessagePack array: the kind, then the fields in the order of the struct. Further elements are ignored,
so that a later version may append fields. The structs live in modules of their own and are had from here.
"""

from typing import Any, get_args

import msgspec

from shared.protocol.client_messages import (
    Accept,
    Admit,
    Candidate,
    Candidates,
    Chat,
    ClientMessage,
    Configure,
    Gift,
    Hangup,
    Join,
    Moderate,
    People,
    Ping,
    Playback,
    Publish,
    Quality,
    React,
    Restart,
    Subscribe,
    Typing,
    Viewport,
)
from shared.protocol.errors import ErrorCode, ProtocolError
from shared.protocol.events import (
    ChatEvent,
    Deleted,
    Event,
    GiftEvent,
    Sanction,
    SettingsChanged,
    StreamEnded,
    StreamStarted,
)
from shared.protocol.fields import (
    MAX_FRAME_BYTES,
    MAX_TEXT_CHARACTERS,
    Message,
    ModerationAction,
    QualityMode,
    QualityReason,
)
from shared.protocol.server_messages import (
    Answer,
    Done,
    Error,
    Events,
    Gap,
    Knock,
    Knocks,
    LayerQuality,
    Move,
    Offer,
    PeopleList,
    Person,
    Pong,
    QualityNotice,
    ReactionCount,
    Reactions,
    Relocate,
    Restarted,
    Sent,
    ServerMessage,
    Stats,
    TypingNotice,
    Viewers,
    Waiting,
    Welcome,
)

__all__ = [
    "CLIENT_KINDS",
    "EVENT_TYPES",
    "MAX_FRAME_BYTES",
    "MAX_TEXT_CHARACTERS",
    "SERVER_KINDS",
    "SUBPROTOCOL",
    "Accept",
    "Admit",
    "Answer",
    "Candidate",
    "Candidates",
    "Chat",
    "ChatEvent",
    "ClientMessage",
    "Configure",
    "Deleted",
    "Done",
    "Error",
    "Event",
    "Events",
    "Gap",
    "Gift",
    "GiftEvent",
    "Hangup",
    "Join",
    "Knock",
    "Knocks",
    "LayerQuality",
    "Message",
    "Moderate",
    "ModerationAction",
    "Move",
    "Offer",
    "People",
    "PeopleList",
    "Person",
    "Ping",
    "Playback",
    "Pong",
    "Publish",
    "Quality",
    "QualityMode",
    "QualityNotice",
    "QualityReason",
    "React",
    "ReactionCount",
    "Reactions",
    "Relocate",
    "Restart",
    "Restarted",
    "Sanction",
    "Sent",
    "ServerMessage",
    "SettingsChanged",
    "Stats",
    "StreamEnded",
    "StreamStarted",
    "Subscribe",
    "Typing",
    "TypingNotice",
    "Viewers",
    "Viewport",
    "Waiting",
    "Welcome",
    "decode_client",
    "decode_event",
    "decode_server",
    "encode",
    "events_frame",
    "refusal",
]

SUBPROTOCOL = "headrace.1"


def _kinds(union: Any) -> dict[int, type[Message]]:  # noqa: ANN401 - a type expression has no narrower type
    return {cls.__struct_config__.tag: cls for cls in get_args(union)}


CLIENT_KINDS = _kinds(ClientMessage)
SERVER_KINDS = _kinds(ServerMessage)
EVENT_TYPES = _kinds(Event)

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_server_decoder: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_any_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Any)

# First fields that tell a client which of its frames an error is about.
_REFERENCES = {"request", "message_id", "key", "nonce"}
_REFERRING = frozenset(kind for kind, cls in CLIENT_KINDS.items() if {*cls.__struct_fields__[:1]} & _REFERENCES)


def encode(message: ClientMessage | ServerMessage | Event) -> bytes:
    """The bytes of a frame, or of an event as the room log keeps it."""
    return _encoder.encode(message)


def decode_client(frame: bytes) -> ClientMessage:
    """The message of a frame that a client sent.

    Raises:
        ProtocolError: TOO_LARGE, KIND_UNKNOWN or MALFORMED, with the request or message id where one can be read.
    """
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError(ErrorCode.TOO_LARGE, f"frames to the server have at most {MAX_FRAME_BYTES} bytes")
    try:
        return _client_decoder.decode(frame)
    # RecursionError: arrays nested deeper than any message.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(frame, error) from None


def decode_server(frame: bytes) -> ServerMessage:
    """The message of a frame that a server sent; for clients in Python.

    Raises:
        msgspec.DecodeError: not a frame of this protocol version.
    """
    try:
        return _server_decoder.decode(frame)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def decode_event(event: bytes | msgspec.Raw) -> Event:
    """An event of the room log.

    Raises:
        msgspec.DecodeError: not an event that this version knows.
    """
    try:
        return _event_decoder.decode(event)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def events_frame(entries: list[tuple[int, bytes]]) -> bytes:
    """One frame for a batch of (offset, event bytes), oldest first, at least one. Events are not decoded again."""
    base = entries[0][0]
    return _encoder.encode(Events(base, [(offset - base, msgspec.Raw(event)) for offset, event in entries]))


def refusal(parts: object, problem: str) -> ProtocolError:
    """Why `parts`, what a frame holds, is no message of a client; `problem` is what the decoder says of it."""
    if not isinstance(parts, list) or not parts or type(parts[0]) is not int:
        return ProtocolError(ErrorCode.MALFORMED, "expected an array that begins with a kind")
    kind = parts[0]
    reference = parts[1] if len(parts) > 1 and type(parts[1]) is int and 0 <= parts[1] < 2**53 else None
    if kind not in CLIENT_KINDS:
        return ProtocolError(ErrorCode.KIND_UNKNOWN, f"kind {kind} is not known here", reference=reference)
    return ProtocolError(ErrorCode.MALFORMED, problem, reference=reference if kind in _REFERRING else None)


def _explain(frame: bytes, error: Exception) -> ProtocolError:
    try:
        parts = _any_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        return ProtocolError(ErrorCode.MALFORMED, "not a MessagePack array")
    return refusal(parts, str(error))
