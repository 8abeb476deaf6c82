"""The encodings of the protocol behind one interface: MessagePack for everybody, JSON for eyes and load scripts.

The WebSocket sub-protocol chooses: `negotiate` once per connection. A room's fan-out calls `events_frame` once per
batch and codec in use, and hands the result to all sockets of that codec.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from shared.protocol import candidates, sdp
from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode, ProtocolError

Frame = bytes | str
"""What one WebSocket message holds: bytes in a binary frame, str in a text frame."""


class Codec(Protocol):
    """One encoding of all messages."""

    subprotocol: str
    """Its name in the WebSocket handshake."""

    def encode_server(self, message: m.ServerMessage) -> Frame:
        """The frame of a message to a client."""

    def decode_client(self, frame: Frame) -> m.ClientMessage:
        """The message of a frame from a client.

        Raises:
            ProtocolError: TOO_LARGE, KIND_UNKNOWN or MALFORMED, with the request or message id where there is one.
        """

    def events_frame(self, entries: list[tuple[int, bytes]]) -> Frame:
        """One frame for a batch of (offset, event as the room log keeps it), oldest first, at least one."""

    def encode_client(self, message: m.ClientMessage) -> Frame:
        """The frame of a message to the server; for clients in Python."""

    def decode_server(self, frame: Frame) -> m.ServerMessage:
        """The message of a frame from the server; for clients in Python.

        Raises:
            msgspec.DecodeError: not a frame of this protocol version.
        """


class BinaryCodec:
    """Sub-protocol `headrace.1`: one MessagePack array in a binary frame."""

    subprotocol = m.SUBPROTOCOL

    def encode_server(self, message: m.ServerMessage) -> bytes:
        """See `Codec`."""
        return m.encode(message)

    def decode_client(self, frame: Frame) -> m.ClientMessage:
        """See `Codec`."""
        if isinstance(frame, str):
            raise ProtocolError(ErrorCode.MALFORMED, "expected a binary frame")
        return m.decode_client(frame)

    def events_frame(self, entries: list[tuple[int, bytes]]) -> bytes:
        """See `Codec`."""
        return m.events_frame(entries)

    def encode_client(self, message: m.ClientMessage) -> bytes:
        """See `Codec`."""
        return m.encode(message)

    def decode_server(self, frame: Frame) -> m.ServerMessage:
        """See `Codec`."""
        if isinstance(frame, str):
            raise msgspec.DecodeError("expected a binary frame")
        return m.decode_server(frame)


class JsonCodec:
    """Sub-protocol `headrace.1+json`: the same array as JSON in a text frame (SPEC.md, section 8)."""

    subprotocol = f"{m.SUBPROTOCOL}+json"

    def encode_server(self, message: m.ServerMessage) -> str:
        """See `Codec`."""
        return _json(_elements(message))

    def decode_client(self, frame: Frame) -> m.ClientMessage:
        """See `Codec`."""
        if isinstance(frame, bytes):
            raise ProtocolError(ErrorCode.MALFORMED, "expected a text frame")
        if len(frame) > m.MAX_FRAME_BYTES or len(frame.encode("utf-8", "replace")) > m.MAX_FRAME_BYTES:
            raise ProtocolError(ErrorCode.TOO_LARGE, f"frames to the server have at most {m.MAX_FRAME_BYTES} bytes")
        try:
            elements = _parse(frame)
        # RecursionError: arrays nested deeper than any message.
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ProtocolError(ErrorCode.MALFORMED, "not JSON") from None
        try:
            message: m.ClientMessage = msgspec.convert(_packed(elements), m.ClientMessage)
        except msgspec.ValidationError as error:
            raise m.refusal(elements, str(error)) from None
        return message

    def events_frame(self, entries: list[tuple[int, bytes]]) -> str:
        """See `Codec`."""
        base = entries[0][0]
        return _json([_EVENTS, base, [[offset - base, _readable(_decode(event))] for offset, event in entries]])

    def encode_client(self, message: m.ClientMessage) -> str:
        """See `Codec`."""
        return _json(_elements(message))

    def decode_server(self, frame: Frame) -> m.ServerMessage:
        """See `Codec`."""
        try:
            elements = _parse(frame)
            if isinstance(elements, list) and elements[:1] == [_EVENTS]:
                # Through the binary form, because events stay undecoded in it.
                return m.decode_server(_pack(elements))
        # OverflowError: a number that MessagePack cannot hold.
        except (UnicodeError, RecursionError, OverflowError) as error:
            raise msgspec.DecodeError(str(error)) from None
        message: m.ServerMessage = msgspec.convert(elements, m.ServerMessage)
        return message


CODECS: Final[tuple[Codec, ...]] = (BinaryCodec(), JsonCodec())
_BY_NAME: Final = {codec.subprotocol: codec for codec in CODECS}


def negotiate(offered: Sequence[str]) -> Codec | None:
    """The codec of the first sub-protocol offered that is known here: the order is the client's preference."""
    return next((_BY_NAME[name] for name in offered if name in _BY_NAME), None)


_EVENTS = 35
_pack = msgspec.msgpack.Encoder().encode
_parse = msgspec.json.Decoder().decode
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _json(elements: object) -> str:
    return _encode(elements).decode()


def _elements(message: m.ClientMessage | m.ServerMessage) -> object:
    """What stands for a message in JSON."""
    if isinstance(message, m.Events):
        return [_EVENTS, message.base, [[delta, _readable(_decode(event))] for delta, event in message.events]]
    elements = msgspec.to_builtins(message, builtin_types=(bytes,))
    for index, (to_json, _) in _SPECIAL.get(elements[0], {}).items():
        elements[index] = to_json(elements[index])
    return _readable(elements)


def _packed(elements: object) -> object:
    """A frame's elements with candidates packed; what is of another type is left to be refused."""
    if not isinstance(elements, list) or not elements or type(elements[0]) is not int:
        return elements
    special = _SPECIAL.get(elements[0], {})
    return [special[index][1](value) if index in special else value for index, value in enumerate(elements)]


def _readable(value: object) -> object:
    """`value` with bytes as base64url, which no other field holds today: a later revision's."""
    if isinstance(value, bytes):
        return "b:" + base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value


def _candidate_to_json(value: bytes) -> str:
    return candidates.attribute(candidates.unpack(value), with_line=True) if value else ""


def _candidate_from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    return candidates.pack(candidates.parse(value)) if value else b""


def _candidates_to_json(values: list[bytes]) -> list[str]:
    return [_candidate_to_json(value) for value in values]


def _candidates_from_json(values: object) -> object:
    return [_candidate_from_json(value) for value in values] if isinstance(values, list) else values


_SpecialField = tuple[Callable[[Any], object], Callable[[object], object]]
_SPECIAL_FIELDS: dict[str, _SpecialField] = {
    "sdp": (sdp.plain, lambda value: value),
    "candidate": (_candidate_to_json, _candidate_from_json),
    "candidates": (_candidates_to_json, _candidates_from_json),
}
# By kind and index in the array: how the field's value becomes JSON's and comes back.
_SPECIAL: dict[int, dict[int, _SpecialField]] = {
    kind: {
        index: _SPECIAL_FIELDS[name] for index, name in enumerate(cls.__struct_fields__, 1) if name in _SPECIAL_FIELDS
    }
    for kind, cls in (m.CLIENT_KINDS | m.SERVER_KINDS).items()
}
