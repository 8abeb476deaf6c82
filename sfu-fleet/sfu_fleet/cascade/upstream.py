"""Keeps the pulls of this worker going: opens links, finds other parents, goes over to a new origin, lets go.

What a link carries goes on whatever happens to Redis and to the control API: these are asked only where a link is to be
opened. Who the origin is, is looked up now and then, and at once when a parent says that it leaves.
"""

import asyncio
import random
from collections.abc import Awaitable
from functools import partial
from typing import Final, Protocol

import msgspec
from structlog import get_logger

from sfu_fleet.cascade.contract import Parent
from sfu_fleet.cascade.link import Link, LocalLink
from sfu_fleet.cascade.parents import Parents, Refused, some
from sfu_fleet.cascade.pull import Pull
from sfu_fleet.errors import Fenced, NoPublisher, Unreachable
from sfu_fleet.metrics import Metrics
from sfu_fleet.rooms import Room, Rooms
from shared.state.fleet import LEASE_MS
from shared.tasks import end

TICK_S: Final = 0.25
# How often those who are fed are counted, and what they need.
COUNT_S: Final = 0.75
# How long a room is pulled that nobody watches here: who reloads the page comes back.
LINGER_S: Final = 3.0
# Of a layer that nobody watches any more: adaptation goes up and down.
UNUSED_S: Final = 2.0
# A pull whose every link has failed for so long is given up, and its viewers told so.
GIVE_UP_S: Final = 20.0
# As the same where the origin itself says that nobody publishes: a publisher that comes back has come back by then.
NO_PUBLISHER_S: Final = 6.0
# As the same where the origin has renewed its lease after the loss: it is well, and out of reach from here alone.
OUT_OF_REACH_S: Final = LEASE_MS / 1000 + 1.0
# Where the origin is out of reach: how many edges are asked, and how many workers to get the stream from it.
_EDGES, _FETCHERS = 3, 2
# How often the origin is looked up while all is well, and the retries where it is not.
LOOK_UP_S: Final = 2.0
_RETRY_FIRST_S, _RETRY_MAX_S = 0.1, 1.0
# Viewers of a stream that has stalled are told so often that this worker is there.
STALLED_S: Final = 0.4
# With viewers that are here already, the next ones need not wait for a first link so long.
FIRST_LINK_S: Final = 4.0

log = get_logger(__name__)


class Origin(msgspec.Struct, frozen=True):
    """Who has a room's stream under which lease, and which edges pull it, should the origin itself be out of reach.

    `others` are workers that do not have the stream and could get it.
    """

    parent: Parent
    fence: int
    edges: tuple[Parent, ...] = ()
    others: tuple[Parent, ...] = ()


class Directory(Protocol):
    """Where origins are looked up."""

    def __call__(self, room: str) -> Awaitable[Origin | None]:
        """The origin of a room; None where nobody has it.

        Raises:
            ConnectionError: it cannot be told at the moment.
        """


class _Upstream:
    """What keeps one pull going."""

    def __init__(self, room: str, origin: Origin, first: Parent, token: str, now: float) -> None:
        self.room = room
        self.origin = origin
        # Whom placement has chosen: the origin, or one of its edges.
        self.first = first
        self.token = token
        # For another worker, which does not reach the origin: nothing is gained if we get it from anybody else.
        self.direct = False
        self.task: asyncio.Task[None] | None = None
        self.retry_at = now
        self.retry_s = _RETRY_FIRST_S
        self.looked_up_at = now
        # When the origin was seen to hold its lease, last.
        self.held_at = float("-inf")
        self.watched_at = now
        self.counted_at = 0.0
        self.linked_at = now
        self.no_publisher_since: float | None = None
        self.used_at: dict[object, float] = {}


