"""One participant's socket: join, then frames in and frames out until either side goes."""

import asyncio
import secrets
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import RedisError
from structlog import get_logger
from structlog.contextvars import bound_contextvars

from functions import metrics
from functions.context import Context
from functions.signaling.admission import Turned
from functions.signaling.fan_out import Membership
from functions.signaling.limits import BudgetName, Budgets
from functions.signaling.media_requests import MediaRequests
from functions.signaling.room_control import ControlMessage
from functions.signaling.submissions import Submissions
from functions.signaling.transport import CLOSE_TIMEOUT_S, PeerGone, Transport
from shared.protocol import messages as m
from shared.protocol.codec import Codec, Frame
from shared.protocol.errors import CloseCode, ErrorCode, ProtocolError
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, TokenError, TokenExpired
from shared.state.limits import Holder
from shared.state.presence import Seat

JOIN_TIMEOUT_S = 5.0
PING_INTERVAL_S = 20.0
# Two pings may be lost; then the peer is taken for gone.
SILENCE_S = 3 * PING_INTERVAL_S
MAX_MALFORMED = 20
RETRY_AFTER_MS = 1000

# Violations are told to Redis by so many.
OFFENCES_COUNTED_BY = 10

_BAD_FRAMES = frozenset({ErrorCode.MALFORMED, ErrorCode.KIND_UNKNOWN, ErrorCode.TOO_LARGE})

_OFFENCES = _BAD_FRAMES | {ErrorCode.RATE_LIMITED, ErrorCode.FORBIDDEN}

log = get_logger(__name__)

T = TypeVar("T")


class _Closed(Exception):  # noqa: N818 - not an error: the end of a conversation
    """The conversation is over; `code` is what our side closes with, None when the peer has closed already."""

    def __init__(self, code: CloseCode | None) -> None:
        self.code = code


