"""One participant's socket: join, then frames in and frames out until either side goes."""

import asyncio
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.context import Context
from functions.sfu_client import SfuError
from functions.signaling.appender import Backlogged
from functions.signaling.hub import Membership
from functions.signaling.outbox import Outbox
from functions.signaling.text import chat_text
from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode, ProtocolError
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tier, TokenError, TokenExpired
from shared.state.fleet import NoWorkerAvailable
from shared.state.rooms import ChatMessage, Outcome

JOIN_TIMEOUT_S = 5.0
PING_INTERVAL_S = 20.0
# Two pings may be lost; then the peer is taken for gone.
SILENCE_S = 3 * PING_INTERVAL_S
CLOSE_TIMEOUT_S = 1.0
MAX_MALFORMED = 20
MAX_MEDIA_REQUESTS = 4
MEDIA_TIMEOUT_S = 6.0
RETRY_AFTER_MS = 1000

MESSAGES_PER_SECOND = {Tier.ANONYMOUS: 2, Tier.VIEWER: 5, Tier.PREMIUM: 10, Tier.STREAMER: 50}

_SFU_CODES = {
    "sdp_refused": ErrorCode.SDP_REFUSED,
    "no_publisher": ErrorCode.NOT_LIVE,
    "unknown_session": ErrorCode.SESSION_UNKNOWN,
    "at_capacity": ErrorCode.NO_CAPACITY,
    "draining": ErrorCode.NO_CAPACITY,
}

Work = Coroutine[Any, Any, m.ServerMessage]

log = get_logger(__name__)


class _Closed(Exception):  # noqa: N818 - not an error: the end of a conversation
    """The conversation is over; `code` is what our side closes with, None when the peer has closed already."""

    def __init__(self, code: CloseCode | None) -> None:
        self.code = code


