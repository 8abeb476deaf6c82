"""Runs reads, writes, messages and evictions against each other in an order that a seed decides, step by step.

Each step is one command to a real Valkey, one look into the repository, or one message that reaches a process. Before
and after each of them its actor waits until the schedule lets it go on, so whatever may happen between two steps does
happen in some run. What a read must not return is known: anything older than the last write of which its process had
been told, or that had been acknowledged to its writer in the same process.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from shared.cache import cache as cache_module
from shared.cache.cache import Cache
from shared.cache.entry import Found
from shared.cache.family import Policy
from shared.cache.guard import Guard
from shared.cache.local import LocalLevel
from shared.cache.shared_level import Begun, SharedLevel

R = TypeVar("R")

ENDLESS = Policy(fresh_s=600.0, stale_s=600.0, negative_s=600.0, local_s=600.0)
_SETTLED_TURNS = 8
# So many of all waits are long: most races need somebody who is late while others do several steps.
_SLOW_SHARE = 0.2
_SLOW_WEIGHT = 0.03


class StaleError(AssertionError):
    """A read returned what had been invalidated before it began."""


class Schedule:
    """Lets one waiting actor at a time go on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._waiting: list[asyncio.Future[None]] = []
        self._weights: list[float] = []
        self._acting = 0

    async def turn(self) -> None:
        """Wait for one's turn."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._weights.append(_SLOW_WEIGHT if self._random.random() < _SLOW_SHARE else 1.0)
        await future

    async def step(self, action: Awaitable[R]) -> R:
        """One step: others may act before it and before its outcome is known, nobody meanwhile."""
        await self.turn()
        self._acting += 1
        try:
            outcome = await action
        finally:
            self._acting -= 1
        await self.turn()
        return outcome

    async def run(self, actors: Sequence[Awaitable[None]]) -> None:
        """Let them act until all are done."""
        tasks = [asyncio.ensure_future(actor) for actor in actors]
        async with asyncio.timeout(60):
            while not all(task.done() for task in tasks):
                await self._settle()
                if self._waiting:
                    (chosen,) = self._random.choices(range(len(self._waiting)), self._weights)
                    del self._weights[chosen]
                    self._waiting.pop(chosen).set_result(None)
        for task in tasks:
            task.result()

    async def _settle(self) -> None:
        turns = 0
        while turns < _SETTLED_TURNS:
            await asyncio.sleep(0)
            turns = 0 if self._acting else turns + 1


class Gated:
    """The second level, each call one step."""

    def __init__(self, level: SharedLevel, schedule: Schedule) -> None:
        self.up = True
        self._level = level
        self._schedule = schedule

    async def read(self, names: Sequence[tuple[str, str]]) -> list[Found | None]:
        return await self._schedule.step(self._level.read(names))

    async def begin(self, entry: str, tag: str) -> Begun:
        return await self._schedule.step(self._level.begin(entry, tag))

    async def fill(
        self, entry: str, token: str, tags: Mapping[str, str], body: bytes, lifetime_ms: int
    ) -> dict[str, str]:
        return await self._schedule.step(self._level.fill(entry, token, tags, body, lifetime_ms))

    async def release(self, entry: str, token: str) -> None:
        await self._schedule.step(self._level.release(entry, token))


class Process:
    """A process with a cache; it is also the way in which its cache tells the others."""

    def __init__(self, world: "World", index: int) -> None:
        self._world = world
        self._queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.floor = dict.fromkeys(world.rooms, 0)
        local = world.local(max_entries=1000, max_bytes=10**7)
        self.cache = Cache(local, Guard(1e6), world.gated(world.level, world.schedule), self)
        self.rooms = self.cache.family("room", int, world.load, policy=ENDLESS)
        self.pages = self.cache.family("room_page", tuple[int, ...], self._page, policy=ENDLESS)
        self.index = index

    def holds(self, now: float) -> bool:  # noqa: ARG002 - the bus' signature
        return True

    def behind(self) -> bool:
        return False

    async def send(self, tags: Sequence[str]) -> bool:
        (tag,) = tags
        room = tag.partition(":")[2]
        written = self._world.written[room]
        await self._world.schedule.step(self._world.level.invalidate(tags, str(self.index)))
        for process in self._world.processes:
            process._queue.put_nowait((room, written))
        return True

    async def hear(self, messages: int) -> None:
        """Get so many messages, in their order."""
        for _ in range(messages):
            room, written = await self._queue.get()
            await self._world.schedule.turn()
            self.cache.hear([f"room:{room}"])
            self.floor[room] = max(self.floor[room], written)

    async def write(self, room: str) -> None:
        """Write, invalidate, and only then say that it is written."""
        await self._world.schedule.turn()
        self._world.written[room] += 1
        written = self._world.written[room]
        await self._world.schedule.turn()
        await self.cache.invalidate(f"room:{room}")
        self.floor[room] = max(self.floor[room], written)
        self._world.acknowledged[room] = max(self._world.acknowledged[room], written)

    async def read(self, room: str, floor: Mapping[str, int] | None = None) -> None:
        """Read a room."""
        await self._world.schedule.turn()
        least = (floor or self.floor)[room]
        found = await self.rooms.get(room)
        if (found or 0) < least:
            raise StaleError(f"process {self.index} read {found} of {room} after {least} was invalidated")

    async def read_page(self, floor: Mapping[str, int] | None = None) -> None:
        """Read the page that is made of all rooms."""
        await self._world.schedule.turn()
        least = [(floor or self.floor)[room] for room in self._world.rooms]
        found = await self.pages.get(self._world.page)
        if any(one < other for one, other in zip(found or (), least, strict=True)):
            raise StaleError(f"process {self.index} read {found} of the page after {least} was invalidated")

    async def _page(self, _key: str) -> tuple[int, ...]:
        return tuple([await self.rooms.get(room) or 0 for room in self._world.rooms])


class World:
    """Two processes, the rooms that they read and write, and what is true."""

    def __init__(
        self,
        level: SharedLevel,
        seed: int,
        *,
        local: type[LocalLevel] = LocalLevel,
        gated: Callable[[SharedLevel, Schedule], Gated] = Gated,
    ) -> None:
        self.level = level
        self.schedule = Schedule(seed)
        self.random = random.Random(seed)
        self.local = local
        self.gated = gated
        marker = f"{self.random.getrandbits(64):x}"
        self.rooms = [f"{marker}{letter}" for letter in "ab"]
        self.page = marker
        self.written = dict.fromkeys(self.rooms, 0)
        self.acknowledged = dict.fromkeys(self.rooms, 0)
        self.processes = [Process(self, index) for index in range(2)]

    async def load(self, room: str) -> int:
        """The repository."""
        await self.schedule.turn()
        found = self.written[room]
        await self.schedule.turn()
        return found

    async def newcomer(self, room: str) -> None:
        """A process that has just started: it has heard nothing and has nothing, so only Valkey may be old."""
        await self.schedule.turn()
        await Process(self, 9).read(room, dict(self.acknowledged))

    async def evict(self, room: str) -> None:
        """Valkey needs the room."""
        await self.schedule.turn()
        keys = ["cache:clock", f"cache:version:room:{room}", "cache:version:*", f"cache:version:room_page:{self.page}"]
        await self.level.redis.delete(self.random.choice(keys))

    async def run(self, *, reads: int, writes: int, evictions: int, pages: float, known: bool) -> None:
        """One run, in which that share of the reads is of the page; afterwards everybody reads what is true.

        `known`: every process has read the rooms before.

        Raises:
            StaleError: somebody did not.
        """
        choose = self.random.choice
        if known:
            await self.schedule.run([process.read(room) for process in self.processes for room in self.rooms])
        acts: list[Awaitable[None]] = [process.hear(writes) for process in self.processes]
        acts += [choose(self.processes).write(choose(self.rooms)) for _ in range(writes)]
        for _ in range(reads):
            process, room = choose(self.processes), choose(self.rooms)
            acts.append(process.read_page() if self.random.random() < pages else process.read(room))
        acts.append(self.newcomer(choose(self.rooms)))
        acts += [self.evict(choose(self.rooms)) for _ in range(evictions)]
        await self.schedule.run([self._later(act) for act in acts])
        await self.schedule.run([self._all_agree(pages=pages > 0)])

    async def _later(self, act: Awaitable[None]) -> None:
        # Reads take more steps than writes, and would else have hardly begun when those are over.
        for _ in range(self.random.choice((0, 0, 3, 6, 9, 12))):
            await self.schedule.turn()
        await act

    async def _all_agree(self, *, pages: bool) -> None:
        for process in [*self.processes, Process(self, 8)]:
            for room in self.rooms:
                await process.read(room, self.written)
            if pages:
                await process.read_page(self.written)


@contextmanager
def without_pauses() -> Iterator[None]:
    """Whoever waits for another process' lease asks again at their next turn."""
    before = cache_module.FIRST_PAUSE_S, cache_module.LONGEST_PAUSE_S
    cache_module.FIRST_PAUSE_S = cache_module.LONGEST_PAUSE_S = 0.0
    try:
        yield
    finally:
        cache_module.FIRST_PAUSE_S, cache_module.LONGEST_PAUSE_S = before
