"""A socket of Granian's, and the hot path of fan-out over it.

A send is started and not awaited: whether it has been written is looked at when the next frame comes. This leans on
undocumented behaviour of Granian: calling its `send` begins the write, and what it returns is a future while the
socket is open and an object without `done` once it is not. `tests/functions/test_outbox.py` holds it to that.

Litestar wraps `send` and `receive` in coroutines, where a send that is not awaited never happens, and every socket pays
for a coroutine per frame: so the server's own two are handed through it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from litestar import WebSocket
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from functions.signaling.backlog import Priority
from functions.signaling.outbox import AsgiMessage, Outbox, SharedFrame, asgi_message
from functions.signaling.transport import CLOSE_TIMEOUT_S, PeerGone
from shared.protocol.codec import Codec, Frame
from shared.protocol.errors import CloseCode

_KEY = "headrace.raw_socket"

RawSend = Callable[[AsgiMessage], Any]


def raw_socket(app: ASGIApp) -> ASGIApp:
    """ASGI middleware, the outermost: keeps the server's own `receive` and `send` of every socket."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            scope[_KEY] = (receive, send)  # type: ignore[literal-required] # a key of ours
        await app(scope, receive, send)

    return middleware


class GranianSocket:
    """A `functions.signaling.transport.Transport`."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], send: RawSend) -> None:
        self._receive = receive
        self._send = send

    @classmethod
    def of(cls, socket: WebSocket[Any, Any, Any]) -> "GranianSocket":
        """The socket beneath Litestar's."""
        receive, send = socket.scope[_KEY]  # type: ignore[literal-required]
        return cls(receive, send)

    def outbox(self, codec: Codec, on_stuck: Callable[[], None]) -> Outbox:
        """See `Transport`."""
        return GranianOutbox(self._send, codec, on_stuck)

    async def receive(self) -> Frame:
        """See `Transport`."""
        try:
            event: Any = await self._receive()
        except RuntimeError:
            raise PeerGone(None) from None
        if event["type"] == "websocket.receive":
            data = event.get("bytes")
            return data if data is not None else str(event.get("text"))
        raise PeerGone(event.get("code"))

    async def close(self, code: CloseCode) -> None:
        """See `Transport`."""
        # The close of a stalled peer waits for ever, and a peer that has gone raises.
        message = {"type": "websocket.close", "code": int(code), "reason": code.name.lower()}
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._send(message)


class GranianOutbox(Outbox):
    """One frame in flight; the next ones wait for it."""

    __slots__ = ("_done", "_flight", "_send")

    def __init__(self, send: RawSend, codec: Any, on_stuck: Callable[[], None]) -> None:  # noqa: ANN401 - any codec
        super().__init__(codec, on_stuck)
        self._send = send
        self._flight: Any = None
        self._done: Callable[[], bool] = _yes

    @property
    def settled(self) -> bool:
        """See `Outbox`."""
        return self.closed or (self._backlog.frames == 0 and self._done())

    def put_shared(self, frame: SharedFrame, priority: Priority) -> None:
        """See `Outbox`."""
        self._put(frame.asgi(self.codec), priority, frame.conflate)

    def put(self, message: object, priority: Priority = Priority.CONTROL) -> None:
        """See `Outbox`."""
        self._put(asgi_message(self.codec.encode_server(message)), priority, 0)

    def close(self) -> None:
        """See `Outbox`."""
        super().close()
        if self._flight is not None and not self._done():
            self._flight.cancel()

    def _put(self, message: AsgiMessage, priority: Priority, conflate: int) -> None:
        if self.closed:
            return
        if self._backlog.frames == 0:
            if self._done():
                self._transmit(message)
                return
            self._flight.add_done_callback(self._on_written)
        self._wait(message, len(message.get("bytes") or message.get("text") or b""), priority, conflate)

    def _transmit(self, message: AsgiMessage) -> None:
        flight = self._send(message)
        try:
            self._done = flight.done
        except AttributeError:
            # The peer has gone; the receiving side will say so, unless nothing is receiving.
            self._stick(overflowed=False)
        else:
            self._flight = flight

    def _on_written(self, _flight: object) -> None:
        if self.closed or self._backlog.frames == 0:
            return
        self._transmit(self._backlog.take())
        if self._backlog.frames and not self.closed:
            self._flight.add_done_callback(self._on_written)


def _yes() -> bool:
    return True
