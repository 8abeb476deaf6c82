"""The SFU fleet as functions and workers see it: which workers there are, how loaded, who serves which room.

Workers write themselves in with leases that expire unless renewed, so a dead one disappears by itself, and so does its
hold on rooms. What is decided of all this is in `shared.placement`; here the decisions are carried out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from redis.asyncio import Redis

from shared.placement.decision import elect_origin, place_edge, place_viewer
from shared.placement.picking import Wish
from shared.placement.records import (
    Book,
    FleetView,
    Lease,
    NoOrigin,
    NoWorkerAvailable,
    Placement,
    Report,
    RoomState,
    Superseded,
    Verdict,
    Worker,
    base_of,
)
from shared.placement.steps import Admit, Admitted, Branch, ReadBooks, Step, Steps, Taken, TakeOrigin
from shared.state.fleet_hashes import (
    DRAINS,
    LEASES,
    ROOMS,
    WORKERS,
    book_key,
    orders_key,
    read_book,
    read_room,
    room_key,
    sticky_key,
)
from shared.state.scripts import load_script

__all__ = [
    "LEASE_MS",
    "Drain",
    "Fleet",
    "Lease",
    "Move",
    "NoOrigin",
    "NoWorkerAvailable",
    "Orders",
    "Placement",
    "Report",
    "RoomState",
    "Superseded",
    "Worker",
]

LEASE_MS = 5000
# From the choice of an origin or an edge to its first report: offer, answer, checks and handshake lie in between.
SETUP_MS = 20_000
# Where a viewer was is remembered for as long as going back can help: then the pull is gone, or the room has moved on.
STICKY_S = 120
# A decision may be made on a view this old: commits check again, and load that has been placed is in the books.
VIEW_MAX_AGE_US = 250_000
BOOKS_MAX_AGE_US = 100_000
_FRESH_US = 20_000
_MAX_ORDERS = 1_000
_TRIES = 5
_What = TypeVar("_What")


class _Decided(NamedTuple, Generic[_What]):
    """A decision, and what it was made on."""

    what: _What
    view: FleetView
    room: RoomState


class Move(msgspec.Struct, frozen=True):
    """An order to a worker: move a session of its, or with an empty `session` the room's origin.

    `to` is the worker to move to; empty: wherever placement says.
    """

    room: str
    session: str = ""
    to: str = ""


class Drain(msgspec.Struct, frozen=True):
    """Who told a worker to drain, why, and when (seconds since 1970)."""

    by: str
    reason: str
    at: float


class Orders(msgspec.Struct, frozen=True):
    """What a worker is told when it renews its leases.

    `superseded` has the rooms of its report whose origin is another one than it says, with the token that holds now (0:
    none): who reported as the origin is not any more; an edge pulls from the new one. `moves` are told once.
    """

    drain: bool = False
    moves: tuple[Move, ...] = ()
    superseded: Mapping[str, int] = {}


class Fleet:
    """The registry of workers and rooms, and placement.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs. `clock`
    tells µs since 1970; by default it is the server's, the only one that all agree on.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], int] | None = None, random: Random | None = None) -> None:
        self._redis = redis
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - load spreading, not security
        self._renew = load_script(redis, "renew_worker", "book")
        self._take = load_script(redis, "take_origin", "book")
        self._admit = load_script(redis, "place_viewer", "book")
        self._branch = load_script(redis, "place_edge", "book")
        self._release = load_script(redis, "release_origin")
        self._view: tuple[int, FleetView] | None = None
        self._books: dict[str, tuple[int, Book]] = {}

    # Workers

    async def renew(self, worker: Worker, reports: Sequence[Report] = ()) -> Orders:
        """Register the worker, or renew its leases on itself and the rooms that it serves, for `LEASE_MS`."""
        args: list[str | bytes | float] = [
            self._given_time(),
            worker.id,
            msgspec.json.encode(worker),
            LEASE_MS,
            worker.boot,
            worker.capacity_pps,
            base_of(worker),
            worker.joins_per_s,
            int(worker.draining),
        ]
        for report in reports:
            args += [report.room, report.token, report.viewers, report.parent, report.viewer_pps, report.pull_pps]
        keys = [LEASES, WORKERS, DRAINS, ROOMS, orders_key(worker.id), book_key(worker.id)]
        drain, moves, *superseded = await self._renew(keys + [room_key(report.room) for report in reports], args)
        self._view = None
        return Orders(
            bool(drain),
            tuple(msgspec.json.decode(move, type=Move) for move in moves),
            {superseded[at].decode(): int(superseded[at + 1]) for at in range(0, len(superseded), 2)},
        )

    async def withdraw(self, worker_id: str) -> None:
        """Take a worker out of the registry at once."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(LEASES, worker_id)
            pipeline.hdel(WORKERS, worker_id)
            pipeline.delete(book_key(worker_id))
            await pipeline.execute()
        self._view = None

    async def find(self, worker_id: str) -> Worker | None:
        """The worker of that id, if its lease is valid."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zscore(LEASES, worker_id)
            pipeline.hget(WORKERS, worker_id)
            now, until, record = await pipeline.execute()
        alive = until is not None and until > self._now(now) and record is not None
        return msgspec.json.decode(record, type=Worker) if alive else None

    async def workers(self) -> list[Worker]:
        """All workers with a valid lease."""
        return list((await self.view(max_age_us=-1)).workers.values())

    async def view(self, *, max_age_us: int = VIEW_MAX_AGE_US) -> FleetView:
        """All workers with a valid lease and those that were told to drain, at most that old."""
        if self._view is not None and self._stamp() - self._view[0] <= max_age_us:
            return self._view[1]
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.zrange(LEASES, 0, -1, withscores=True)
            pipeline.hgetall(WORKERS)
            pipeline.hkeys(DRAINS)
            seconds, leases, records, drains = await pipeline.execute()
        now = self._now(seconds)
        alive = (records[worker] for worker, until in leases if until > now and worker in records)
        found = FleetView.of(
            (msgspec.json.decode(record, type=Worker) for record in alive), (name.decode() for name in drains)
        )
        self._view = (self._stamp(), found)
        self._books = {worker: known for worker, known in self._books.items() if worker in found.workers}
        return found

    async def books(self, workers: Sequence[str]) -> dict[str, Book]:
        """What admission goes by, for those of the workers that have reported within a minute."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hkeys(DRAINS)
            for worker in workers:
                pipeline.hgetall(book_key(worker))
            seconds, drains, *books = await pipeline.execute()
        now = self._now(seconds)
        return {
            worker: read_book(fields, now, drained=worker.encode() in drains)
            for worker, fields in zip(workers, books, strict=True)
            if fields.get(b"capacity")
        }

    async def _read_books(self, workers: Sequence[str], max_age_us: int) -> dict[str, Book]:
        """Books that may be so old: in a fleet that is full, everybody who is refused has asked for all of them."""
        oldest = self._stamp() - max_age_us
        known = {worker: book for worker in workers if max_age_us and (book := self._known_book(worker, oldest))}
        unread = [worker for worker in workers if worker not in known]
        if not unread:
            return known
        read = await self.books(unread)
        now = self._stamp()
        self._books.update({worker: (now, book) for worker, book in read.items()})
        return known | read

    def _known_book(self, worker: str, oldest: int) -> Book | None:
        at, book = self._books.get(worker, (0, None))
        return book if at >= oldest else None

    # Draining and moving

    async def drain(self, worker_id: str, drain: Drain) -> None:
        """Have a worker drain: from now on it gets no session, and with its next renewal it knows."""
        await self._redis.hset(DRAINS, worker_id, msgspec.json.encode(drain).decode())
        self._view = None

    async def undrain(self, worker_id: str) -> bool:
        """Take that back; whether it had been said."""
        self._view = None
        return bool(await self._redis.hdel(DRAINS, worker_id))

    async def drains(self) -> dict[str, Drain]:
        """Who was told to drain."""
        found: dict[Any, Any] = await self._redis.hgetall(DRAINS)
        return {worker.decode(): msgspec.json.decode(drain, type=Drain) for worker, drain in found.items()}

    async def order(self, worker_id: str, *moves: Move) -> None:
        """Tell a worker to move sessions, at its next renewal; the oldest orders go when there are too many."""
        key = orders_key(worker_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.rpush(key, *(msgspec.json.encode(move) for move in moves))
            pipeline.ltrim(key, -_MAX_ORDERS, -1)
            pipeline.expire(key, 60)
            await pipeline.execute()

    # Rooms

    async def room(self, room: str) -> RoomState:
        """What is known of a room; `held` is false where nobody has its origin."""
        return await self._read_room(room, await self.view())

    async def rooms(self) -> list[str]:
        """The rooms that somebody serves."""
        found: list[Any] = await self._redis.zrange(ROOMS, 0, -1, withscores=True)
        now = self._now(await self._redis.time())
        return [room.decode() for room, until in found if until > now]

    async def room_states(self, rooms: Sequence[str]) -> list[RoomState]:
        """What is known of these rooms, in that order."""
        view = await self.view()
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for room in rooms:
                pipeline.hgetall(room_key(room))
            seconds, *found = await pipeline.execute()
        now = self._now(seconds)
        return [read_room(room, fields, now, view) for room, fields in zip(rooms, found, strict=True)]

    async def origin(self, room: str) -> Lease | None:
        """Who holds the room's origin."""
        view = await self.view()
        state = await self._read_room(room, view)
        return Lease(room, state.token, view.workers[state.worker]) if state.held else None

    async def acquire_origin(self, room: str, zone: str = "", *, avoid: frozenset[str] = frozenset()) -> Lease:
        """The room's origin: whoever holds it, or a worker that is elected now and has `SETUP_MS` to renew the lease.

        A holder that drains, or is one to `avoid`, loses it.

        Raises:
            NoWorkerAvailable: there is none.
        """
        wish = Wish(zone, avoid=avoid)
        decided = await self._decide(room, lambda view, state: elect_origin(view, state, wish, self._random))
        return Lease(room, decided.what.token, decided.view.workers[decided.what.worker])

    async def hand_over_origin(self, room: str, token: int, to: Worker) -> Lease:
        """Give a room's origin, held under `token`, to another worker, which has `SETUP_MS` to renew the lease.

        Raises:
            Superseded: that is not the token any more.
            NoWorkerAvailable: the other does not take it; the message says why.
        """
        verdict, current = await self._carry_out(room, TakeOrigin(to.id, to.boot, 0, token), "")
        if verdict is Verdict.SUPERSEDED:
            raise Superseded(f"the room's token is {current}")
        if verdict is not Verdict.ADMITTED:
            raise NoWorkerAvailable(f"{to.id} does not take the room ({verdict})")
        return Lease(room, current, to)

    async def release_origin(self, room: str, token: int) -> bool:
        """Give the origin up, or take it from one who is gone; False where `token` is not the room's any more."""
        return bool(await self._release([room_key(room)], [token]))

    async def place_edge(self, room: str, worker_id: str) -> tuple[Lease, Worker]:
        """Whom an edge pulls the room from, now that its parent is gone or has been superseded: the lease, the parent.

        Raises:
            NoOrigin: nobody holds the room's origin, or this worker does itself.
            NoWorkerAvailable: whoever serves the room has no budget for the pull.
        """
        decided = await self._decide(room, lambda view, state: place_edge(view, state, worker_id))
        workers = decided.view.workers
        if not decided.what:
            raise NoOrigin("this worker is the origin itself")
        return Lease(room, decided.room.token, workers[decided.room.worker]), workers[decided.what]

    async def leave_room(self, room: str, worker_id: str) -> None:
        """An edge does not pull the room any more."""
        await self._redis.hdel(room_key(room), f"e:{worker_id}")

    # Viewers

    async def place_viewer(
        self, room: str, zone: str = "", *, viewer: str = "", avoid: frozenset[str] = frozenset()
    ) -> Placement:
        """Where a viewer near `zone` goes. With their id they come back to where they were, where that helps.

        Raises:
            NoOrigin: nobody holds the room's origin.
            NoWorkerAvailable: nobody takes the viewer.
        """
        sticky: Any = await self._redis.get(sticky_key(room, viewer)) if viewer else b""
        wish = Wish(zone, (sticky or b"").decode(), avoid)
        decided = await self._decide(room, lambda view, state: place_viewer(view, state, wish, self._random), viewer)
        workers, settled = decided.view.workers, decided.what
        origin = workers[decided.room.worker]
        return Placement(
            workers[settled.worker],
            Lease(room, settled.token, origin),
            # An edge whose parent has gone finds itself another; until then it is the origin as far as anybody can say.
            workers.get(settled.parent, origin) if settled.parent else None,
            settled.reason,
            settled.considered,
        )

    async def _decide(
        self, room: str, decision: Callable[[FleetView, RoomState], Steps[_What]], viewer: str = ""
    ) -> _Decided[_What]:
        max_age_us = VIEW_MAX_AGE_US
        for _ in range(_TRIES):
            view = await self.view(max_age_us=max_age_us)
            state = await self._read_room(room, view)
            try:
                return _Decided(await self._drive(room, decision(view, state), viewer), view, state)
            except Superseded:
                continue
            except (NoWorkerAvailable, NoOrigin):
                # By a view as it was: a worker may have come since, or capacity on one.
                if max_age_us == _FRESH_US:
                    raise
                max_age_us = _FRESH_US
        raise NoWorkerAvailable(f"the origin of {room} changed {_TRIES} times in a row")

    async def _read_room(self, room: str, view: FleetView) -> RoomState:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(room_key(room))
            seconds, fields = await pipeline.execute()
        return read_room(room, fields, self._now(seconds), view)

    async def _drive(self, room: str, steps: Steps[_What], viewer: str) -> _What:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                decided: _What = done.value
                return decided
            reply = await self._carry_out(room, step, viewer)

    async def _carry_out(self, room: str, step: Step, viewer: str) -> Any:  # noqa: ANN401 - as the step says
        match step:
            case ReadBooks():
                return await self._read_books(step.workers, 0 if step.fresh else BOOKS_MAX_AGE_US)
            case TakeOrigin():
                keys = [book_key(step.worker), DRAINS, room_key(room), ROOMS]
                args: list[str | bytes | float] = [
                    self._given_time(),
                    step.worker,
                    step.boot,
                    step.ask_pps,
                    step.expected,
                    SETUP_MS,
                    room,
                ]
                verdict, token = await self._take(keys, args)
                return Taken(Verdict(verdict.decode()), int(token))
            case Admit():
                keys = [
                    book_key(step.worker),
                    DRAINS,
                    room_key(room),
                    sticky_key(room, viewer),
                    book_key(step.parent or step.worker),
                ]
                facts: list[str | bytes | float] = [step.worker, step.boot, step.ask_pps, step.share, step.token]
                pull: list[str | bytes | float] = [step.parent, step.parent_boot, step.pull_pps, SETUP_MS]
                memory = STICKY_S if viewer else 0
                verdict, parent = await self._admit(keys, [self._given_time(), *facts, *pull, memory])
                return Admitted(Verdict(verdict.decode()), parent.decode())

            case Branch():
                keys = [room_key(room), book_key(step.parent)]
                args = [self._given_time(), step.worker, step.token, step.parent, step.parent_boot, step.pull_pps]
                verdict = await self._branch(keys, [*args, SETUP_MS])
                return Admitted(Verdict(verdict.decode()), step.parent)

    def _given_time(self) -> int:
        return self._clock() if self._clock else 0

    def _now(self, server: tuple[int, int]) -> int:
        return self._clock() if self._clock else server[0] * 1_000_000 + server[1]

    def _stamp(self) -> int:
        return self._clock() if self._clock else time.monotonic_ns() // 1000