class Connection:
    """Serves one accepted socket. `run` returns when it is over; it never raises but for cancellation."""

    def __init__(self, context: Context, socket: WebSocket[Any, Any, Any], room: str) -> None:
        self.id = secrets.token_hex(6)
        self._context = context
        self._socket = socket
        self._room = room
        self._outbox = Outbox()
        self._claims = Claims(sub="")
        self._malformed = 0
        self._publishing: set[str] = set()
        self._media: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Talk until the peer leaves, misbehaves or stalls."""
        talking = asyncio.create_task(self._talk(), name=f"talk-{self.id}")
        writing = asyncio.create_task(self._outbox.drain_into(self._send), name=f"write-{self.id}")
        stalled = asyncio.create_task(self._outbox.overflowed.wait(), name=f"stalled-{self.id}")
        tasks = {talking, writing, stalled}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code: CloseCode | None = None
            if stalled.done():
                code = CloseCode.TOO_SLOW
            elif talking.done():
                error = talking.exception()
                code = error.code if isinstance(error, _Closed) else CloseCode.TRY_AGAIN
                if error is not None and not isinstance(error, _Closed):
                    log.error("connection_failed", exc_info=error)
                if code is not None:
                    # What the peer is closed for was said in an error frame: let it get out first.
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._outbox.flushed(), CLOSE_TIMEOUT_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._close(code)
        # A client that leaves sends `hangup` and closes: what it asked for is carried out all the same.
        if self._media:
            await asyncio.wait(self._media, timeout=MEDIA_TIMEOUT_S)
        for task in self._media:
            task.cancel()

    async def _talk(self) -> None:
        try:
            membership = await asyncio.wait_for(self._join(), JOIN_TIMEOUT_S)
        except TimeoutError:
            metrics.JOINS.labels("timeout").inc()
            raise _Closed(CloseCode.JOIN_TIMEOUT) from None
        metrics.CONNECTIONS.inc()
        try:
            while True:
                try:
                    message = m.decode_client(await asyncio.wait_for(self._receive(), SILENCE_S))
                    metrics.FRAMES_IN.labels(type(message).__name__.lower()).inc()
                    await self._handle(message)
                except ProtocolError as error:
                    self._refuse(error)
                except TimeoutError:
                    raise _Closed(CloseCode.GOING_AWAY) from None
        finally:
            metrics.CONNECTIONS.dec()
            self._context.hub.leave(self._room, membership)

    async def _join(self) -> Membership:
        while True:
            try:
                message = m.decode_client(await self._receive())
            except ProtocolError as error:
                self._refuse(error)
                continue
            if isinstance(message, m.Join):
                return await self._admit(message)
            self._refuse(ProtocolError(ErrorCode.JOIN_EXPECTED, "the first frame must be a join"))

    async def _admit(self, join: m.Join) -> Membership:
        try:
            claims = self._context.tokens.verify(join.token, audience=AUDIENCE_ROOM)
        except TokenError as error:
            metrics.TOKENS_REFUSED.labels(error.code).inc()
            expired = isinstance(error, TokenExpired)
            code = ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.UNAUTHORIZED
            raise self._refused_join(code, str(error), CloseCode.UNAUTHORIZED) from None
        if claims.room != self._room or Grant.SUBSCRIBE not in claims.grants:
            raise self._refused_join(ErrorCode.FORBIDDEN, "the token is not for this room", CloseCode.FORBIDDEN)
        self._claims = claims
        watches = Grant.PUBLISH not in claims.grants
        try:
            membership, position = await self._context.hub.join(
                self._room, self._outbox, watches=watches, epoch=join.epoch, offset=join.offset
            )
        except (RedisError, OSError) as error:
            log.warning("join_failed", error=type(error).__name__)
            raise self._refused_join(
                ErrorCode.UNAVAILABLE, "the room cannot be reached at the moment", CloseCode.TRY_AGAIN
            ) from None
        self._put(
            m.Welcome(
                connection=self.id,
                participant=claims.sub,
                name=claims.name,
                role="viewer" if watches else "streamer",
                epoch=position.epoch,
                offset=position.offset,
                live=bool(position.live_session),
                viewers=self._context.hub.viewers(self._room),
                ping_ms=int(PING_INTERVAL_S * 1000),
                instance=self._context.settings.instance,
            )
        )
        if position.gap:
            metrics.GAPS.labels(position.gap).inc()
            first = position.entries[0][0] if position.entries else position.offset
            self._put(m.Gap(position.gap, position.epoch, first))
        membership.activate(position)
        metrics.JOINS.labels("resumed" if join.epoch else "fresh").inc()
        log.info("joined", room=self._room, participant=claims.sub, resumed=join.epoch is not None)
        return membership

    async def _handle(self, message: m.ClientMessage) -> None:
        match message:
            case m.Chat():
                await self._chat(message)
            case m.Ping():
                self._put(m.Pong(message.nonce))
            case m.Join():
                raise ProtocolError(ErrorCode.JOINED_ALREADY, "this socket has joined already")
            case m.Publish():
                self._begin(Grant.PUBLISH, message.request, self._publish(message))
            case m.Subscribe():
                self._begin(Grant.SUBSCRIBE, message.request, self._subscribe(message))
            case m.Accept():
                self._begin(Grant.SUBSCRIBE, message.request, self._accept(message))
            case m.Hangup():
                self._begin(None, message.request, self._hangup(message))

    async def _chat(self, message: m.Chat) -> None:
        self._require(Grant.CHAT, message.message_id)
        text = chat_text(message.text, message.message_id)
        claims = self._claims
        try:
            outcome, value = await self._context.hub.appender.append(
                self._room,
                ChatMessage(claims.sub, claims.name, message.message_id, text, MESSAGES_PER_SECOND[claims.tier]),
            )
        except (RedisError, OSError, Backlogged):
            problem = "not sent yet: the room cannot be reached at the moment"
            raise ProtocolError(
                ErrorCode.UNAVAILABLE, problem, reference=message.message_id, retry_after_ms=RETRY_AFTER_MS
            ) from None
        if outcome is Outcome.TOO_FAST:
            raise ProtocolError(ErrorCode.RATE_LIMITED, "too fast", reference=message.message_id, retry_after_ms=value)
        self._put(m.Sent(message.message_id, value))

    def _begin(self, grant: Grant | None, request: int, work: Work) -> None:
        """Let a media request run beside the chat: a slow worker must not hold up messages."""
        if len(self._media) >= MAX_MEDIA_REQUESTS:
            work.close()
            problem = "too many media requests at once"
            raise ProtocolError(ErrorCode.RATE_LIMITED, problem, reference=request, retry_after_ms=RETRY_AFTER_MS)
        try:
            if grant is not None:
                self._require(grant, request)
        except ProtocolError:
            work.close()
            raise
        task = asyncio.create_task(self._answer_request(request, work), name=f"media-{self.id}-{request}")
        self._media.add(task)
        task.add_done_callback(self._media.discard)

    async def _answer_request(self, request: int, work: Work) -> None:
        try:
            self._put(await work)
        except SfuError as refused:
            code = _SFU_CODES.get(refused.code, ErrorCode.UNAVAILABLE)
            error = ProtocolError(code, refused.detail, reference=request)
        except NoWorkerAvailable as refused:
            error = ProtocolError(ErrorCode.NO_CAPACITY, str(refused), reference=request, retry_after_ms=RETRY_AFTER_MS)
        except (RedisError, OSError):
            problem = "the media servers cannot be reached at the moment"
            error = ProtocolError(ErrorCode.UNAVAILABLE, problem, reference=request, retry_after_ms=RETRY_AFTER_MS)
        else:
            return
        self._refuse(error)

    async def _publish(self, message: m.Publish) -> m.ServerMessage:
        session = await self._context.sfu.publish(self._claims, message.sdp)
        self._publishing.add(session.session)
        return m.Answer(message.request, session.session, session.sdp)

    async def _subscribe(self, message: m.Subscribe) -> m.ServerMessage:
        session = await self._context.sfu.subscribe(self._claims)
        return m.Offer(message.request, session.session, session.sdp)

    async def _accept(self, message: m.Accept) -> m.ServerMessage:
        await self._context.sfu.answer(self._claims, message.session, message.sdp)
        return m.Done(message.request)

    async def _hangup(self, message: m.Hangup) -> m.ServerMessage:
        await self._context.sfu.end(self._claims, message.session)
        self._publishing.discard(message.session)
        return m.Done(message.request)

    def _require(self, grant: Grant, reference: int) -> None:
        if grant not in self._claims.grants:
            raise ProtocolError(ErrorCode.FORBIDDEN, f"the token does not grant {grant}", reference=reference)

    async def _receive(self) -> bytes:
        try:
            event: Any = await self._socket.receive()
        except (WebSocketDisconnect, RuntimeError):
            raise _Closed(None) from None
        if event["type"] == "websocket.disconnect":
            await self._left(event.get("code"))
            raise _Closed(None)
        data = event.get("bytes")
        if data is None:
            raise ProtocolError(ErrorCode.MALFORMED, "expected a binary frame")
        return bytes(data)

    async def _left(self, code: int | None) -> None:
        """A publisher who leaves in so many words ends the stream; one whose link broke may come back to it."""
        if code in {CloseCode.NORMAL, CloseCode.GOING_AWAY}:
            for session in self._publishing:
                with suppress(SfuError, RedisError, OSError):
                    await self._context.sfu.end(self._claims, session)

    def _refused_join(self, code: ErrorCode, problem: str, close: CloseCode) -> _Closed:
        metrics.JOINS.labels(code.name.lower()).inc()
        self._put(m.Error(code, problem, None, RETRY_AFTER_MS if code is ErrorCode.UNAVAILABLE else None))
        metrics.ERRORS_OUT.labels(code.name.lower()).inc()
        return _Closed(close)

    def _refuse(self, error: ProtocolError) -> None:
        metrics.ERRORS_OUT.labels(error.code.name.lower()).inc()
        self._put(m.Error(error.code, error.message, error.reference, error.retry_after_ms))
        if error.code in {ErrorCode.MALFORMED, ErrorCode.KIND_UNKNOWN, ErrorCode.TOO_LARGE}:
            self._malformed += 1
            if self._malformed >= MAX_MALFORMED:
                raise _Closed(CloseCode.MALFORMED)

    def _put(self, message: m.ServerMessage) -> None:
        self._outbox.put(m.encode(message))

    async def _send(self, frame: bytes) -> None:
        await self._socket.send_data(frame, mode="binary")

    async def _close(self, code: CloseCode | None) -> None:
        if code is None:
            return
        metrics.CLOSES.labels(str(int(code))).inc()
        # The close of a stalled peer waits for ever, and a peer that has gone raises.
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            await asyncio.wait_for(self._socket.close(code=int(code), reason=code.name.lower()), CLOSE_TIMEOUT_S)
