"""The rooms of a worker: who publishes, who watches, and what follows when one of them comes or goes."""

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any

import msgspec
from structlog import get_logger

from sfu_fleet import trickle
from sfu_fleet.cascade.contract import MAX_DEPTH, Fed, FeedRequest, Parent
from sfu_fleet.cascade.feed import Feed
from sfu_fleet.cascade.pull import Pull
from sfu_fleet.cascade.wire import Totals
from sfu_fleet.ceilings import NO_LIMIT, TierLimit
from sfu_fleet.dtls import DtlsState
from sfu_fleet.errors import (
    AtCapacity,
    Draining,
    EtagMismatch,
    Fenced,
    NoPublisher,
    RestartUnsupported,
    SdpRefused,
    TooDeep,
    UnknownSession,
    Unreachable,
)
from sfu_fleet.expectation import ASSUMED_FOR_S, ASSUMED_VIEWER_PPS, Expectation
from sfu_fleet.forwarder import PacketPlane
from sfu_fleet.publisher import Publisher
from sfu_fleet.session import Identity, MediaContext, Session, SessionInfo, State, new_session_id
from sfu_fleet.source import Source
from sfu_fleet.stream_events import StreamEvents
from sfu_fleet.subscriber import Subscriber
from sfu_fleet.uplink import Layer
from shared.security.tokens import Tier
from shared.state.fleet import Report
from shared.telemetry.catalogue.media import KINDS