class Upstreams:
    """One per worker."""

    def __init__(self, me: Parent, parents: Parents, rooms: Rooms, directory: Directory, metrics: Metrics) -> None:
        self._me = me
        self._parents = parents
        self._rooms = rooms
        self._directory = directory
        self._metrics = metrics
        self._clock = asyncio.get_running_loop().time
        self._upstreams: dict[str, _Upstream] = {}

    async def have(self, room_id: str, origin: Origin, first: Parent, token: str, *, direct: bool = False) -> None:
        """Make sure that a room's stream is here, or on its way; `direct` takes it from the origin alone.

        Raises:
            NoPublisher, Fenced, Unreachable: it cannot be had.
        """
        room = self._rooms.room(room_id)
        if room is not None and origin.fence < room.fence and room.source is None:
            raise Fenced("the room's origin has changed since")
        if room is not None and (room.origin is not None or origin.fence < room.fence):
            return
        upstream = self._upstreams.get(room_id)
        if upstream is None:
            upstream = self._upstreams[room_id] = _Upstream(room_id, origin, first, token, self._clock())
            upstream.direct, upstream.retry_at = direct, float("inf")
            upstream.task = self._begin(upstream)
        elif origin.fence > upstream.origin.fence:
            upstream.origin, upstream.first, upstream.retry_at = origin, first, self._clock()
        # Once viewers here want it as well, by whatever way there is.
        upstream.token, upstream.direct = token, upstream.direct and direct
        upstream.watched_at = self._clock()
        if room is not None and room.pull is not None:
            return
        if upstream.task is None:
            upstream.task = self._begin(upstream)
        await asyncio.wait({upstream.task}, timeout=FIRST_LINK_S)
        room = self._rooms.room(room_id)
        if room is None or room.source is None:
            self._forget(upstream)
            if upstream.no_publisher_since is not None:
                raise NoPublisher("nobody is live in this room")
            raise Unreachable("no worker that has the room's stream can be reached")

    async def fetch(self, room_id: str, token: str) -> None:
        """Get a room's stream from its origin for a worker that does not reach that one.

        Raises:
            NoPublisher, Fenced, Unreachable: it cannot be had.
        """
        try:
            origin = await self._directory(room_id)
        except ConnectionError as error:
            raise Unreachable(f"it cannot be told where the room's stream is: {error}") from error
        if origin is None or origin.parent.worker == self._me.worker:
            raise NoPublisher("nobody is live in this room")
        if (room := self._rooms.room(room_id)) is None or room.pull is None:
            await self.have(room_id, origin, origin.parent, token, direct=True)

    def superseded(self, room_id: str) -> None:
        """The origin of a room is another one: look it up now."""
        if (upstream := self._upstreams.get(room_id)) is not None:
            upstream.looked_up_at = float("-inf")

    async def run(self) -> None:
        """Look after all pulls, feeds and stalled viewers until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            for room in self._rooms.rooms():
                try:
                    self._look(room, now)
                except Exception:
                    self._metrics.loop_errors.inc()
                    log.exception("cascade_failed", room=room.id)
            for upstream in [found for found in self._upstreams.values() if self._rooms.room(found.room) is None]:
                if upstream.task is None:
                    self._forget(upstream)

    async def close(self) -> None:
        """Open nothing more."""
        tasks = [upstream.task for upstream in self._upstreams.values() if upstream.task is not None]
        self._upstreams.clear()
        for error in await end(*tasks):
            log.warning("link_failed", error=repr(error))
        await self._parents.close()

    def _look(self, room: Room, now: float) -> None:
        for feed in list(room.feeds.values()):
            feed.look(now)
        if room.pull is not None:
            self._look_after(room, room.pull, now)
        for subscriber in room.subscribers.values():
            source = subscriber.publisher
            if not subscriber.fed or now - source.heard_at > STALLED_S:
                subscriber.keep_alive()

    def _look_after(self, room: Room, pull: Pull, now: float) -> None:
        pull.look(now)
        upstream = self._upstreams.get(room.id)
        if upstream is None:
            return
        if now - upstream.counted_at >= min(COUNT_S, UNUSED_S):
            upstream.counted_at = now
            pull.totals = room.totals_of(pull)
            self._let_go(room, pull, upstream, now)
        lost = pull.current is None or pull.current.lost(now)
        self._tell_below(room, pull, leaving=lost)
        if not lost:
            upstream.linked_at, upstream.no_publisher_since = now, None
        elif pull.current is not None and pull.current.parent == upstream.first:
            # Not the first to be asked again, unless it is the origin.
            upstream.first = upstream.origin.parent
        if room.pull is pull and upstream.task is None:
            self._seek(room, pull, upstream, now, lost=lost)

    def _tell_below(self, room: Room, pull: Pull, *, leaving: bool) -> None:
        """An edge that is fed from here may be able to reach whom we cannot, and then we can be fed by it."""
        if not self._rooms.draining:
            for feed in room.feeds.values():
                if feed.source is pull:
                    feed.leaving = leaving

    def _seek(self, room: Room, pull: Pull, upstream: _Upstream, now: float, *, lost: bool) -> None:
        """Open another link where that is called for, and else see now and then who the origin is."""
        current = pull.current
        if lost and now - upstream.linked_at > self._patience(pull, upstream):
            self._forget(upstream)
            self._rooms.end(pull, "lost")
            return
        newer = upstream.origin.fence > pull.fence or (room.origin is not None and not isinstance(current, LocalLink))
        wanted = lost or newer or (current is not None and current.leaving)
        if wanted and pull.next is None and now >= upstream.retry_at:
            upstream.task = self._begin(upstream)
        elif now - upstream.looked_up_at > LOOK_UP_S:
            upstream.task = self._own(upstream, self._look_up(upstream))

    @staticmethod
    def _patience(pull: Pull, upstream: _Upstream) -> float:
        """How long a pull may be without a link."""
        if upstream.no_publisher_since is not None:
            return NO_PUBLISHER_S
        # Where a lease that was held at the loss is held for longer than it lasts, it has been renewed.
        alive = upstream.held_at - upstream.linked_at > LEASE_MS / 1000
        return OUT_OF_REACH_S if alive and upstream.origin.fence == pull.fence else GIVE_UP_S

    def _let_go(self, room: Room, pull: Pull, upstream: _Upstream, now: float) -> None:
        """Drop layers that nobody uses, and the pull where nobody is left."""
        used = room.needed_of(pull)
        for layer in used:
            upstream.used_at[layer] = now
        pull.need({layer for layer in pull.wanted | used if now - upstream.used_at.setdefault(layer, now) < UNUSED_S})
        fed = any(found.publisher is pull for found in room.subscribers.values())
        fed = fed or any(found.source is pull for found in room.feeds.values())
        if fed:
            upstream.watched_at = now
        elif now - upstream.watched_at > LINGER_S:
            self._forget(upstream)
            self._rooms.end(pull, "left")

    def _begin(self, upstream: _Upstream) -> asyncio.Task[None]:
        return self._own(upstream, self._link(upstream))

    def _own(self, upstream: _Upstream, work: Awaitable[None]) -> asyncio.Task[None]:
        async def carry_out() -> None:
            try:
                await work
            except Exception:
                self._metrics.loop_errors.inc()
                log.exception("link_failed", room=upstream.room)
            finally:
                upstream.task = None

        return asyncio.get_running_loop().create_task(carry_out(), name=f"upstream-{upstream.room}")

    async def _link(self, upstream: _Upstream) -> None:
        """Open a link, by whichever parent there is."""
        await self._look_up(upstream)
        room = self._rooms.room(upstream.room)
        link: Link
        try:
            if room is not None and room.origin is not None and room.origin.live:
                link = LocalLink(self._me, room.origin, room.fence)
            else:
                link = await self._remote(upstream, serving=room is not None and room.pull is not None)
        except Refused as refused:
            now = self._clock()
            if refused.codes.get(upstream.origin.parent.worker) == NoPublisher.code:
                upstream.no_publisher_since = upstream.no_publisher_since or now
            upstream.retry_s = min(_RETRY_MAX_S, upstream.retry_s * 2)
            upstream.retry_at = now + upstream.retry_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreading
            return
        upstream.retry_s, upstream.retry_at = _RETRY_FIRST_S, self._clock() + _RETRY_FIRST_S
        self._take(upstream, link)

    async def _remote(self, upstream: _Upstream, *, serving: bool) -> Link:
        """A link to another worker. For a pull that is `serving` viewers already, others are asked to get the stream.

        Raises:
            Refused: nobody gives one.
        """
        origin = upstream.origin
        edges = () if upstream.direct else some(origin.edges, _EDGES)
        ask = partial(self._parents.link, upstream.room, fence=origin.fence, token=upstream.token)
        try:
            return await ask([upstream.first, origin.parent, *edges])
        except Refused as refused:
            # An origin that answers would answer them the same.
            cut_off = refused.codes.get(origin.parent.worker) == Unreachable.code
            if not (serving and cut_off and origin.others) or upstream.direct:
                raise
            log.info("asking_for_a_fetch", room=upstream.room, origin=origin.parent.worker)
            try:
                return await ask(some(origin.others, _FETCHERS), fetch=True)
            except Refused:
                raise refused from None

    def _take(self, upstream: _Upstream, link: Link) -> None:
        if self._upstreams.get(upstream.room) is not upstream:
            link.close()
            return
        room = self._rooms.room(upstream.room)
        pull = room.pull if room is not None else None
        if pull is not None and not pull.fits(link.fed):
            # Another codec, or other layers: viewers have to agree on them anew.
            self._rooms.end(pull, "replaced")
            pull = None
        if pull is None:
            pull = self._rooms.pull(upstream.room, link.fed, link.parent)
        pull.take(link)
        room = self._rooms.room(upstream.room)
        if room is not None:
            room.fence = max(room.fence, link.fed.fence)
        self._metrics.links.labels("first" if pull.switches == 0 and pull.next is None else "again").inc()

    async def _look_up(self, upstream: _Upstream) -> None:
        upstream.looked_up_at = self._clock()
        try:
            found = await self._directory(upstream.room)
        except ConnectionError:
            # What is known still holds, until somebody says otherwise.
            return
        if found is None or found.fence < upstream.origin.fence:
            return
        upstream.held_at = self._clock()
        if found.parent != upstream.origin.parent:
            # Whom placement chose was chosen for the origin before.
            upstream.first = found.parent
        upstream.origin = found

    def _forget(self, upstream: _Upstream) -> None:
        if self._upstreams.get(upstream.room) is upstream:
            del self._upstreams[upstream.room]
        if upstream.task is not None and upstream.task is not asyncio.current_task():
            upstream.task.cancel()
