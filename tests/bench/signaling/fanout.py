"""One room, many people, messages at a fixed rate: what a server delivers, how late, for how much processor time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import msgspec

from .generator import Counts, Generator, Load, Opened, generating
from .headrace import PER_PUBLISHER
from .sampling import Cores, Sample, Sampler, resident_kb
from .target import Start, Target

SETTLING_S: Final = 1.0
_GLANCE_S: Final = 0.5
MIN_PUBLISHERS: Final = 20
# Above these a core has nothing left: what is measured then is the queue in front of it.
SATURATED: Final = 0.93
LATE_SENDS_MS: Final = 25.0
# Somebody else's work on the two cores that makes a figure doubtful.
NOISE: Final = 0.08


class Server(Protocol):
    """How a server under test is started."""

    @property
    def name(self) -> str:
        """As it is called in the table."""
        ...

    @property
    def start(self) -> Start:
        """Start it."""
        ...


class SetUp(msgspec.Struct, frozen=True):
    """What it took to get everybody in."""

    joins_per_s: float
    cpu_ms_per_join: float
    kb_per_socket: float
    failed: int
    note: str


class Cell(msgspec.Struct, frozen=True):
    """One server at one size and rate. Processor use in cores."""

    server: str
    sockets: int
    rate: float
    set_up: SetUp
    counts: Counts
    deliveries_per_s: float
    deliveries_per_cpu_s: float
    server_cores: float
    beside_cores: float
    generator_cores: float
    rest_core_busy: float
    noise: float

    @property
    def generator_saturated(self) -> bool:
        """Whether the figure says more about the generator's core than about the server: then it is invalid."""
        return self.rest_core_busy >= SATURATED or self.counts.send_lag_p99_ms > LATE_SENDS_MS

    @property
    def server_saturated(self) -> bool:
        """Whether the server had no more to give."""
        return self.server_cores >= SATURATED or self.counts.missing > 0

    @property
    def verdict(self) -> str:
        """Which side was the limit."""
        parts = []
        if self.generator_saturated:
            parts.append("INVALID: the generator's core is full")
        if self.server_saturated:
            parts.append("server saturated")
        if self.noise > NOISE:
            parts.append(f"others used {self.noise:.0%}")
        return ", ".join(parts)


async def measure(
    server: Server, cores: Cores, *, sockets: int, rates: Sequence[float], seconds: float, patience_s: float = 0.0
) -> AsyncIterator[Cell]:
    """A cell for each rate, in rising order; each waits up to `patience_s` for others to leave the cores alone.

    A server that cannot keep up has a queue that would spoil the next cell, and at a higher rate it would only grow: so
    it starts anew after such a cell, and gets no higher rate after two of them.
    """
    waiting = sorted(rates)
    saturated = 0
    while waiting and saturated < 2:
        publishers = min(sockets, max(MIN_PUBLISHERS, round(max(waiting) / PER_PUBLISHER)))
        async with server.start(sockets, publishers) as target, generating(target.plan, core=cores.rest) as generator:
            set_up = await _set_up(target, generator, cores)
            while waiting:
                await _quiet(cores, patience_s)
                cell = await _cell(target, generator, cores, set_up, Load(waiting.pop(0), seconds))
                yield cell
                if cell.server_saturated:
                    saturated += 1
                    break


async def _quiet(cores: Cores, patience_s: float) -> None:
    """Wait until the cores are free, or for as long as one is willing to wait. Our own servers are idle here."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        sampler = Sampler({}, cores)
        await asyncio.sleep(_GLANCE_S)
        if max(sampler.sample(_GLANCE_S).used.values()) < NOISE:
            return


async def _set_up(target: Target, generator: Generator, cores: Cores) -> SetUp:
    before = resident_kb([target.server])
    sampler = Sampler({"server": [target.server]}, cores)
    opened: Opened = await generator.open()
    used = sampler.sample(1.0).of("server")
    await asyncio.sleep(SETTLING_S)
    there = max(1, opened.opened)
    return SetUp(
        joins_per_s=opened.opened / opened.seconds,
        cpu_ms_per_join=1000 * used / there,
        kb_per_socket=(resident_kb([target.server]) - before) / there,
        failed=opened.failed,
        note=opened.note,
    )


async def _cell(target: Target, generator: Generator, cores: Cores, set_up: SetUp, load: Load) -> Cell:
    counts, sample = await run(target, generator, cores, load)
    server = sample.of("server")
    return Cell(
        server=target.name,
        sockets=counts.receivers,
        rate=load.rate,
        set_up=set_up,
        counts=counts,
        deliveries_per_s=counts.window_deliveries / counts.window_s,
        deliveries_per_cpu_s=counts.window_deliveries / counts.window_s / max(server, 0.001),
        server_cores=server,
        beside_cores=sample.of("beside"),
        generator_cores=sample.of("generator"),
        rest_core_busy=sample.of(f"core:{cores.rest}"),
        noise=sample.foreign(cores),
    )


async def run(target: Target, generator: Generator, cores: Cores, load: Load) -> tuple[Counts, Sample]:
    """One load, with the processor use of its window."""
    # This program watches from the other core too, so it counts among what stands beside the server.
    beside = [*target.beside, os.getpid()]
    groups = {"server": [target.server], "beside": beside, "generator": [generator.pid]}
    await generator.begin(load)
    sampler = Sampler(groups, cores)
    await generator.end()
    sample = sampler.sample(load.seconds)
    return await generator.counts(), sample
