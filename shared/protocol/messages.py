"""Message kinds of sub-protocol `headrace.1`, as SPEC.md defines them.

A frame is one MessagePack array: the kind, then the fields in the order of the struct. Further elements are ignored,
so that a later version may append fields.
"""

from typing import Annotated, Any

import msgspec

from shared.protocol.errors import ErrorCode, ProtocolError

SUBPROTOCOL = "headrace.1"
MAX_FRAME_BYTES = 65_536
MAX_TEXT_CHARACTERS = 500

# 53 bits: what a JavaScript number holds exactly.
Uint = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Sdp = Annotated[str, msgspec.Meta(min_length=1, max_length=32_768)]


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """One MessagePack array."""


# Client to server


class Join(_Message, frozen=True, tag=1):
    """First frame: who, and from which position of the room log. `epoch` and `offset` come together or not at all."""

    token: Token
    epoch: Id | None = None
    offset: Uint | None = None


class Ping(_Message, frozen=True, tag=2):
    """Answered with `Pong`."""

    nonce: Uint


class Chat(_Message, frozen=True, tag=3):
    """A chat message; `message_id` is the sender's, and makes sending it again harmless."""

    message_id: Uint
    text: str


class Publish(_Message, frozen=True, tag=4):
    """The publisher's SDP offer. Answered with `Answer`."""

    request: Uint
    sdp: Sdp


class Subscribe(_Message, frozen=True, tag=5):
    """Wish to watch. Answered with `Offer`."""

    request: Uint


class Accept(_Message, frozen=True, tag=6):
    """The viewer's SDP answer to `Offer`. Answered with `Done`."""

    request: Uint
    session: Id
    sdp: Sdp


class Hangup(_Message, frozen=True, tag=7):
    """End of a media session. Answered with `Done`."""

    request: Uint
    session: Id


ClientMessage = Join | Ping | Chat | Publish | Subscribe | Accept | Hangup

# Server to client


class Welcome(_Message, frozen=True, tag=33):
    """Answer to `Join`: what is bound to this connection from now on, and where the room stands."""

    connection: str
    participant: str
    name: str
    role: str
    epoch: str
    offset: int
    live: bool
    viewers: int
    ping_ms: int
    instance: str


class Pong(_Message, frozen=True, tag=34):
    """Answer to `Ping`."""

    nonce: int


class Events(_Message, frozen=True, tag=35):
    """A batch of the room log. The offset of an event is `base` plus its delta."""

    base: int
    events: list[tuple[int, msgspec.Raw]]


class Sent(_Message, frozen=True, tag=36):
    """A chat message is in the log, at `offset`."""

    message_id: int
    offset: int


class Gap(_Message, frozen=True, tag=37):
    """What the client has not seen before `offset` cannot be had any more."""

    reason: str
    epoch: str
    offset: int


class Error(_Message, frozen=True, tag=38):
    """A frame was refused. `reference` is its request or message id."""

    code: int
    message: str
    reference: int | None = None
    retry_after_ms: int | None = None


class Offer(_Message, frozen=True, tag=39):
    """The worker's SDP offer to a viewer."""

    request: int
    session: str
    sdp: str


class Answer(_Message, frozen=True, tag=40):
    """The worker's SDP answer to a publisher."""

    request: int
    session: str
    sdp: str


class Viewers(_Message, frozen=True, tag=41):
    """How many viewers the room has."""

    count: int


class Done(_Message, frozen=True, tag=42):
    """`Accept` or `Hangup` was carried out."""

    request: int


class Move(_Message, frozen=True, tag=43):
    """This instance is about to stop: connect again after `delay_ms`."""

    delay_ms: int


ServerMessage = Welcome | Pong | Events | Sent | Gap | Error | Offer | Answer | Viewers | Done | Move

# Events of the room log


class ChatEvent(_Message, frozen=True, tag=1):
    """Somebody said something."""

    sender: str
    name: str
    message_id: int
    text: str


class StreamStarted(_Message, frozen=True, tag=2):
    """Media of the publisher flows."""

    session: str
    name: str


class StreamEnded(_Message, frozen=True, tag=3):
    """The stream is over. `reason`: left, lost, replaced or drained."""

    session: str
    reason: str


Event = ChatEvent | StreamStarted | StreamEnded

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_server_decoder: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_any_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Any)

_CLIENT_KINDS = frozenset(range(1, 8))


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
    return _server_decoder.decode(frame)


def decode_event(event: bytes | msgspec.Raw) -> Event:
    """An event of the room log.

    Raises:
        msgspec.DecodeError: not an event that this version knows.
    """
    return _event_decoder.decode(event)


def events_frame(entries: list[tuple[int, bytes]]) -> bytes:
    """One frame for a batch of (offset, event bytes), oldest first, at least one. Events are not decoded again."""
    base = entries[0][0]
    return _encoder.encode(Events(base, [(offset - base, msgspec.Raw(event)) for offset, event in entries]))


def _explain(frame: bytes, error: Exception) -> ProtocolError:
    try:
        parts = _any_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        return ProtocolError(ErrorCode.MALFORMED, "not a MessagePack array")
    if not isinstance(parts, list) or not parts or type(parts[0]) is not int:
        return ProtocolError(ErrorCode.MALFORMED, "expected an array that begins with a kind")
    reference = parts[1] if len(parts) > 1 and type(parts[1]) is int and 0 <= parts[1] < 2**53 else None
    if parts[0] not in _CLIENT_KINDS:
        return ProtocolError(ErrorCode.KIND_UNKNOWN, f"kind {parts[0]} is not known here", reference=reference)
    return ProtocolError(ErrorCode.MALFORMED, str(error), reference=reference)
