"""What goes to one socket: in order of importance, bounded, and never a reason for others to wait.

A socket that keeps up costs one call per frame. One that does not gets a backlog of its own. Its ephemeral frames are
conflated first; at the bound it is closed with a code that tells it to come back and resume. Nobody else notices.

How a frame is written is the server's: see `granian_socket` and `picows_socket` beside this module.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

from functions.signaling.backlog import Backlog, Priority

AsgiMessage = dict[str, Any]
"""A `websocket.send` message; one is shared by all sockets that get the same frame, and never changed."""

TEXT: Final = 1
BINARY: Final = 2

Write = Callable[[int, bytearray, int], None]
"""Writes a frame at once: its opcode (RFC 6455, section 5.2), a payload behind so many bytes, and their number."""

HEADROOM: Final = 14
"""Bytes before a payload in which picows writes the frame's header (RFC 6455, section 5.2: at most 14)."""


class Codec(Protocol):
    """The part of a wire codec that sending needs; see `shared.protocol`."""

    def encode_server(self, message: Any) -> bytes | str:  # noqa: ANN401 - a server message, whichever
        """The frame of a message."""


class SharedFrame:
    """A frame for many sockets, encoded at most once per codec in use, in the form in which a server takes it."""

    __slots__ = ("_asgi", "_encode", "_padded", "conflate")

    def __init__(self, encode: Callable[[Any], bytes | str], conflate: int = 0) -> None:
        """`encode` is given the codec. Of ephemeral frames with the same `conflate`, the latest replaces the others."""
        self._encode = encode
        self._asgi: dict[Any, AsgiMessage] = {}
        self._padded: dict[Any, tuple[int, bytearray]] = {}
        self.conflate = conflate

    def asgi(self, codec: Any) -> AsgiMessage:  # noqa: ANN401 - any codec
        """As an ASGI message."""
        message = self._asgi.get(codec)
        if message is None:
            message = self._asgi[codec] = asgi_message(self._encode(codec))
        return message

    def padded(self, codec: Any) -> tuple[int, bytearray]:  # noqa: ANN401 - any codec
        """As what a `Write` takes. Every socket writes the same header there, since servers do not mask."""
        frame = self._padded.get(codec)
        if frame is None:
            frame = self._padded[codec] = padded(self._encode(codec))
        return frame


def asgi_message(frame: bytes | str) -> AsgiMessage:
    """The message that sends a frame, binary or text by its type."""
    return {"type": "websocket.send", "bytes" if isinstance(frame, bytes) else "text": frame}


def padded(frame: bytes | str) -> tuple[int, bytearray]:
    """The opcode of a frame, binary or text by its type, and its payload behind `HEADROOM`."""
    if isinstance(frame, bytes):
        return BINARY, bytearray(HEADROOM) + frame
    return TEXT, bytearray(HEADROOM) + frame.encode()


class Outbox(ABC):
    """Frames for one socket. `on_stuck` is called once, when the backlog reached its bound or the peer has gone."""

    __slots__ = ("_backlog", "_on_stuck", "closed", "codec", "on_pause", "overflowed")

    def __init__(self, codec: Any, on_stuck: Callable[[], None]) -> None:  # noqa: ANN401 - any codec
        self.codec = codec
        self._on_stuck = on_stuck
        self._backlog = Backlog()
        self.overflowed = False
        self.closed = False
        self.on_pause: Callable[[], None] = _nothing
        """Called when `write` becomes None."""

    @property
    def write(self) -> Write | None:
        """A way around this outbox, for as long as nothing waits in it and the socket takes what it gets."""
        return None

    @property
    def waiting(self) -> int:
        """Frames that have not been handed to the socket."""
        return self._backlog.frames

    @property
    @abstractmethod
    def settled(self) -> bool:
        """Whether everything has been written, or never will be."""

    @abstractmethod
    def put_shared(self, frame: SharedFrame, priority: Priority) -> None:
        """Send a frame that others get too."""

    @abstractmethod
    def put(self, message: object, priority: Priority = Priority.CONTROL) -> None:
        """Send a message of this connection's own."""

    def close(self) -> None:
        """Take nothing more, and forget what waits."""
        self.closed = True
        self._backlog.clear()

    def _wait(self, form: object, size: int, priority: Priority, conflate: int) -> None:
        if not self._backlog.add(form, size, priority, conflate):
            self._stick(overflowed=True)

    def _stick(self, *, overflowed: bool) -> None:
        self.overflowed = overflowed
        self.close()
        self._on_stuck()


def _nothing() -> None:
    return
