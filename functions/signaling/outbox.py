"""The hot path of fan-out: what goes to one socket, in order of importance, one frame in flight, bounded.

A send is started and not awaited: whether it has been written is looked at when the next frame comes, so a socket that
keeps up costs one call per frame. One that does not keep up gets a backlog of its own. Its ephemeral frames are
conflated first; at the bound it is closed with a code that tells it to come back and resume. Nobody else notices.

This leans on undocumented behaviour of Granian: calling its `send` begins the write, and what it returns is a future
while the socket is open and an object without `done` once it is not. `tests/functions/test_outbox.py` holds it to that.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

from functions import metrics

MAX_FRAMES = 512
MAX_BYTES = 4 * 1024 * 1024

AsgiMessage = dict[str, Any]
"""A `websocket.send` message; one is shared by all sockets that get the same frame, and never changed."""

RawSend = Callable[[AsgiMessage], Any]


class Codec(Protocol):
    """The part of a wire codec that sending needs; see `shared.protocol`."""

    def encode_server(self, message: Any) -> bytes | str:  # noqa: ANN401 - a server message, whichever
        """The frame of a message."""


class Priority(IntEnum):
    """What leaves first when a socket is behind."""

    CONTROL = 0
    EVENTS = 1
    EPHEMERAL = 2


class SharedFrame:
    """A frame for many sockets, encoded at most once per codec in use."""

    __slots__ = ("_by_codec", "_encode", "conflate")

    def __init__(self, encode: Callable[[Any], bytes | str], conflate: int = 0) -> None:
        """`encode` is given the codec. Of ephemeral frames with the same `conflate`, the latest replaces the others."""
        self._encode = encode
        self._by_codec: dict[Any, AsgiMessage] = {}
        self.conflate = conflate

    def asgi(self, codec: Any) -> AsgiMessage:  # noqa: ANN401 - any codec
        """The message that sends it in that codec."""
        message = self._by_codec.get(codec)
        if message is None:
            message = self._by_codec[codec] = asgi_message(self._encode(codec))
        return message


def asgi_message(frame: bytes | str) -> AsgiMessage:
    """The message that sends a frame, binary or text by its type."""
    return {"type": "websocket.send", "bytes" if isinstance(frame, bytes) else "text": frame}


class Outbox:
    """Frames for one socket. `on_stuck` is called once, when the backlog reached its bound or the peer has gone."""

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_backlog_frames",
        "_done",
        "_flight",
        "_on_stuck",
        "_send",
        "closed",
        "codec",
        "overflowed",
    )

    def __init__(self, send: RawSend, codec: Any, on_stuck: Callable[[], None]) -> None:  # noqa: ANN401 - any codec
        self._send = send
        self.codec = codec
        self._on_stuck = on_stuck
        self._flight: Any = None
        self._done: Callable[[], bool] = _yes
        # Three queues; of an ephemeral frame also what it is conflated by.
        self._backlog: tuple[deque[AsgiMessage], deque[AsgiMessage], deque[tuple[int, AsgiMessage]]] | None = None
        self._backlog_frames = 0
        self._backlog_bytes = 0
        self.overflowed = False
        self.closed = False

    @property
    def waiting(self) -> int:
        """Frames that have not been handed to the socket."""
        return self._backlog_frames

    @property
    def settled(self) -> bool:
        """Whether everything has been written, or never will be."""
        return self.closed or (self._backlog_frames == 0 and self._done())

    def put_shared(self, frame: SharedFrame, priority: Priority) -> None:
        """Send a frame that others get too."""
        self._put(frame.asgi(self.codec), priority, frame.conflate)

    def put(self, message: object, priority: Priority = Priority.CONTROL) -> None:
        """Send a message of this connection's own."""
        self._put(asgi_message(self.codec.encode_server(message)), priority, 0)

    def close(self) -> None:
        """Take nothing more, and forget what waits."""
        self.closed = True
        self._backlog = None
        self._backlog_frames = self._backlog_bytes = 0
        if self._flight is not None and not self._done():
            self._flight.cancel()

    def _put(self, message: AsgiMessage, priority: Priority, conflate: int) -> None:
        if self.closed:
            return
        if self._backlog_frames == 0 and self._done():
            self._transmit(message)
        else:
            self._wait(message, priority, conflate)

    def _transmit(self, message: AsgiMessage) -> None:
        flight = self._send(message)
        try:
            self._done = flight.done
        except AttributeError:
            # The peer has gone; the receiving side will say so, unless nothing is receiving.
            self._stick(overflowed=False)
        else:
            self._flight = flight

    def _wait(self, message: AsgiMessage, priority: Priority, conflate: int) -> None:
        if self._backlog is None:
            self._backlog = (deque(), deque(), deque())
        if self._backlog_frames == 0:
            self._flight.add_done_callback(self._on_written)
        if priority is Priority.EPHEMERAL:
            kept = [(key, waiting) for key, waiting in self._backlog[2] if key != conflate]
            dropped = len(self._backlog[2]) - len(kept)
            if dropped:
                metrics.CONFLATED.inc(dropped)
                self._backlog_frames -= dropped
                self._backlog_bytes -= sum(_size(old) for key, old in self._backlog[2] if key == conflate)
                self._backlog[2].clear()
                self._backlog[2].extend(kept)
            self._backlog[2].append((conflate, message))
        else:
            self._backlog[priority].append(message)  # type: ignore[arg-type] # only the third holds pairs
        self._backlog_frames += 1
        self._backlog_bytes += _size(message)
        if self._backlog_frames > MAX_FRAMES or self._backlog_bytes > MAX_BYTES:
            self._stick(overflowed=True)

    def _on_written(self, _flight: object) -> None:
        if self.closed or self._backlog is None:
            return
        control, events, ephemeral = self._backlog
        message = control.popleft() if control else events.popleft() if events else ephemeral.popleft()[1]
        self._backlog_frames -= 1
        self._backlog_bytes -= _size(message)
        self._transmit(message)
        if self._backlog_frames and not self.closed:
            self._flight.add_done_callback(self._on_written)

    def _stick(self, *, overflowed: bool) -> None:
        self.overflowed = overflowed
        self.close()
        self._on_stuck()


def _size(message: AsgiMessage) -> int:
    return len(message.get("bytes") or message.get("text") or b"")


def _yes() -> bool:
    return True