class Connection:
    """Serves one accepted socket."""

    def __init__(self, context: Context, room: str, codec: Codec, transport: Transport, *, address: str) -> None:
        """`address` is what limits of the client's address are counted by, '' where that is not known."""
        self.id = secrets.token_hex(6)
        self._address = address
        self._offences = 0
        self.outbox = transport.outbox(codec, self._interrupt)
        self._context = context
        self._room = room
        self._codec = codec
        self._transport = transport
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._heard_at = 0.0
        self._malformed = 0
        self._claims = Claims(sub="")
        self._budgets = Budgets()
        self._media: MediaRequests | None = None
        self._next_frame: asyncio.Task[Frame] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._backed_off = False
        # Why somebody else ends this connection.
        self._end_code: CloseCode | None = None
        self.seat: Seat | None = None
        self.holder: Holder | None = None

    async def run(self) -> None:
        """Talk until the peer leaves, misbehaves, falls silent or stalls. Never raises but for cancellation."""
        self._task = asyncio.current_task()
        code: CloseCode | None = CloseCode.TRY_AGAIN
        try:
            await self._talk()
        except _Closed as closed:
            code = closed.code
        except asyncio.CancelledError:
            if not self._interrupted or self._task is None:
                raise
            # Our own doing: the wait for the next frame could be ended in no other way.
            self._task.uncancel()
            code = self._why_interrupted()
        except Exception:
            log.exception("connection_failed")
        # From here on nothing may cut the farewell short.
        self._interrupted = True
        await self._close(code)
        for task in self._tasks:
            task.cancel()
        if self._media is not None:
            await self._media.settle()
        if self.seat is not None:
            self._context.desk.leave(self._room, self.id)
        holder, self.holder = self.holder, None
        if holder is not None:
            with suppress(RedisError, OSError):
                await self._context.reception.limits.close(holder, self.id)

    def put(self, message: m.ServerMessage) -> None:
        """Send a message to this socket alone."""
        self.outbox.put(message)

    def refuse(self, error: ProtocolError) -> None:
        """Send an error frame."""
        metrics.ERRORS_OUT.labels(error.code.name.lower()).inc()
        if error.code in _OFFENCES:
            self._offences += 1
            if self._offences == OFFENCES_COUNTED_BY:
                self._begin(self._offended())
        self.outbox.put(m.Error(error.code, error.message, error.reference, error.retry_after_ms))

    def expire(self, now: float) -> None:
        """Give the peer up if it has been silent for too long; `now` is loop time."""
        if now - self._heard_at > SILENCE_S:
            self._interrupt()

    def displace(self) -> None:
        """Close: a newer connection of the same identity took this one's place."""
        self._end_code = CloseCode.DISPLACED
        self._interrupt()

    def expel(self) -> None:
        """Close: this participant was banned."""
        self._end_code = CloseCode.FORBIDDEN
        self.refuse(ProtocolError(ErrorCode.BANNED, "you may not be in this room"))
        self._interrupt()

    def remove(self) -> None:
        """Close: the room was deleted."""
        self._end_code = CloseCode.ROOM_UNKNOWN
        self.refuse(ProtocolError(ErrorCode.ROOM_UNKNOWN, "the room was deleted"))
        self._interrupt()

    @property
    def sid(self) -> str:
        """The session or API key that this participant's token came from; '' before the join."""
        return self._claims.sid

    def revoke(self) -> None:
        """Close: what this participant's token came from has been ended."""
        self._end_code = CloseCode.UNAUTHORIZED
        self.refuse(ProtocolError(ErrorCode.UNAUTHORIZED, "you have signed out"))
        self._interrupt()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S) as deadline:
                claims, membership = await self._join(deadline)
        except TimeoutError:
            metrics.JOINS.labels("timeout").inc()
            raise _Closed(CloseCode.JOIN_TIMEOUT) from None
        self._media = MediaRequests(self._context.sfu, self._context.qualities, claims, self)
        self._claims = claims
        submissions = Submissions(self._context.hub.appender, self._context.text_policy, self._room, claims, self)
        self._heard_at = loop.time()
        self._context.sockets.add(self)
        self._context.door.add(self._room, self, moderates=Grant.MODERATE in claims.grants)
        metrics.CONNECTIONS.inc()
        watches = int(Grant.PUBLISH not in claims.grants)
        metrics.VIEWERS.inc(watches)
        try:
            while True:
                frame = await self._receive()
                self._heard_at = loop.time()
                try:
                    self._handle(self._codec.decode_client(frame), submissions)
                except ProtocolError as error:
                    self._count(error)
                if submissions.crowded:
                    await submissions.keep_up()
        finally:
            metrics.CONNECTIONS.dec()
            metrics.VIEWERS.dec(watches)
            self._context.sockets.discard(self)
            self._context.door.remove(self._room, self)
            self._context.hub.leave(self._room, membership)

    def _handle(self, message: m.ClientMessage, submissions: Submissions) -> None:  # noqa: C901 - a dispatch table
        metrics.FRAMES_IN.labels(type(message).__name__.lower()).inc()
        match message:
            case m.Chat():
                submissions.chat(message)
            case m.Ping():
                self._spend("pings")
                self.put(m.Pong(message.nonce))
            case m.Gift():
                submissions.gift(message)
            case m.React():
                if not self._budgets.spend("ephemera"):
                    self._context.ephemeral.react(self._room, message.reaction, message.count)
            case m.Typing():
                if not self._budgets.spend("ephemera"):
                    self._context.ephemeral.type(self._room, self._claims.sub, self._claims.name)
            case m.Playback():
                metrics.PLAYBACK_BITRATE.observe(message.bitrate_kbps * 1000)
                metrics.PLAYBACK_FREEZES.inc(message.freezes)
            case m.Moderate() | m.Configure() | m.Admit() | m.People():
                self._spend("requests", message.request)
                self._begin(self._carry_out(message))
            case m.Join():
                raise ProtocolError(ErrorCode.JOINED_ALREADY, "this socket has joined already")
            case _:
                self._spend("signals", getattr(message, "request", None))
                assert self._media is not None  # noqa: S101 - made at the join
                self._media.begin(message)

    async def _carry_out(self, message: ControlMessage) -> None:
        try:
            self.put(await self._context.room_desk.carry_out(self._room, self._claims, message))
        except ProtocolError as error:
            self.refuse(error)
        except (RedisError, OSError):
            problem = "the room cannot be reached at the moment"
            self.refuse(
                ProtocolError(ErrorCode.UNAVAILABLE, problem, reference=message.request, retry_after_ms=RETRY_AFTER_MS)
            )

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"request-{self.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spend(self, limit: BudgetName, reference: int | None = None) -> None:
        if wait_ms := self._budgets.spend(limit):
            raise ProtocolError(ErrorCode.RATE_LIMITED, "too fast", reference=reference, retry_after_ms=wait_ms)

    async def _join(self, deadline: asyncio.Timeout) -> tuple[Claims, Membership]:
        while True:
            frame = await self._receive()
            try:
                message = self._codec.decode_client(frame)
            except ProtocolError as error:
                self._count(error)
                continue
            if isinstance(message, m.Join):
                return await self._admit(message, deadline)
            self._count(ProtocolError(ErrorCode.JOIN_EXPECTED, "the first frame must be a join"))

    async def _admit(self, join: m.Join, deadline: asyncio.Timeout) -> tuple[Claims, Membership]:
        # Before the token is looked at: whoever tries one after the other is held off as well.
        await self._received(self._context.reception.come_from(self._address))
        try:
            claims = self._context.tokens.verify(join.token, audience=AUDIENCE_ROOM)
        except TokenError as error:
            metrics.TOKENS_REFUSED.labels(error.code).inc()
            self._offences = OFFENCES_COUNTED_BY
            await self._offended()
            expired = isinstance(error, TokenExpired)
            code = ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.UNAUTHORIZED
            raise self._refused_join(code, str(error), CloseCode.UNAUTHORIZED) from None
        if claims.room != self._room or Grant.SUBSCRIBE not in claims.grants:
            raise self._refused_join(ErrorCode.FORBIDDEN, "the token is not for this room", CloseCode.FORBIDDEN)
        return claims, await self._enter(claims, join, deadline)

    async def _enter(self, claims: Claims, join: m.Join, deadline: asyncio.Timeout) -> Membership:
        watches = Grant.PUBLISH not in claims.grants
        self.seat = Seat(
            self.id,
            claims.sub,
            claims.name,
            "viewer" if watches else "streamer",
            watches=watches,
            moderates=Grant.MODERATE in claims.grants,
        )
        reception, room = self._context.reception, self._room
        holder = Holder(claims.sub, claims.tier)
        await self._received(reception.open(room, holder, self.id, resumes=join.epoch is not None))
        self.holder = holder
        # Who waits for somebody's decision may wait.
        viewers = await self._received(reception.seat(room, self.seat, self, lambda: deadline.reschedule(None)))
        membership, position = await self._received(
            self._context.hub.join(room, self.outbox, epoch=join.epoch, offset=join.offset)
        )
        self.put(
            m.Welcome(
                connection=self.id,
                participant=claims.sub,
                name=claims.name,
                role=self.seat.role,
                epoch=position.epoch,
                offset=position.offset,
                live=bool(position.live_session),
                viewers=viewers,
                ping_ms=int(PING_INTERVAL_S * 1000),
                instance=self._context.settings.instance,
            )
        )
        if position.gap:
            metrics.GAPS.labels(position.gap).inc()
            first = position.entries[0][0] if position.entries else position.offset
            self.put(m.Gap(position.gap, position.epoch, first))
        membership.activate(position)
        metrics.JOINS.labels("resumed" if join.epoch else "fresh").inc()
        log.info("joined", room=room, participant=claims.sub, resumed=join.epoch is not None)
        return membership

    async def _received(self, step: Awaitable[T]) -> T:
        """Await a step of letting this connection in; a refusal is told and closes it."""
        try:
            return await step
        except Turned as turned:
            if turned.limit:
                metrics.LIMITS_REFUSED.labels(turned.limit).inc()
            raise self._refused_join(turned.code, str(turned), turned.close, turned.retry_after_ms) from None
        except (RedisError, OSError) as error:
            log.warning("join_failed", error=type(error).__name__)
            problem = "the room cannot be reached at the moment"
            raise self._refused_join(ErrorCode.UNAVAILABLE, problem, CloseCode.TRY_AGAIN, RETRY_AFTER_MS) from None

    async def idle(self, woken: Awaitable[object]) -> None:
        """Answer pings while waiting at the door, until `woken` is done or timed out."""
        waiting = asyncio.ensure_future(woken)
        try:
            while not waiting.done():
                if self._next_frame is None:
                    self._next_frame = asyncio.create_task(self._transport.receive(), name=f"receive-{self.id}")
                await asyncio.wait({waiting, self._next_frame}, return_when=asyncio.FIRST_COMPLETED)
                if self._next_frame.done():
                    self._serve_waiting(await self._receive())
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def _serve_waiting(self, frame: Frame) -> None:
        try:
            message = self._codec.decode_client(frame)
        except ProtocolError as error:
            self._count(error)
            return
        if isinstance(message, m.Ping):
            self.put(m.Pong(message.nonce))
        else:
            self._count(ProtocolError(ErrorCode.JOIN_EXPECTED, "you are not in the room yet"))

    async def _receive(self) -> Frame:
        try:
            # One may be under way already, begun while this socket waited at the door.
            frame = await (self._next_frame or self._transport.receive())
        except PeerGone as gone:
            if gone.code in {CloseCode.NORMAL, CloseCode.GOING_AWAY} and self._media is not None:
                # A publisher who leaves in so many words ends the stream; one whose link broke may come back to it.
                await self._media.end_publishing()
            raise _Closed(None) from None
        self._next_frame = None
        return frame

    def _refused_join(
        self, code: ErrorCode, problem: str, close: CloseCode, retry_after_ms: int | None = None
    ) -> _Closed:
        metrics.JOINS.labels(code.name.lower()).inc()
        self.refuse(ProtocolError(code, problem, retry_after_ms=retry_after_ms))
        return _Closed(close)

    async def _offended(self) -> None:
        """Count violations against identity and address; who goes on is backed off, ever longer."""
        weight, self._offences = self._offences, 0
        with suppress(RedisError, OSError):
            wait_ms = await self._context.reception.limits.offended(
                identity=self._claims.sub, address=self._address, weight=weight
            )
            if wait_ms and self.seat is not None:
                self._backed_off = True
                self.refuse(ProtocolError(ErrorCode.BACKED_OFF, "come back later", retry_after_ms=wait_ms))
                self._interrupt()

    def _count(self, error: ProtocolError) -> None:
        self.refuse(error)
        if error.code in _BAD_FRAMES:
            self._malformed += 1
            if self._malformed >= MAX_MALFORMED:
                raise _Closed(CloseCode.MALFORMED)

    def _interrupt(self) -> None:
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def _why_interrupted(self) -> CloseCode | None:
        if self.outbox.overflowed:
            return CloseCode.TOO_SLOW
        if self._backed_off:
            return CloseCode.TOO_MANY
        if self._end_code is not None:
            return self._end_code
        # An outbox that closed by itself found the peer gone; else it was silent.
        return None if self.outbox.closed else CloseCode.GOING_AWAY

    async def _close(self, code: CloseCode | None) -> None:
        if code is None:
            self.outbox.close()
            return
        metrics.CLOSES.labels(str(int(code))).inc()
        # What the peer is closed for was said in an error frame: let it get out first.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not self.outbox.settled:  # noqa: ASYNC110 - happens once per connection
                    await asyncio.sleep(0.005)
        self.outbox.close()
        if self._next_frame is not None:
            self._next_frame.cancel()
            await asyncio.gather(self._next_frame, return_exceptions=True)
        await self._transport.close(code)


async def serve_socket(
    context: Context, room: str, codec: Codec, transport: Transport, *, peer: str, forwarded: str
) -> None:
    """Serve an accepted socket to its end, given the address of its other end and its X-Forwarded-For header."""
    address = context.trusted_proxies.prefix(peer, forwarded)
    connection = Connection(context, room, codec, transport, address=address)
    with bound_contextvars(connection=connection.id):
        await connection.run()
