"""Media requests of one socket: they go to an SFU worker, beside the chat, so that a slow one holds up nothing."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

from redis.exceptions import RedisError

from functions.sfu_client import SfuClient, SfuError
from functions.signaling.qualities import Qualities, Viewports
from shared.protocol import messages as m
from shared.protocol import sdp
from shared.protocol.errors import ErrorCode, ProtocolError
from shared.security.tokens import Claims, Grant
from shared.state.fleet import NoWorkerAvailable

MAX_AT_ONCE = 4
TIMEOUT_S = 6.0
RETRY_AFTER_MS = 1000

_CODES = {
    "sdp_refused": ErrorCode.SDP_REFUSED,
    "no_publisher": ErrorCode.NOT_LIVE,
    "room_ended": ErrorCode.FORBIDDEN,
    "unknown_session": ErrorCode.SESSION_UNKNOWN,
    "at_capacity": ErrorCode.NO_CAPACITY,
    "draining": ErrorCode.NO_CAPACITY,
    "unknown_layer": ErrorCode.SESSION_UNKNOWN,
    "not_restarted": ErrorCode.SDP_REFUSED,
    "restart_unsupported": ErrorCode.SDP_REFUSED,
}

MediaMessage = (
    m.Publish | m.Subscribe | m.Accept | m.Hangup | m.Candidate | m.Candidates | m.Quality | m.Viewport | m.Restart
)


_Request = m.Publish | m.Subscribe | m.Accept | m.Hangup | m.Quality | m.Restart


class Peer(Protocol):
    """The connection that the requests came on."""

    def put(self, message: m.ServerMessage) -> None:
        """Send a message."""

    def refuse(self, error: ProtocolError) -> None:
        """Send an error frame."""


class MediaRequests:
    """The media requests and sessions of one connection."""

    def __init__(self, sfu: SfuClient, qualities: Qualities, claims: Claims, peer: Peer) -> None:
        self._sfu = sfu
        self._qualities = qualities
        self._claims = claims
        self._peer = peer
        self._publishing: set[str] = set()
        self._watching: set[str] = set()
        self._viewports = Viewports(self._fit)
        self._tasks: set[asyncio.Task[None]] = set()
        qualities.attend(claims.sub, peer)

    def begin(self, message: MediaMessage) -> None:
        """Start carrying out a request; it is answered when it is done.

        Raises:
            ProtocolError: FORBIDDEN without the grant, RATE_LIMITED when too many are under way.
        """
        if isinstance(message, m.Candidate | m.Candidates):
            # Workers are ICE-lite: they learn addresses from connectivity checks (RFC 8445, section 7.3).
            return
        if isinstance(message, m.Viewport):
            self._require(Grant.SUBSCRIBE, None)
            self._viewports.note(message)
            return
        if len(self._tasks) >= MAX_AT_ONCE:
            raise ProtocolError(
                ErrorCode.RATE_LIMITED,
                "too many media requests at once",
                reference=message.request,
                retry_after_ms=RETRY_AFTER_MS,
            )
        task = asyncio.create_task(self._answer(message.request, self._work(message)), name=f"media-{message.request}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _work(self, message: _Request) -> Coroutine[Any, Any, m.ServerMessage]:
        match message:
            case m.Publish():
                self._require(Grant.PUBLISH, message.request)
                return self._publish(message)
            case m.Subscribe():
                self._require(Grant.SUBSCRIBE, message.request)
                return self._subscribe(message)
            case m.Accept():
                self._require(Grant.SUBSCRIBE, message.request)
                return self._accept(message)
            case m.Quality():
                self._require(Grant.SUBSCRIBE, message.request)
                return self._choose(message)
            case m.Restart():
                return self._restart(message)
            case m.Hangup():
                return self._hangup(message)

    async def end_publishing(self) -> None:
        """End the streams that were begun on this connection: its user has left in so many words."""
        for session in self._publishing:
            with suppress(SfuError, RedisError, OSError):
                await self._sfu.end(self._claims, session)

    async def settle(self) -> None:
        """Let what was asked for be carried out: a client that leaves sends `hangup` and closes."""
        self._viewports.stop()
        self._qualities.leave(self._claims.sub, self._peer)
        for session in self._watching:
            self._qualities.forget(session, self._peer)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT_S)
        for task in self._tasks:
            task.cancel()

    async def _answer(self, request: int, work: Coroutine[Any, Any, m.ServerMessage]) -> None:
        try:
            self._peer.put(await work)
        except ProtocolError as refused:
            self._peer.refuse(refused)
        except SfuError as refused:
            code = _CODES.get(refused.code, ErrorCode.UNAVAILABLE)
            self._peer.refuse(ProtocolError(code, refused.detail, reference=request))
        except NoWorkerAvailable as refused:
            self._unavailable(ErrorCode.NO_CAPACITY, str(refused), request)
        except (RedisError, OSError):
            self._unavailable(ErrorCode.UNAVAILABLE, "the media servers cannot be reached at the moment", request)

    def _unavailable(self, code: ErrorCode, problem: str, request: int) -> None:
        self._peer.refuse(ProtocolError(code, problem, reference=request, retry_after_ms=RETRY_AFTER_MS))

    async def _publish(self, message: m.Publish) -> m.ServerMessage:
        offer = sdp.plain(message.sdp, reference=message.request)
        session = await self._sfu.publish(self._claims, offer, instead_of=message.instead_of)
        self._publishing.add(session.session)
        return m.Answer(message.request, session.session, sdp.compress(session.sdp))

    async def _subscribe(self, message: m.Subscribe) -> m.ServerMessage:
        session = await self._sfu.subscribe(self._claims, instead_of=message.instead_of)
        self._watch(session.session)
        return m.Offer(message.request, session.session, sdp.compress(session.sdp))

    async def _accept(self, message: m.Accept) -> m.ServerMessage:
        answer = sdp.plain(message.sdp, reference=message.request)
        await self._sfu.answer(self._claims, message.session, answer)
        return m.Done(message.request)

    async def _hangup(self, message: m.Hangup) -> m.ServerMessage:
        await self._sfu.end(self._claims, message.session)
        self._publishing.discard(message.session)
        self._watching.discard(message.session)
        self._qualities.forget(message.session, self._peer)
        return m.Done(message.request)

    async def _choose(self, message: m.Quality) -> m.ServerMessage:
        mode, wanted = message.mode, m.QualityMode
        # Only the worker knows whose session it is, so this socket hears of it from here on.
        notice = await self._sfu.choose(
            self._claims,
            message.session,
            message.layer if mode is wanted.LAYER else None,
            paused=mode in {wanted.AUDIO_ONLY, wanted.PAUSED},
            sound=mode is not wanted.PAUSED,
        )
        self._watch(message.session)
        if notice is not None:
            self._peer.put(notice)
        return m.Done(message.request)

    async def _restart(self, message: m.Restart) -> m.ServerMessage:
        restarted = await self._sfu.restart(self._claims, message.session, message.ufrag, message.password)
        return m.Restarted(message.request, restarted.ufrag, restarted.password)

    async def _fit(self, session: str, height: int) -> None:
        # What does not arrive is said again when the player's size changes, or the socket comes back.
        with suppress(SfuError, RedisError, OSError):
            await self._sfu.fit(self._claims, session, height)

    def _watch(self, session: str) -> None:
        self._watching.add(session)
        self._qualities.watch(session, self._peer)

    def _require(self, grant: Grant, reference: int | None) -> None:
        if grant not in self._claims.grants:
            raise ProtocolError(ErrorCode.FORBIDDEN, f"the token does not grant {grant}", reference=reference)
