"""The outbox against sockets that keep up, lag, stall and go, as Granian's `send` shows them."""

from collections.abc import Callable
from typing import Any

import msgspec

from functions.signaling.backlog import MAX_BYTES, MAX_FRAMES, Priority
from functions.signaling.granian_socket import GranianOutbox
from functions.signaling.outbox import AsgiMessage, SharedFrame
from shared.protocol.codec import CODECS, Codec
from shared.protocol.messages import Pong, Viewers

BINARY = CODECS[0]


class Flight:
    """What Granian's `send` returns while the socket is open."""

    def __init__(self, done: bool) -> None:
        self._done = done
        self._callbacks: list[Callable[[Any], None]] = []

    def done(self) -> bool:
        return self._done

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def cancel(self) -> None:
        self._done = True

    def land(self) -> None:
        self._done = True
        for callback in self._callbacks:
            callback(self)


class Wire:
    """A socket that writes at once, or only when told to; or that has gone."""

    def __init__(self, *, stalled: bool = False) -> None:
        self.sent: list[Any] = []
        self.stalled = stalled
        self.gone = False
        self.stuck = 0
        self._flights: list[Flight] = []
        self.outbox = GranianOutbox(self.send, BINARY, self._on_stuck)

    def send(self, message: AsgiMessage) -> object:
        if self.gone:
            return object()
        self.sent.append(msgspec.msgpack.decode(message["bytes"]))
        flight = Flight(not self.stalled)
        self._flights.append(flight)
        return flight

    def land(self) -> None:
        """Let the frame in flight be written."""
        self._flights[-1].land()

    def _on_stuck(self) -> None:
        self.stuck += 1


def _shared(count: int, conflate: int = 0) -> SharedFrame:
    return SharedFrame(lambda codec: codec.encode_server(Viewers(count)), conflate)


def test_a_socket_that_keeps_up_gets_every_frame_at_once() -> None:
    wire = Wire()
    for number in range(100):
        wire.outbox.put(Pong(number))
    assert wire.sent == [[34, number] for number in range(100)]
    assert wire.outbox.settled


def test_a_socket_that_lags_has_one_frame_in_flight_and_the_rest_in_order() -> None:
    wire = Wire(stalled=True)
    for number in range(5):
        wire.outbox.put(Pong(number))
    assert wire.sent == [[34, 0]]
    for _ in range(4):
        wire.land()
    assert wire.sent == [[34, number] for number in range(5)]
    assert not wire.outbox.settled
    wire.land()
    assert wire.outbox.settled


def test_control_leaves_before_events_and_events_before_what_is_ephemeral() -> None:
    wire = Wire(stalled=True)
    wire.outbox.put(Pong(0))
    wire.outbox.put_shared(_shared(3, conflate=1), Priority.EPHEMERAL)
    wire.outbox.put_shared(_shared(2), Priority.EVENTS)
    wire.outbox.put(Pong(1))
    for _ in range(3):
        wire.land()
    assert wire.sent == [[34, 0], [34, 1], [41, 2], [41, 3]]


def test_what_is_ephemeral_is_conflated_for_a_socket_that_lags() -> None:
    wire = Wire(stalled=True)
    wire.outbox.put(Pong(0))
    for number in range(50):
        wire.outbox.put_shared(_shared(number, conflate=1), Priority.EPHEMERAL)
        wire.outbox.put_shared(_shared(1000 + number, conflate=2), Priority.EPHEMERAL)
    assert wire.outbox.waiting == 2
    wire.land()
    wire.land()
    assert wire.sent == [[34, 0], [41, 49], [41, 1049]]


def test_a_socket_that_stalls_overflows_once_and_holds_nothing_after_that() -> None:
    wire = Wire(stalled=True)
    for number in range(MAX_FRAMES + 100):
        wire.outbox.put(Pong(number))
    assert wire.stuck == 1
    assert wire.outbox.overflowed
    assert wire.outbox.waiting == 0
    assert len(wire.sent) == 1


def test_the_bound_counts_bytes_too_and_gives_them_back() -> None:
    wire = Wire(stalled=True)
    half = SharedFrame(lambda _: msgspec.msgpack.encode(bytes(MAX_BYTES // 2 - 10)))
    wire.outbox.put(Pong(0))
    for _ in range(4):
        wire.outbox.put_shared(half, Priority.EVENTS)
        wire.outbox.put_shared(half, Priority.EVENTS)
        wire.land()
        wire.land()
    assert wire.stuck == 0
    for _ in range(3):
        wire.outbox.put_shared(half, Priority.EVENTS)
    assert wire.stuck == 1


def test_a_socket_that_has_gone_is_noticed_at_the_next_frame() -> None:
    wire = Wire()
    wire.outbox.put(Pong(0))
    wire.gone = True
    wire.outbox.put(Pong(1))
    wire.outbox.put(Pong(2))
    assert wire.stuck == 1
    assert wire.outbox.closed
    assert not wire.outbox.overflowed


def test_a_shared_frame_is_encoded_once_per_codec() -> None:
    encoded: list[str] = []

    def encode(codec: Codec) -> bytes | str:
        encoded.append(codec.subprotocol)
        return codec.encode_server(Viewers(1))

    frame = SharedFrame(encode)
    assert frame.asgi(BINARY) is frame.asgi(BINARY)
    frame.asgi(CODECS[1])
    assert encoded == [codec.subprotocol for codec in CODECS]
