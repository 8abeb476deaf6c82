"""Measuring: so many viewers in so many rooms of one target for so long, and the most that its core can carry."""

import asyncio
import os
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, Self

import msgspec
from aiortc.rtcdtlstransport import RTCCertificate

from tests.bench import machine
from tests.bench.signaling.sampling import Cores, Sampler, resident_kb

from .native import load
from .stream import Frames, Publisher
from .viewers import Viewer, Witness, keep_alive
from .worker import Lag

# So many of those who join at once are witnesses, spread evenly: who joined last may be served last.
_WITNESSES: Final = 8
# Of one room's stream and the next one's: keyframes of streams that have nothing to do with each other do not coincide.
_FRAMES_APART: Final = 23
_WARM_UP_S: Final = 1.0
_SETTLING_S: Final = 0.5
# More than this share lost, or later than this, and the target does not carry the load.
_TOLERATED_LOSS: Final = 0.0001
_TOLERATED_DELAY_MS: Final = 150.0
_SATURATED: Final = 0.95
_TRIES: Final = 3
# What is tried after each load that was too much, as a share of it.
_STEPS_DOWN: Final = (0.92, 0.8, 0.6)
_JOIN_TRIES: Final = 3
_QUIET_TRIES: Final = 20


class Target(Protocol):
    """Whatever forwards: joined by viewers, room by room."""

    keeps_alive: bool
    joins_at_once: int

    @property
    def pids(self) -> Sequence[int]:
        """Its processes."""

    async def publish(self, peer: Viewer, room: int) -> None:
        """Connect a room's publisher."""

    async def view(self, viewer: Viewer, room: int) -> None:
        """Connect a viewer."""

    async def leave(self, viewer: Viewer) -> None:
        """Disconnect a viewer who is there."""

    async def present(self) -> Container[Viewer]:
        """Who is there still: an overloaded target hears nobody and takes them for gone."""

    async def lag(self) -> Lag | None:
        """How late its event loop's timers have been so far, if it says so."""


class Cell(msgspec.Struct, frozen=True):
    """What came of one number of viewers."""

    viewers: int
    rooms: int
    packets_per_second: float
    worker_cores: float
    rest_cores: float
    foreign_cores: float
    lost: int
    lost_share: float
    delays_ms: tuple[float, float, float]
    """Median, 95th and 99th percentile."""
    lag: Lag | None
    feedback_per_second: float = 0.0
    """Packets of transport-wide feedback that viewers sent."""

    @property
    def packets_per_cpu_second(self) -> float:
        """Packets that arrived at viewers for each second of the target's processor time."""
        return self.packets_per_second / self.worker_cores if self.worker_cores else 0.0

    @property
    def saturated(self) -> bool:
        """Whether the target had no time left."""
        return self.worker_cores > _SATURATED

    @property
    def sustained(self) -> bool:
        """Whether the target carried this load."""
        return self.lost_share <= _TOLERATED_LOSS and self.delays_ms[1] <= _TOLERATED_DELAY_MS


class Room:
    """A publisher and its viewers."""

    def __init__(self) -> None:
        self.peer: Viewer | None = None
        self.publisher: Publisher | None = None
        self.viewers: list[Viewer] = []