TICK_S = 1.0
TURNS = 20
# Nothing authentic for so long: the peer is gone. A lite agent sends no checks of its own, so consent to send (RFC
# 7675) is what the peer's checks say, which come every five seconds or so, or its media and reports. With `TICK_S` it
# is noticed in less than ten seconds.
LIVENESS_S = 8.0
# Offer, answer, connectivity and handshake together.
SETUP_S = 20.0
# The stream of a publisher who has gone to another worker goes on here for so long, if anybody still needs it.
SUPERSEDED_S = 6.0
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

    `successor` is a second publisher whose connection is not up yet: the first stays live until it is. `pull` is there
    where the stream comes from another worker, or did when viewers came who are still there. `fence` is the highest one
    of the room's origins that this worker has heard of.
    """

    def __init__(self, room_id: str) -> None:
        self.id = room_id
        self.publisher: Publisher | None = None
        self.successor: Publisher | None = None
        self.pull: Pull | None = None
        self.subscribers: dict[str, Subscriber] = {}
        self.feeds: dict[str, Feed] = {}
        self.fence = 0

    @property
    def origin(self) -> Publisher | None:
        """Who publishes here, unless another worker has become the origin since."""
        publisher = self.publisher
        return publisher if publisher is not None and publisher.superseded_at is None else None

    @property
    def source(self) -> Source | None:
        """What viewers get from now on."""
        return self.origin or self.pull

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        sources = self.publisher, self.successor, self.pull
        return not any(sources) and not self.subscribers and not self.feeds

    def needed_of(self, source: Source) -> set[Layer]:
        """The layers of a source that somebody here is fed from, or is about to be."""
        needed = {found for feed in self.feeds.values() if feed.source is source for found in feed.used}
        for subscriber in self.subscribers.values():
            if subscriber.publisher is source:
                needed |= subscriber.used
        return needed

    def totals_of(self, source: Source | None = None) -> Totals:
        """What a source's stream becomes here and at the edges that it feeds; without one, that of all here."""
        totals = Totals()
        for subscriber in self.subscribers.values():
            if source is None or subscriber.publisher is source:
                totals += Totals(1, subscriber.packets_carried(), sum(leg.lost for leg in subscriber.legs))
        for feed in self.feeds.values():
            if source is None or feed.source is source:
                totals += feed.totals
        return totals


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
        self._expectation = Expectation()
        self._metrics.sessions = self.counts
        self._metrics.capacity.set(limits.capacity_pps)

    def counts(self) -> dict[str, int]:
        """Sessions by kind."""
        # A sum of counters would leave out the zeros.
        return dict.fromkeys(KINDS, 0) | Counter(session.kind for session in self.sessions())

    def sessions(self) -> tuple[Session, ...]:
        """All sessions: a copy, made in one step, since metrics are read from another thread."""
        return tuple(self._sessions.values())

    def publish(
        self, room_id: str, participant: str, name: str, offer: str, token: int = 0, *, continues: str = ""
    ) -> Publisher:
        """Answer a publisher's offer. The room's present publisher is replaced once the new one is connected.

        `token` is that of the lease under which this worker is the room's origin, as placement gave it; `continues` the
        session whose place this one takes, where it is the same stream.

        Raises:
            SdpRefused, AtCapacity, Draining, Fenced: the offer, this worker or another origin does not allow it.
        """
        self._admit()
        self._fence(room_id, token)
        publisher = Publisher(
            Identity(new_session_id(self._worker_id), room_id, participant, name),
            self._context,
            self._plane,
            offer=offer,
            uplink_bitrate=self._limits.uplink_bitrate,
            on_live=self._on_live,
            on_connected=self._on_publisher_connected,
            on_end=self._on_peer_end,
            fence=token,
            continues=continues,
        )
        room = self._rooms.setdefault(room_id, Room(room_id))
        room.fence = max(room.fence, token)
        if room.source is None:
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
        if room is None or room.source is None:
            raise NoPublisher("nobody publishes in this room on this worker")
        subscriber = Subscriber(
            Identity(new_session_id(self._worker_id), room_id, participant, name),
            self._context,
            self._plane,
            room.source,
            offer=offer,
            on_end=self._on_peer_end,
            tier=self._limits.tiers.get(tier, NO_LIMIT),
        )
        room.subscribers[subscriber.id] = subscriber
        self._sessions[subscriber.id] = subscriber
        return subscriber

    def feed(self, room_id: str, request: FeedRequest) -> tuple[Feed, int]:
        """Feed an edge; and how many hops it is away from the publisher. A feed that it has already is replaced.

        Raises:
            NoPublisher, AtCapacity, Draining, Fenced, TooDeep, Unreachable: as their names say.
        """
        room = self._rooms.get(room_id)
        source = room.source if room is not None else None
        if room is None or source is None or not source.gives:
            raise NoPublisher("nobody is live in this room on this worker")
        self._fence(room_id, request.fence)
        if request.fence > room.fence:
            raise Fenced("the stream that this worker has is not the one of that lease")
        depth = source.depth + 1
        if depth > MAX_DEPTH:
            raise TooDeep("this worker is as far from the publisher as an edge may be")
        self._admit()
        for former in [former for former in room.feeds.values() if former.worker == request.worker]:
            # The edge has two for a moment where it goes from one source of ours to another.
            if former.source is source:
                self.end(former, "replaced")
        identity = Identity(new_session_id(self._worker_id), room_id, f"worker:{request.worker}", request.worker)
        try:
            feed = Feed(
                identity,
                self._context,
                self._plane,
                source,
                request=request,
                fence=room.fence,
                on_end=self._on_peer_end,
            )
        except OSError as error:
            raise Unreachable(f"media cannot be sent to {request.address}: {error}") from error
        room.feeds[feed.id] = feed
        self._sessions[feed.id] = feed
        return feed, depth

    def edges_of(self, room_id: str, but: str) -> list[Parent]:
        """The workers that are fed a room from here, without that one: each may feed others."""
        room = self._rooms.get(room_id)
        source = room.source if room is not None else None
        if room is None or source is None or source.depth + 2 > MAX_DEPTH:
            return []
        return [Parent(feed.worker, feed.url) for feed in room.feeds.values() if feed.worker != but]

    def pull(self, room_id: str, fed: Fed, parent: Parent) -> Pull:
        """Begin to pull a room."""
        room = self._rooms.setdefault(room_id, Room(room_id))
        pull = Pull(
            Identity(new_session_id(self._worker_id), room_id, f"worker:{parent.worker}", fed.name),
            self._context,
            self._plane,
            fed,
            on_live=self._on_live,
            on_end=self._on_peer_end,
        )
        room.pull = pull
        room.fence = max(room.fence, fed.fence)
        self._sessions[pull.id] = pull
        return pull

    def rooms(self) -> list[Room]:
        """All rooms that have anybody here."""
        return list(self._rooms.values())

    def room(self, room_id: str) -> Room | None:
        """A room, if anybody of it is here."""
        return self._rooms.get(room_id)

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

    def find(self, session_id: str) -> Session:
        """A session.

        Raises:
            UnknownSession: there is no such session.
        """
        return self._find(session_id)

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
        if isinstance(session, Source):
            self._leave(room, session, _bounded(reason))
        else:
            room.subscribers.pop(session.id, None)
            room.feeds.pop(session.id, None)
        if room.empty:
            # Ending a publisher ends its viewers, of whom the last may have removed the room already.
            self._rooms.pop(room.id, None)

    def reports(self) -> list[Report]:
        """What the registry is told of the rooms that this worker serves."""
        reports = []
        for room in self._rooms.values():
            origin = room.successor or room.publisher
            viewers = len(room.subscribers)
            if origin is not None and origin.fence:
                reports.append(Report(room.id, origin.fence, viewers, "", *self._expectation.of_room(room.id)))
            elif room.pull is not None and room.pull.current is not None:
                reports.append(Report(room.id, room.pull.fence, viewers, room.pull.current.parent.worker))
        return reports

    def expected_pps(self) -> int:
        """Packets/s that will be sent once the viewers who have just come get theirs."""
        return self._expectation.pps(self._sessions.values(), self._context.clock())

    def supersede(self, room_id: str, token: int) -> None:
        """Another worker is the origin of a room, under this token: let the stream go that is published here.

        The publisher's session stays for as long as edges and viewers need to go over, but not longer than
        `SUPERSEDED_S`; nobody new comes to it.
        """
        room = self._rooms.get(room_id)
        if room is None:
            return
        room.fence = max(room.fence, token)
        if room.successor is not None and room.successor.fence < token:
            self.end(room.successor, "moved")
        publisher = room.publisher
        if publisher is None or publisher.fence >= token or publisher.superseded_at is not None:
            return
        publisher.superseded_at = self._context.clock()
        publisher.log.info("superseded", token=token)
        for feed in room.feeds.values():
            feed.leaving = feed.leaving or feed.source is publisher

    async def run(self) -> None:
        """Watch over all sessions until cancelled."""
        clock = self._context.clock
        traffic = self._metrics.traffic
        before, at = traffic.all_packets_out, clock()
        while True:
            # Each session once, spread over the tick: a thousand at once would hold up everything else.
            for turn in range(TURNS):
                await asyncio.sleep(TICK_S / TURNS)
                for session in list(self._sessions.values())[turn::TURNS]:
                    self._watch_safely(session, clock())
            now, sent = clock(), traffic.all_packets_out
            self.load_pps = round((sent - before) / (now - at))
            self._expectation.look(self.sessions(), now)
            self._metrics.load.set(self.load_pps)
            before, at = sent, now

    async def drain(self) -> None:
        """End all sessions and wait until their peers have been told."""
        self.draining = True
        for kind in (Publisher, Pull, Subscriber, Feed):
            for session in [session for session in self._sessions.values() if isinstance(session, kind)]:
                self.end(session, "drained")
        if self._closing:
            await asyncio.wait(self._closing)

    def _admit(self) -> None:
        if self.draining:
            raise Draining("this worker is about to stop")
        if self.load_pps + (self._young() + 1) * ASSUMED_VIEWER_PPS > self._limits.capacity_pps:
            raise AtCapacity("the packet budget of this worker is used up")

    def _find(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession("no session has this id")
        return session

    def _watch_safely(self, session: Session, now: float) -> None:
        try:
            self._watch(session, now)
        except Exception:
            # One session's trouble must not end the watch over the others.
            self._metrics.loop_errors.inc()
            session.log.exception("watch_failed")

    def _watch(self, session: Session, now: float) -> None:
        if session.state is State.CONNECTED:
            # Whether a pull still has a parent is seen by who looks for another one.
            if now - session.transport.heard_at > LIVENESS_S and not isinstance(session, Pull):
                if isinstance(session, Feed):
                    self._metrics.orphans.inc()
                self.end(session, "lost")
            elif isinstance(session, Publisher) and self._is_over(session, now):
                self.end(session, "moved")
            elif isinstance(session, Source):
                session.report(now)
            elif isinstance(session, Subscriber):
                session.look_again(now)
        elif now - session.created_at > SETUP_S:
            reason = "no connectivity check arrived" if session.transport.remote is None else "handshake not finished"
            self.end(session, reason, state=State.FAILED)

    def _young(self) -> int:
        """Viewers whose traffic does not show in the load yet."""
        now = self._context.clock()
        return sum(
            now - session.created_at < ASSUMED_FOR_S
            for session in self._sessions.values()
            if session.kind in {"subscribe", "feed"}
        )

    def _is_over(self, publisher: Publisher, now: float) -> bool:
        """Whether the stream of a superseded publisher is needed here no more."""
        if publisher.superseded_at is None:
            return False
        room = self._rooms[publisher.room]
        fed = any(found.publisher is publisher for found in room.subscribers.values())
        fed = fed or any(found.source is publisher for found in room.feeds.values())
        return not fed or now - publisher.superseded_at > SUPERSEDED_S

    def _on_peer_end(self, session: Session, state: DtlsState, reason: str) -> None:
        if state is DtlsState.FAILED and session.state is not State.CONNECTED:
            self._metrics.handshake_failures.labels(session.kind).inc()
            session.log.warning("handshake_failed", reason=reason)
            self.end(session, f"DTLS handshake failed: {reason}", state=State.FAILED)
        else:
            self.end(session, "left" if state is DtlsState.CLOSED else "lost")

    def _on_publisher_connected(self, publisher: Publisher) -> None:
        room = self._rooms[publisher.room]
        if room.successor is not publisher:
            return
        former, room.publisher, room.successor = room.publisher, publisher, None
        if former is not None:
            self.end(former, "replaced")

    def _on_live(self, source: Source) -> None:
        if isinstance(source, Publisher):
            self._events.started(source.room, source.id, source.identity.name, source.continues)

    def _fence(self, room_id: str, fence: int) -> None:
        """Let in nothing that belongs to an origin from before the present one."""
        room = self._rooms.get(room_id)
        if room is not None and fence and fence < room.fence:
            raise Fenced(f"the room's origin has changed since: its token is {room.fence}, not {fence}")

    def _leave(self, room: Room, source: Source, reason: str) -> None:
        if room.successor is source:
            room.successor = None
            return
        if room.pull is source:
            room.pull = None
        elif room.publisher is source:
            room.publisher, room.successor = room.successor, None
        fed: list[Subscriber | Feed] = [*room.subscribers.values(), *room.feeds.values()]
        for session in fed:
            if (session.source if isinstance(session, Feed) else session.publisher) is source:
                self.end(session, reason)
        if isinstance(source, Publisher) and source.live:
            # A stream that goes on elsewhere is not over: the log knows its next session, unless Redis has been away.
            self._events.ended(room.id, source.id, "drained" if reason == "moved" else reason)

    def _own(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing, name="transport-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_REASONS = frozenset({"left", "lost", "replaced", "drained", "moved"})


def _bounded(reason: str) -> str:
    """The reason as a label and as an event: one of a fixed set."""
    return reason if reason in _REASONS else "lost"
