"""The rooms of a worker: who publishes, who watches, and what follows when one of them comes or goes."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import msgspec
from structlog import get_logger

from sfu_fleet import trickle
from sfu_fleet.ceilings import NO_LIMIT, TierLimit
from sfu_fleet.dtls import DtlsState
from sfu_fleet.errors import (
    AtCapacity,
    Draining,
    EtagMismatch,
    NoPublisher,
    RestartUnsupported,
    SdpRefused,
    UnknownSession,
)
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.publisher import Publisher
from sfu_fleet.session import Identity, MediaContext, Session, SessionInfo, State, new_session_id
from sfu_fleet.stream_events import StreamEvents
from sfu_fleet.subscriber import Subscriber
from shared.security.tokens import Tier

TICK_S = 1.0
# Nothing authentic for so long: the peer is gone. A lite agent sends no checks of its own, so consent to send (RFC
# 7675) is what the peer's checks say, which come every five seconds or so, or its media and reports. With `TICK_S` it
# is noticed in less than ten seconds.
LIVENESS_S = 8.0
# Offer, answer, connectivity and handshake together.
SETUP_S = 20.0
# A viewer's share of the packet budget until its real traffic shows in the load, and how long that takes.
ASSUMED_VIEWER_PPS = 300
ASSUMED_FOR_S = 3.0
# Failed sessions stay visible for whoever asks why.
_REMEMBERED_FAILURES = 64
_REMEMBERED_S = 60.0

log = get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """What one worker takes."""

    capacity_pps: int
    uplink_bitrate: int
    tiers: dict[Tier, TierLimit] = {}


class Room:
    """One room on this worker.

    `successor` is a second publisher whose connection is not up yet: the first stays live until it is.
    """

    def __init__(self, room_id: str) -> None:
        self.id = room_id
        self.publisher: Publisher | None = None
        self.successor: Publisher | None = None
        self.subscribers: dict[str, Subscriber] = {}

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        return self.publisher is None and self.successor is None and not self.subscribers


class Rooms:
    """Creates, finds, watches over and ends the sessions of a worker."""

    def __init__(
        self, worker_id: str, context: MediaContext, plane: PacketPlane, events: StreamEvents, limits: Limits
    ) -> None:
        self._worker_id = worker_id
        self._context = context
        self._plane = plane
        self._events = events
        self._limits = limits
        self._metrics = context.metrics
        self._rooms: dict[str, Room] = {}
        self._sessions: dict[str, Session] = {}
        self._failed: deque[tuple[float, SessionInfo]] = deque(maxlen=_REMEMBERED_FAILURES)
        self._closing: set[asyncio.Task[None]] = set()
        self.draining = False
        self.load_pps = 0
        self._metrics.sessions = self.counts
        self._metrics.capacity.set(limits.capacity_pps)

    def counts(self) -> dict[str, int]:
        """Sessions by kind."""
        sessions = self.sessions()
        publishers = sum(session.kind == "publish" for session in sessions)
        return {"publish": publishers, "subscribe": len(sessions) - publishers}

    def sessions(self) -> tuple[Session, ...]:
        """All sessions: a copy, made in one step, since metrics are read from another thread."""
        return tuple(self._sessions.values())

    def publish(self, room_id: str, participant: str, name: str, offer: str) -> Publisher:
        """Answer a publisher's offer. The room's present publisher is replaced once the new one is connected.

        Raises:
            SdpRefused, AtCapacity, Draining: the offer or this worker does not allow it.
        """
        self._admit()
        publisher = Publisher(
            Identity(new_session_id(self._worker_id), room_id, participant, name),
            self._context,
            self._plane,
            offer=offer,
            uplink_bitrate=self._limits.uplink_bitrate,
            on_live=self._on_live,
            on_connected=self._on_publisher_connected,
            on_end=self._on_peer_end,
        )
        room = self._rooms.setdefault(room_id, Room(room_id))
        if room.publisher is None:
            room.publisher = publisher
        else:
            if room.successor is not None:
                self.end(room.successor, "replaced")
            room.successor = publisher
        self._sessions[publisher.id] = publisher
        return publisher

    def subscribe(
        self, room_id: str, participant: str, name: str, offer: str | None, tier: Tier = Tier.STREAMER
    ) -> Subscriber:
        """Answer a viewer's offer, or make one where there is none. The tier bounds what they get.

        Raises:
            NoPublisher, SdpRefused, AtCapacity, Draining: the room, the offer or this worker does not allow it.
        """
        self._admit()
        room = self._rooms.get(room_id)
        if room is None or room.publisher is None:
            raise NoPublisher("nobody publishes in this room on this worker")
        subscriber = Subscriber(
            Identity(new_session_id(self._worker_id), room_id, participant, name),
            self._context,
            self._plane,
            room.publisher,
            offer=offer,
            on_end=self._on_peer_end,
            tier=self._limits.tiers.get(tier, NO_LIMIT),
        )
        room.subscribers[subscriber.id] = subscriber
        self._sessions[subscriber.id] = subscriber
        return subscriber

    def publisher_of(self, room_id: str) -> Publisher:
        """Who is live in a room.

        Raises:
            NoPublisher: nobody is.
        """
        room = self._rooms.get(room_id)
        if room is None or room.publisher is None or not room.publisher.live:
            raise NoPublisher("nobody is live in this room on this worker")
        return room.publisher

    def answer(self, session_id: str, answer: str) -> None:
        """Take a viewer's answer.

        Raises:
            UnknownSession, SdpRefused: there is no such session, or the answer does not fit its offer.
        """
        session = self._find(session_id)
        if not isinstance(session, Subscriber):
            raise SdpRefused("a publisher's session has no answer to take")
        session.accept(answer)

    def trickle(self, session_id: str, fragment: str, etag: str | None) -> Session | None:
        """Take a peer's fragment (RFC 8840): as a lite agent we need none of its candidates, but count them.

        With new credentials of the peer's it is an ICE restart: then the session is returned, which has a new tag and
        new credentials of ours.

        Raises:
            UnknownSession, EtagMismatch, RestartUnsupported, SdpRefused: as their names say.
        """
        session = self._find(session_id)
        said = trickle.parse(fragment)
        # RFC 9725, section 4.3.3: a restart comes with "*", since the tag that it would name is about to change.
        if etag is not None and etag.strip('"') not in {session.etag, "*"}:
            raise EtagMismatch("the entity tag is not that of the session's ICE session")
        if said.ufrag in session.former_ufrags:
            raise EtagMismatch("the fragment is of an ICE session that a restart has ended")
        self._metrics.candidates.inc(said.candidates)
        if not said.ufrag or said.ufrag == session.peer_ufrag:
            # A restart that is asked for again, since our answer was lost, is answered again.
            return session if said.ufrag and session.former_ufrags and etag == "*" else None
        if not session.transport.negotiated:
            raise RestartUnsupported("offer and answer are not complete yet")
        if not said.password:
            raise SdpRefused("a new a=ice-ufrag comes without its a=ice-pwd")
        session.restart_ice(said.ufrag)
        self._metrics.restarts.inc()
        return session

    def viewer(self, session_id: str) -> Subscriber:
        """A viewer's session.

        Raises:
            UnknownSession: there is no such viewer.
        """
        session = self._find(session_id)
        if not isinstance(session, Subscriber):
            raise UnknownSession("no viewer's session has this id")
        return session

    def hang_up(self, session_id: str) -> None:
        """End a session at its owner's wish.

        Raises:
            UnknownSession: there is no such session.
        """
        self.end(self._find(session_id), "left")

    def identity_of(self, session_id: str) -> Identity:
        """Whose session it is.

        Raises:
            UnknownSession: there is no such session.
        """
        return self._find(session_id).identity

    def infos(self) -> list[SessionInfo]:
        """All sessions, and those that failed within the last minute."""
        oldest = self._context.clock() - _REMEMBERED_S
        failed = [info for at, info in self._failed if at >= oldest]
        return [session.info() for session in self._sessions.values()] + failed

    def end(self, session: Session, reason: str, *, state: State = State.CLOSED) -> None:
        """End a session for the given reason; when it is the room's live stream, end it for everybody."""
        if self._sessions.pop(session.id, None) is None:
            return
        session.state, session.reason = state, reason
        if state is State.FAILED:
            self._failed.append((self._context.clock(), session.info()))
        session.transport.silence()
        session.finish()
        session.log.info("session_ended", reason=reason, state=state.value)
        self._metrics.sessions_ended.labels(session.kind, "failed" if state is State.FAILED else _bounded(reason)).inc()
        self._own(session.transport.close())
        room = self._rooms[session.room]
        if isinstance(session, Publisher):
            self._leave(room, session, _bounded(reason))
        else:
            room.subscribers.pop(session.id, None)
        if room.empty:
            # Ending a publisher ends its viewers, of whom the last may have removed the room already.
            self._rooms.pop(room.id, None)

    async def run(self) -> None:
        """Watch over all sessions until cancelled."""
        clock = self._context.clock
        traffic = self._metrics.traffic
        before, at = traffic.all_packets_out, clock()
        while True:
            await asyncio.sleep(TICK_S)
            now = clock()
            sent = traffic.all_packets_out
            self.load_pps = round((sent - before) / (now - at))
            self._metrics.load.set(self.load_pps)
            before, at = sent, now
            for session in list(self._sessions.values()):
                try:
                    self._watch(session, now)
                except Exception:
                    # One session's trouble must not end the watch over the others.
                    self._metrics.loop_errors.inc()
                    session.log.exception("watch_failed")

    async def drain(self) -> None:
        """End all sessions and wait until their peers have been told."""
        self.draining = True
        for kind in (Publisher, Subscriber):
            for session in [session for session in self._sessions.values() if isinstance(session, kind)]:
                self.end(session, "drained")
        if self._closing:
            await asyncio.wait(self._closing)

    def _admit(self) -> None:
        if self.draining:
            raise Draining("this worker is about to stop")
        now = self._context.clock()
        young = sum(
            now - session.created_at < ASSUMED_FOR_S
            for session in self._sessions.values()
            if session.kind == "subscribe"
        )
        if self.load_pps + (young + 1) * ASSUMED_VIEWER_PPS > self._limits.capacity_pps:
            raise AtCapacity("the packet budget of this worker is used up")

    def _find(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession("no session has this id")
        return session

    def _watch(self, session: Session, now: float) -> None:
        if session.state is State.CONNECTED:
            if now - session.transport.heard_at > LIVENESS_S:
                self.end(session, "lost")
            elif isinstance(session, Publisher):
                session.report(now)
            elif isinstance(session, Subscriber):
                session.look(now)
        elif now - session.created_at > SETUP_S:
            reason = "no connectivity check arrived" if session.transport.remote is None else "handshake not finished"
            self.end(session, reason, state=State.FAILED)

    def _on_peer_end(self, session: Session, state: DtlsState, reason: str) -> None:
        if state is DtlsState.FAILED and session.state is not State.CONNECTED:
            self._metrics.handshake_failures.labels(session.kind).inc()
            session.log.warning("handshake_failed", reason=reason)
            self.end(session, f"DTLS handshake failed: {reason}", state=State.FAILED)
        else:
            self.end(session, "left" if state is DtlsState.CLOSED else "lost")

    def _on_publisher_connected(self, publisher: Publisher) -> None:
        room = self._rooms[publisher.room]
        if room.successor is publisher and room.publisher is not None:
            self.end(room.publisher, "replaced")

    def _on_live(self, publisher: Publisher) -> None:
        self._events.started(publisher.room, publisher.id, publisher.identity.name)

    def _leave(self, room: Room, publisher: Publisher, reason: str) -> None:
        if room.successor is publisher:
            room.successor = None
            return
        room.publisher, room.successor = room.successor, None
        for subscriber in list(room.subscribers.values()):
            self.end(subscriber, reason)
        if publisher.live:
            self._events.ended(room.id, publisher.id, reason)

    def _own(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing, name="transport-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_REASONS = frozenset({"left", "lost", "replaced", "drained"})


def _bounded(reason: str) -> str:
    """The reason as a label and as an event: one of a fixed set."""
    return reason if reason in _REASONS else "lost"
