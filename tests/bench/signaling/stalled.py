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
SECONDS: Final = 12.0
_SAMPLE_S: Final = 0.5


async def measure(
    cores: Cores, *, sockets: int = 1000, stalled: int = 1, rate: float = RATE, seconds: float = SECONDS
) -> dict[str, Any]:
    """The same load twice, with everybody reading and with `stalled` of them stopped; then they read again."""
    publishers = min(sockets // 2, max(fanout.MIN_PUBLISHERS, round(rate / PER_PUBLISHER)))
    load = Load(rate, seconds)
    async with AsyncExitStack() as running:
        target = await running.enter_async_context(Headrace(cores).start(sockets, publishers))
        plan = msgspec.structs.replace(target.plan, small_buffers=stalled)
        generator = await running.enter_async_context(generating(plan, core=cores.rest))
        opened = await generator.open()
        before, _ = await _run(target, generator, cores, load)
        reading = await generator.stall(stalled)
        during, memory_kb = await _run(target, generator, cores, load)
        await generator.stall(0)
        await asyncio.sleep(2.0)
        left = await generator.open_now()
    found = {
        "stalled_readers": opened.opened - reading,
        "stalled_others": reading,
        "stalled_p95_before_ms": before.p95_ms,
        "stalled_p95_others_ms": during.p95_ms,
        "stalled_p99_before_ms": before.p99_ms,
        "stalled_p99_others_ms": during.p99_ms,
        "stalled_missing_deliveries": during.missing,
        "stalled_rss_growth_kb": memory_kb[-1] - memory_kb[0],
        "stalled_rss_peak_growth_kb": max(memory_kb) - memory_kb[0],
        "stalled_sockets_closed": opened.opened - left,
    }
    print(
        f"stalled: {found['stalled_readers']} of {opened.opened:,} stop reading at {rate:,.0f} published/s for "
        f"{seconds:.0f} s: P95 of the others {during.p95_ms} ms (before: {before.p95_ms} ms), "
        f"missing {during.missing}, "
        f"memory {found['stalled_rss_growth_kb']:+,} kB (peak {found['stalled_rss_peak_growth_kb']:+,} kB), "
        f"{found['stalled_sockets_closed']} closed by the server"
    )
    return found


async def _run(target: Target, generator: Generator, cores: Cores, load: Load) -> tuple[Counts, list[int]]:
    """One load, with the server's memory along the way."""
    memory = [resident_kb([target.server])]

    async def watch() -> None:
        while True:
            await asyncio.sleep(_SAMPLE_S)
            memory.append(resident_kb([target.server]))

    watching = asyncio.create_task(watch())
    try:
        counts, _ = await fanout.run(target, generator, cores, load)
    finally:
        watching.cancel()
    return counts, memory
