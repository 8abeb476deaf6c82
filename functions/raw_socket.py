"""Hands Granian's own `send` and `receive` of a socket through Litestar.

Litestar wraps both in coroutines, where a send that is not awaited never happens. Fan-out needs the call that starts
the write at once (see `functions.signaling.outbox`), and every socket saves a coroutine per frame it sends to us.
"""

from typing import Any

from litestar import WebSocket
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

_KEY = "headrace.raw_socket"


def raw_socket(app: ASGIApp) -> ASGIApp:
    """ASGI middleware, the outermost."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            scope[_KEY] = (receive, send)  # type: ignore[literal-required] # a key of ours
        await app(scope, receive, send)

    return middleware


def raw_of(socket: WebSocket[Any, Any, Any]) -> tuple[Any, Any]:
    """The server's own `receive` and `send` of an accepted socket."""
    receive, send = socket.scope[_KEY]  # type: ignore[literal-required]
    return receive, send
