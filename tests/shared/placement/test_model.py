"""The simulator's model of the fleet's state does what the scripts do on a real server."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from shared.placement.decision import elect_origin, place_edge, place_viewer
from shared.placement.picking import Wish
from shared.placement.records import FleetView, NoOrigin, NoWorkerAvailable, Report, RoomState, Superseded, Worker
from shared.placement.steps import Steps
from shared.state.fleet import Drain, Fleet
from tests.bench.placement.model import Model

START = 1_764_000_000_000_000
STEPS = 250
WORKERS = tuple(f"w{number}" for number in range(6))
ROOMS = ("room-a", "room-b", "room-c")
ZONES = ("eu/eu-a", "eu/eu-b", "us/us-a")


Outcome = tuple[Any, ...] | type[Exception]
Decision = Callable[[FleetView, RoomState], Steps[Any]]


class Twins:
    """One history, carried out by the model and by the scripts, with the same time and the same luck."""

    def __init__(self, redis: Redis, seed: int) -> None:
        self.random = Random(seed)
        self.model = Model(START)
        self.luck = Random(seed)
        self.fleet = Fleet(redis, clock=lambda: self.model.now, random=Random(seed))
        self.tokens: dict[str, int] = {}

    async def step(self) -> None:
        random = self.random
        self.model.now += random.choice((0, 1_000, 30_000, 400_000, 1_500_000))
        room, worker = random.choice(ROOMS), random.choice(WORKERS)
        wish = Wish(random.choice(ZONES), avoid=frozenset(random.sample(WORKERS, random.choice((0, 0, 0, 1)))))
        match random.choice(("renew",) * 4 + ("elect", "view", "view", "view", "edge", "rare")):
            case "renew":
                await self._renew(worker)
            case "elect":
                view = await self.fleet.view()
                real = await _outcome(self._elect(room, wish))
                assert real == self._ours(
                    room, view, lambda known, state: elect_origin(known, state, wish, self.luck), ("worker", "token")
                )
                if isinstance(real, tuple):
                    self.tokens[room] = max(self.tokens.get(room, 0), real[1])
            case "view":
                viewer = random.choice(("", "v1", "v2"))
                sticky = msgspec.structs.replace(wish, sticky=self.model.sticky.get((room, viewer), ""))
                view = await self.fleet.view()
                real = await _outcome(self._view(room, wish, viewer))
                assert real == self._ours(
                    room,
                    view,
                    lambda known, state: place_viewer(known, state, sticky, self.luck),
                    ("worker", "reason"),
                    viewer,
                )
            case "edge":
                await self._edge(room, worker)
            case "rare":
                await self._rare(room, worker)
        await self._compare(room)

    async def _renew(self, worker: str) -> None:
        random = self.random
        record = Worker(
            worker,
            "http://127.0.0.1:1",
            capacity_pps=random.choice((3000, 4000)),
            load_pps=random.randrange(3000),
            publishers=random.randrange(3),
            subscribers=0,
            draining=random.random() < 0.1,
            joins_per_s=random.choice((2, 50)),
            zone=ZONES[WORKERS.index(worker) % len(ZONES)],
            boot=random.choice(("first", "first", "first", "second")),
            relays=random.random() < 0.9,
        )
        reports = [
            Report(
                room,
                random.choice((token, token - 1)),
                random.randrange(9),
                parent=random.choice(("", "", *WORKERS)),
                viewer_pps=random.choice((0, 300)),
                pull_pps=random.choice((0, 700)),
            )
            for room, token in self.tokens.items()
            if random.random() < 0.4
        ]
        orders = await self.fleet.renew(record, reports)
        assert dict(orders.superseded) == self.model.renew(record, reports)

    async def _elect(self, room: str, wish: Wish) -> tuple[Any, ...]:
        lease = await self.fleet.acquire_origin(room, wish.zone, avoid=wish.avoid)
        return lease.worker.id, lease.token

    async def _view(self, room: str, wish: Wish, viewer: str) -> tuple[Any, ...]:
        placement = await self.fleet.place_viewer(room, wish.zone, viewer=viewer, avoid=wish.avoid)
        assert (placement.parent is None) == (placement.worker == placement.origin.worker)
        return placement.worker.id, placement.reason

    async def _edge(self, room: str, worker: str) -> None:
        async def real() -> tuple[Any, ...]:
            _, parent = await self.fleet.place_edge(room, worker)
            return (parent.id,)

        view = await self.fleet.view()
        expected: Outcome
        try:
            parent = self.model.decide(room, lambda known, state: place_edge(known, state, worker), view)
            expected = (parent,) if parent else NoOrigin
        except (NoOrigin, NoWorkerAvailable) as refused:
            expected = type(refused)
        assert await _outcome(real()) == expected

    async def _rare(self, room: str, worker: str) -> None:
        match self.random.randrange(4):
            case 0:
                token = self.tokens.get(room, 0)
                assert await self.fleet.release_origin(room, token) == self.model.release_origin(room, token)
            case 1:
                await self.fleet.drain(worker, Drain("ana", "", 0.0))
                self.model.drains.add(worker)
            case 2:
                await self.fleet.undrain(worker)
                self.model.drains.discard(worker)
            case _:
                await self.fleet.withdraw(worker)
                self.model.withdraw(worker)

    def _ours(
        self, room: str, view: FleetView, decision: Decision, names: tuple[str, ...], viewer: str = ""
    ) -> Outcome:
        try:
            decided = self.model.decide(room, decision, view, viewer)
        except (NoOrigin, NoWorkerAvailable, Superseded) as refused:
            return type(refused)
        return tuple(getattr(decided, name) for name in names)

    async def _compare(self, room: str) -> None:
        view = self.model.view()
        real = await self.fleet.view(max_age_us=-1)
        assert (dict(real.workers), real.drains) == (dict(view.workers), view.drains)
        seen, ours = await self.fleet.room(room), self.model.room(room, view)
        assert set(seen.edges) == set(ours.edges)
        assert msgspec.structs.replace(seen, edges=()) == msgspec.structs.replace(ours, edges=())
        books = await self.fleet.books(WORKERS)
        assert books == {worker: self.model.book(worker) for worker in WORKERS if worker in self.model.books}


async def _outcome(real: Awaitable[tuple[Any, ...]]) -> Outcome:
    try:
        return await real
    except (NoOrigin, NoWorkerAvailable, Superseded) as refused:
        return type(refused)


@pytest.mark.parametrize("seed", range(6))
async def test_the_model_and_the_scripts_agree_over_a_random_history(
    redis: Redis, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.fleet.BOOKS_MAX_AGE_US", 0)  # the model knows of no old books
    twins = Twins(redis, seed)
    for _ in range(STEPS):
        await twins.step()
