"""POST requests that may be sent again: with the same `Idempotency-Key` they are carried out once.

After draft-ietf-httpapi-idempotency-key-header. A key belongs to the holder of the token, whoever else uses the same.
What was done is answered again, for a day; what was refused was not done, and may be tried again.
"""

from hashlib import blake2b

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPRequestEvent, HTTPScope, Message, Receive, Scope, Send
from redis.exceptions import RedisError
from structlog import get_logger

from functions.api.auth import subject_of
from functions.context import Context
from shared.state.requests import MAX_ANSWER_BYTES, Answers, Kept
from shared.telemetry.problems import Problem

HEADER = b"idempotency-key"
MAX_KEY_CHARACTERS = 255
REPLAYED = (b"idempotency-replayed", b"true")
# What belongs to one answer and not to the next.
_NOT_KEPT = frozenset({b"date", b"x-request-id", b"content-length"})

log = get_logger(__name__)


class IdempotencyMiddleware:
    """ASGI middleware, behind the routing."""

    def __init__(self, app: ASGIApp, context: Context, max_body_bytes: int) -> None:
        self._app = app
        self._context = context
        self._answers = Answers(context.redis)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request with a key once; pass on all others."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # An answer with a secret that is shown once is kept nowhere.
        given = None if scope["route_handler"].opt.get("secret") else headers.get(HEADER)
        # Without a good token it is refused anyway, and must not see what somebody else's key has.
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        subject = await subject_of(authorization, self._context) if given else None
        if given is None or subject is None:
            await self._app(scope, receive, send)
            return
        key = _checked(given)
        parts, complete = await self._read(receive)
        if not complete:
            # Larger than anything that we take: the application says so.
            await self._app(scope, _replay(parts, receive), send)
            return
        body = b"".join(part for part, _ in parts)
        await self._once(scope, _digest(subject.encode(), key), body, receive, send)

    async def _once(self, scope: HTTPScope, key: str, body: bytes, receive: Receive, send: Send) -> None:
        request = blake2b(b"\n".join((scope["raw_path"], scope["query_string"], body)), digest_size=16).digest()
        kept = (await self._answers.begin(key, request)).kept
        if kept is not None:
            await _answer_again(kept, request, send)
            return
        seen: list[Message] = []
        size = 0

        async def watched(message: Message) -> None:
            nonlocal size
            if message["type"] == "http.response.body":
                size += len(message["body"])
            if size <= MAX_ANSWER_BYTES:
                seen.append(message)
            if message["type"] == "http.response.body" and not message["more_body"]:
                # Before the answer is out: who has it may ask again at once.
                await self._settle(key, request, seen if size <= MAX_ANSWER_BYTES else [])
            await send(message)

        try:
            await self._app(scope, _replay([(body, False)], receive), watched)
        except BaseException:
            await self._settle(key, request, [])
            raise

    async def _settle(self, key: str, request: bytes, seen: list[Message]) -> None:
        status, headers, body = _together(seen)
        try:
            if 200 <= status < 300:
                await self._answers.keep(key, Kept(request, status, headers, body))
            else:
                await self._answers.release(key)
        except (RedisError, OSError) as error:
            # It was done: to say anything else would be worse than to forget the key.
            log.warning("idempotency_not_kept", error=type(error).__name__)

    async def _read(self, receive: Receive) -> tuple[list[tuple[bytes, bool]], bool]:
        parts: list[tuple[bytes, bool]] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return parts, False
            more = message["more_body"]
            parts.append((message["body"], more))
            size += len(message["body"])
            if size > self._max_body_bytes:
                return parts, False
        return parts, True


def _checked(given: bytes) -> bytes:
    key = given.strip()
    if not (1 <= len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.decode("ascii").isprintable()):
        detail = f"Idempotency-Key: must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters"
        raise Problem(400, "idempotency_key_invalid", "Bad request", detail)
    return key


async def _answer_again(kept: Kept, request: bytes, send: Send) -> None:
    if kept.request != request:
        detail = "this Idempotency-Key was used for another request: make a new one for each"
        raise Problem(422, "idempotency_key_reused", "Not the same request", detail)
    if not kept.status:
        detail = "the first request with this Idempotency-Key is still being worked on"
        raise Problem(409, "idempotency_in_progress", "In progress", detail, {"retry-after": "1"})
    length = (b"content-length", str(len(kept.body)).encode())
    await send({"type": "http.response.start", "status": kept.status, "headers": [*kept.headers, length, REPLAYED]})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})


def _together(seen: list[Message]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    status, headers, body = 0, [], b""
    for message in seen:
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(name, value) for name, value in message["headers"] if name.lower() not in _NOT_KEPT]
        elif message["type"] == "http.response.body":
            body += message["body"]
    return status, headers, body


def _replay(parts: list[tuple[bytes, bool]], receive: Receive) -> Receive:
    waiting = list(parts)

    async def again() -> HTTPReceiveMessage:
        if waiting:
            body, more = waiting.pop(0)
            return HTTPRequestEvent(type="http.request", body=body, more_body=more)
        return await receive()  # type: ignore[return-value] # an HTTP message

    return again


def _digest(*parts: bytes) -> str:
    return blake2b(b"\n".join(parts), digest_size=16).hexdigest()