class Bench:
    """A target, and who is in its rooms so far."""

    def __init__(self, target: Target, cores: Cores) -> None:
        self._target = target
        self._cores = cores
        self._rooms: list[Room] = []
        self._peers: list[Viewer] = []
        self._witnesses: list[Witness] = []
        self._certificate = RTCCertificate.generateCertificate()
        self._sinks = load().sinks_open(cores.rest)
        self._empty_kb = 0
        self.join_cpu_ms = float("nan")
        self.kb_per_viewer = float("nan")

    @classmethod
    @asynccontextmanager
    async def of(cls, target: Target, cores: Cores) -> AsyncIterator[Self]:
        """Have a bench for as long as this is entered."""
        bench = cls(target, cores)
        alive = asyncio.create_task(keep_alive(bench._peers if target.keeps_alive else []))
        try:
            yield bench
        finally:
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)
            for witness in bench._witnesses:
                witness.close()
            for peer in bench._peers:
                peer.discard()
            load().sinks_close(bench._sinks)

    @property
    def protection(self) -> str:
        """The SRTP profile of the viewers."""
        return next(room.viewers[0].protection for room in self._rooms if room.viewers)

    async def measure(self, frames: Frames, count: int, seconds: float, *, rooms: int = 1) -> Cell:
        """Have that many viewers, evenly in so many rooms, and send to them for so long."""
        await self._fill(count, rooms)
        await self._send(frames, _WARM_UP_S)
        await self._quiet()
        for witness in self._witnesses:
            witness.delays_ms.clear()
        arrived, told, lag = self._arrived(), self._told(), await self._target.lag()
        sampler = Sampler({"worker": self._target.pids, "rest": [os.getpid()]}, self._cores)
        sent = await self._send(frames, seconds)
        await asyncio.sleep(_SETTLING_S)
        window_s = seconds + _SETTLING_S
        sample = sampler.sample(window_s)
        got = self._arrived() - arrived
        after = await self._target.lag()
        delays = sorted(delay for witness in self._witnesses for delay in witness.delays_ms) or [float("nan")]
        return Cell(
            viewers=count,
            rooms=rooms,
            packets_per_second=got / seconds,
            worker_cores=sample.of("worker") * window_s / seconds,
            rest_cores=sample.of("rest"),
            foreign_cores=sample.foreign(self._cores),
            lost=sent - got,
            lost_share=(sent - got) / max(1, sent),
            delays_ms=tuple(machine.percentile(delays, percent) for percent in (50, 95, 99)),  # type: ignore[arg-type]
            lag=after.since(lag) if after is not None and lag is not None else None,
            feedback_per_second=(self._told() - told) / window_s,
        )

    async def limit(self, frames: Frames, near: Cell, seconds: float, *, caution: float = 1.0) -> AsyncIterator[Cell]:
        """Measure around the number of viewers that the target's core can just carry.

        Begins with that share of what a cell lets expect, `caution`: another traffic's packets may cost more.
        """
        ceiling, carried, failures = float("inf"), 0, 0
        estimate = max(1, round(_full(near, frames) * caution))
        for tries in range(_TRIES + len(_STEPS_DOWN)):
            if tries >= _TRIES and carried:
                return
            cell = await self.measure(frames, estimate, seconds)
            yield cell
            if cell.sustained:
                carried = max(carried, cell.viewers)
                # What a viewer costs falls with their number: a core that is nearly full may take a few more.
                estimate = max(_full(cell, frames), round(cell.viewers * 1.06))
            else:
                ceiling = min(ceiling, cell.viewers)
                estimate = max(1, round(cell.viewers * _STEPS_DOWN[min(failures, len(_STEPS_DOWN) - 1)]))
                failures += 1
            if estimate >= ceiling:
                estimate = round((carried + ceiling) / 2)
            if estimate <= carried * 1.02:
                return

    async def _fill(self, count: int, rooms: int) -> None:
        await self._forget_the_lost()
        while len(self._rooms) < rooms:
            self._rooms.append(Room())
        for number, room in enumerate(self._rooms[:rooms]):
            if room.peer is None:
                room.peer = Viewer(certificate=self._certificate)
                await self._target.publish(room.peer, number)
                room.publisher = Publisher(room.peer, first=number * _FRAMES_APART)
                self._peers.append(room.peer)
        self._empty_kb = self._empty_kb or resident_kb(self._target.pids)
        wanted = [
            (count // rooms + (number < count % rooms)) if number < rooms else 0 for number in range(len(self._rooms))
        ]
        for room, viewers in zip(self._rooms, wanted, strict=True):
            await self._shrink(room, viewers)
        await self._grow([viewers - len(room.viewers) for room, viewers in zip(self._rooms, wanted, strict=True)])

    async def _forget_the_lost(self) -> None:
        present = await self._target.present()
        for room in self._rooms:
            for viewer in [viewer for viewer in room.viewers if viewer not in present]:
                self._forget(room, viewer)
            if room.peer is not None and room.peer not in present:
                self._peers.remove(room.peer)
                room.peer.discard()
                room.peer = room.publisher = None

    async def _shrink(self, room: Room, count: int) -> None:
        for viewer in room.viewers[count:]:
            await self._target.leave(viewer)
            self._forget(room, viewer)

    def _forget(self, room: Room, viewer: Viewer) -> None:
        for witness in [witness for witness in self._witnesses if witness.viewer is viewer]:
            witness.close()
            self._witnesses.remove(witness)
        room.viewers.remove(viewer)
        self._peers.remove(viewer)
        viewer.discard()

    async def _grow(self, more: list[int]) -> None:
        """Let so many viewers join each room."""
        if not any(more):
            return
        before = machine.cpu_seconds(self._target.pids)
        at_once = asyncio.Semaphore(self._target.joins_at_once)

        async def join(number: int) -> tuple[int, Viewer]:
            async with at_once:
                viewer = await self._join(number)
                # It says that it is there from now on, while others join.
                self._peers.append(viewer)
                return number, viewer

        joined = await asyncio.gather(*(join(number) for number, count in enumerate(more) for _ in range(count)))
        stride = max(1, len(joined) // _WITNESSES)
        for index, (number, viewer) in enumerate(joined):
            if index % stride == stride // 2:
                self._witnesses.append(Witness(viewer))
            else:
                viewer.sink(self._sinks)
            self._rooms[number].viewers.append(viewer)
        self.join_cpu_ms = (machine.cpu_seconds(self._target.pids) - before) * 1000 / len(joined)
        viewers = sum(len(room.viewers) for room in self._rooms)
        self.kb_per_viewer = (resident_kb(self._target.pids) - self._empty_kb) / viewers

    async def _join(self, number: int) -> Viewer:
        # No answer to connectivity checks, or no handshake in time: other programs may have had the core.
        for _ in range(_JOIN_TRIES - 1):
            with suppress(AssertionError, TimeoutError):
                return await self._view(number)
        return await self._view(number)

    async def _view(self, number: int) -> Viewer:
        viewer = Viewer(certificate=self._certificate)
        try:
            await self._target.view(viewer, number)
        except BaseException:
            viewer.discard()
            raise
        return viewer

    async def _quiet(self) -> None:
        """Wait until what an overload has left in buffers has arrived."""
        before = -1
        for _ in range(_QUIET_TRIES):
            if (now := self._arrived()) == before:
                return
            before = now
            await asyncio.sleep(_SETTLING_S)

    async def _send(self, frames: Frames, seconds: float) -> int:
        """Let all publishers that have viewers send, their frames staggered; how many packets viewers should get."""
        busy = [(room.publisher, len(room.viewers)) for room in self._rooms if room.publisher and room.viewers]
        runs = (
            publisher.run(frames, seconds, offset_s=place / len(busy) / frames.rate)
            for place, (publisher, _) in enumerate(busy)
        )
        sent = await asyncio.gather(*runs)
        return sum(count * viewers for count, (_, viewers) in zip(sent, busy, strict=True))

    def _told(self) -> int:
        return int(load().sinks_feedbacks(self._sinks))

    def _arrived(self) -> int:
        return int(load().sinks_packets(self._sinks)) + sum(witness.packets for witness in self._witnesses)


def cheapest_of(cells: list[Cell]) -> Cell:
    """The load with the least processor time per packet that the target carried; the first where it carried none."""
    return max(
        (cell for cell in cells if cell.sustained), key=lambda cell: cell.packets_per_cpu_second, default=cells[0]
    )


def carried(cells: list[Cell]) -> int | None:
    """The largest number of viewers that the target carried; nothing where it carried none of them."""
    return max((cell.viewers for cell in cells if cell.sustained), default=None)


def best_of(cells: list[Cell]) -> Cell:
    """The cell with the largest number of viewers that the target carried; the first where it carried none."""
    return max((cell for cell in cells if cell.sustained), key=lambda cell: cell.viewers, default=cells[0])


def _full(cell: Cell, frames: Frames) -> int:
    """How many viewers would take the whole core, if each cost what it cost in a cell."""
    packets = cell.packets_per_cpu_second / frames.packets_per_viewer
    return max(1, round(packets))
