"""People who stop reading among a thousand who go on: nobody else waits, and nothing grows."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from . import fanout
from .generator import Counts, Generator, Load, generating
from .headrace import PER_PUBLISHER, Headrace
from .sampling import Cores, resident_kb
from .target import Target

RATE: Final = 1000.0
# Long enough for the kernel's buffers (4 MB at most by default) and ours to fill.
SECONDS: Final = 40.0
_SAMPLE_S: Final = 0.5


async def measure(
    cores: Cores, *, sockets: int = 1000, stalled: int = 1, rate: float = RATE, seconds: float = SECONDS
) -> dict[str, Any]:
    """The same load three times: with everybody reading, with `stalled` of them stopped, and with all reading again.

    The third says what of a change is the stopped readers' doing and what is that of time or of other programs.
    """
    publishers = min(sockets // 2, max(fanout.MIN_PUBLISHERS, round(rate / PER_PUBLISHER)))
    load = Load(rate, seconds)
    async with AsyncExitStack() as running:
        target = await running.enter_async_context(Headrace(cores).start(sockets, publishers))
        plan = msgspec.structs.replace(target.plan, small_buffers=stalled)
        generator = await running.enter_async_context(generating(plan, core=cores.rest))
        opened = await generator.open()
        before = await _run(target, generator, cores, load)
        reading = await generator.stall(stalled)
        during = await _run(target, generator, cores, load)
        await generator.stall(0)
        await asyncio.sleep(2.0)
        left = await generator.open_now()
        after = await _run(target, generator, cores, load)
    found = {
        "stalled_readers": opened.opened - reading,
        "stalled_others": reading,
        "stalled_p95_before_ms": before.counts.p95_ms,
        "stalled_p95_others_ms": during.counts.p95_ms,
        "stalled_p95_after_ms": after.counts.p95_ms,
        "stalled_p99_before_ms": before.counts.p99_ms,
        "stalled_p99_others_ms": during.counts.p99_ms,
        "stalled_p99_after_ms": after.counts.p99_ms,
        "stalled_missing_deliveries": during.counts.missing,
        "stalled_rss_growth_before_kb": before.growth_kb,
        "stalled_rss_growth_kb": during.growth_kb,
        "stalled_sockets_closed": opened.opened - left,
    }
    print(
        f"stalled: {found['stalled_readers']} of {opened.opened:,} stop reading at {rate:,.0f} published/s for "
        f"{seconds:.0f} s; {found['stalled_sockets_closed']} of them were closed by the server"
    )
    for name, phase in (("before", before), ("stalled", during), ("after", after)):
        counts = phase.counts
        print(
            f"  {name:<8} P95 {counts.p95_ms:.1f} ms, P99 {counts.p99_ms:.1f} ms of those who read; missing "
            f"{counts.missing:,}, refused {counts.kinds['error']}, lost {counts.lost_links} {counts.note}; server "
            f"{phase.server_cores:.2f} cores, memory {phase.growth_kb:+,} kB; other programs {phase.noise:.2f} cores"
        )
    return found


class _Phase(msgspec.Struct, frozen=True):
    """One load; what the server's memory grew by, from its beginning to its highest."""

    counts: Counts
    growth_kb: int
    server_cores: float
    noise: float


async def _run(target: Target, generator: Generator, cores: Cores, load: Load) -> _Phase:
    memory = [resident_kb([target.server])]

    async def watch() -> None:
        while True:
            await asyncio.sleep(_SAMPLE_S)
            memory.append(resident_kb([target.server]))

    watching = asyncio.create_task(watch())
    try:
        counts, sample = await fanout.run(target, generator, cores, load)
    finally:
        watching.cancel()
    return _Phase(counts, max(memory) - memory[0], sample.of("server"), sample.foreign(cores))
