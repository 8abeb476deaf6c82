"""Headers that every answer carries, whoever made it: browsers may do nothing with one but what it is meant for."""

from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

HSTS_S: Final = 365 * 24 * 3600

# The page has a policy of its own (`web.site`); data is not a page, and is in no frame.
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
# Over plain HTTP browsers ignore it (RFC 6797, section 8.1).
_HSTS: Final = (b"strict-transport-security", f"max-age={HSTS_S}".encode())
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_PERSONAL: Final = frozenset({b"authorization", b"cookie"})


def secured(app: ASGIApp, *, production: bool) -> ASGIApp:
    """ASGI middleware. What a handler says itself stands. `production`: HTTPS is asked for from then on."""
    always = (*_ALWAYS, _HSTS) if production else _ALWAYS

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        # What was asked for with a token or cookie is for one person, and so for no cache.
        personal = any(name in _PERSONAL for name, _ in scope["headers"]) or scope["method"] == "POST"
        wanted = (*always, _NOT_KEPT) if personal else always

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                said = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(header for header in wanted if header[0] not in said)]
            await send(message)

        await app(scope, receive, send_secured)

    return middleware
