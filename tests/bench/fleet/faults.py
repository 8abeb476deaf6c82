"""What goes wrong in a rehearsal, and what is measured of it."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Final

import msgspec

from shared.state.fleet import Move
from tests.bench.soak.samples import gained

from .fleet import Node, Rehearsal
from .people import FRAME_RATE, ROOM, Streamer, Watcher

# Whoever sees at least this much of a hole was affected; below, it is a frame that came late.
_HOLE_S: Final = 0.3
_READ_S: Final = 0.02
_FLOWING_S: Final = 1.0
_ORDERED_S: Final = 2.0
_RECOVERY_S: Final = 25.0
# Longer than it takes to notice that nobody is there any more (rooms.LIVENESS_S, rooms.SETUP_S).
_REAP_S: Final = 24.0


class Outcome(msgspec.Struct, frozen=True):
    """What viewers lost. `hole_s` is the longest time without a new frame, of whoever it hit most.

    `memory_kb` and `descriptors` are what the worker gained that gained most, of those that lived through it.
    """

    fault: str
    viewers: int
    affected: int
    moved: int
    frames: int
    lost_median: int
    lost_most: int
    hole_s: float
    origin_moved: bool
    orphans: int
    orphans_gone_s: float
    memory_kb: float
    descriptors: float


class Scene:
    """A room with its streamer and viewers, all of whom have a picture."""

    def __init__(self, rehearsal: Rehearsal, streamer: Streamer, watchers: list[Watcher]) -> None:
        self.rehearsal = rehearsal
        self.streamer = streamer
        self.watchers = watchers
        self._reading = asyncio.create_task(self._read(), name="reading")

    async def close(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def flowing(self, timeout_s: float = _RECOVERY_S) -> None:
        """Wait until everybody has a picture of just now.

        Raises:
            TimeoutError: somebody does not get one.
        """
        async with asyncio.timeout(timeout_s):
            steady = 0
            while steady < 10:
                newest = self.streamer.frame
                late = [w.name for w in self.watchers if max(w.frames, default=0) < newest - FRAME_RATE * _FLOWING_S]
                steady = 0 if late else steady + 1
                await asyncio.sleep(0.1)

    async def play(
        self, fault: str, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]], seconds: float
    ) -> Outcome:
        """Let it happen for so long, and see how everybody fares until all is well again."""
        await self.flowing()
        origin, moves = await self.rehearsal.origin(), sum(watcher.moves for watcher in self.watchers)
        first, held = self.streamer.frame, self.rehearsal.held()
        await begin()
        await asyncio.sleep(seconds)
        await end()
        await asyncio.sleep(1.0)
        await self.flowing()
        last = self.streamer.frame - FRAME_RATE
        lost, holes = [], []
        for watcher in self.watchers:
            got = sorted(number for number in watcher.frames if first <= number <= last)
            lost.append(last - first + 1 - len(got))
            # What begins at once begins with a hole behind the last frame before.
            seen = [number for number in watcher.frames if first - FRAME_RATE <= number <= last]
            times = sorted(watcher.frames[number] for number in seen)
            holes.append(max((later - sooner for sooner, later in pairwise(times)), default=99.0))
        orphans, gone_s = await self._orphans()
        return Outcome(
            fault,
            len(self.watchers),
            sum(hole > _HOLE_S for hole in holes),
            sum(watcher.moves for watcher in self.watchers) - moves,
            last - first + 1,
            round(statistics.median(lost)),
            max(lost),
            round(max(holes), 2),
            await self.rehearsal.origin() != origin,
            orphans,
            gone_s,
            *gained(held, self.rehearsal.held()),
        )

    async def _orphans(self) -> tuple[int, float]:
        """How many sessions of nobody's are left in the end, and how long it took until there were none."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (found := await self.rehearsal.orphans()) and loop.time() - began < _REAP_S:
            await asyncio.sleep(0.25)
        return len(found), round(loop.time() - began, 1)

    async def _read(self) -> None:
        while True:
            for watcher in self.watchers:
                watcher.read()
            await asyncio.sleep(_READ_S)


async def edge_of(scene: Scene, *, but_host: int | None = None) -> Node:
    """A worker with viewers that is not the origin; where faults have left none, a viewer is told to go to one.

    Raises:
        TimeoutError: nobody came to another worker.
    """
    async with asyncio.timeout(_RECOVERY_S):
        while True:
            origin = await scene.rehearsal.origin()
            taken = {session.partition("-")[0] for watcher in scene.watchers for session in watcher.sessions}
            nodes = [scene.rehearsal.nodes[name] for name in sorted(taken) if name != origin]
            if found := [node for node in nodes if node.host != but_host]:
                return found[0]
            session = next(session for watcher in scene.watchers for session in watcher.sessions)
            await scene.rehearsal.fleet.order(session.partition("-")[0], Move(ROOM, session))
            await asyncio.sleep(_ORDERED_S)
