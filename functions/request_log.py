"""Around every HTTP request: an id that its log lines and its response carry, its log line, and its metrics."""

import re
import secrets
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog import get_logger
from structlog.contextvars import bound_contextvars

from functions import metrics

HEADER = b"x-request-id"
# An id from a proxy in front is kept, unless it could be meant to confuse a reader of logs.
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Asked every few seconds by machines: they would hide what people meet with.
_SILENT = frozenset({"/health/live", "/health/ready"})
# A client may name its method as it likes.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

log = get_logger(__name__)


def request_log(app: ASGIApp) -> ASGIApp:
    """ASGI middleware."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given if _ACCEPTED.fullmatch(given) else secrets.token_hex(8).encode()
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        with bound_contextvars(request_id=request_id.decode()), metrics.HTTP_IN_FLIGHT.track_inprogress():
            try:
                await app(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                route = _route_of(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                if route not in _SILENT:
                    metrics.HTTP_REQUESTS.labels(route, method, str(status)).inc()
                    metrics.HTTP_SECONDS.labels(route).observe(seconds)
                    log.info("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 2))

    return middleware


def _route_of(scope: Any) -> str:  # noqa: ANN401 - Litestar's scope has more than ASGI's type says
    """The route's template: metrics and logs never hold what a user typed into an address."""
    template: str | None = scope.get("path_template")
    return template or "unmatched"
