"""What warming is good for: rooms go live and their crowds come, to processes that have never read them.

Half of the rooms are announced, their owner fetching a token; the others are not, and their readers come to one process
first, as many more each fifth of a second, and then to all. What counts is the first read of each room at each process.
"""

import asyncio
import time
from typing import Any

from shared.cache import metrics
from shared.cache.rooms import CachedDirectory
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from tests.bench.cache.rooms import directories, made
from tests.bench.machine import percentile
from tests.shared.cache.support import counted

_RISE = (1, 2, 4, 8, 16, 32)
_STEP_S = 0.2
_CROWD_AFTER_S = 2.5


async def measure(stack: LocalStack, *, rooms: int, processes: int, warming: bool) -> dict[str, Any]:
    """Shares and latencies of the first reads, without those at the process where a rising room begins."""
    client = connect_mongodb(stack.mongodb_uri)
    names = [room.id for room in await made(client, rooms)]
    await client.close()
    announced, rising = names[: rooms // 2], names[rooms // 2 :]
    async with directories(stack, processes, warming=warming) as found:
        owners = [directory for _, directory in found]
        for number, room in enumerate(announced):
            owners[number % processes].about_to_go_live(room)
        await asyncio.gather(*(_rise(owners[number % processes], room) for number, room in enumerate(rising)))
        await asyncio.sleep(_CROWD_AFTER_S - _STEP_S * len(_RISE))
        suffix = "warm" if warming else "cold"
        result: dict[str, Any] = {}
        for kind, group in (("announced", announced), ("rising", rising)):
            firsts = [
                (directory, room)
                for place, room in enumerate(group)
                for number, directory in enumerate(owners)
                if kind == "announced" or number != place % processes
            ]
            result |= await _read(f"{kind}_{suffix}", firsts)
    return result


async def _rise(directory: CachedDirectory, room: str) -> None:
    for readers in _RISE:
        await asyncio.gather(*(directory.find(room) for _ in range(readers)))
        await asyncio.sleep(_STEP_S)


async def _read(name: str, firsts: list[tuple[CachedDirectory, str]]) -> dict[str, Any]:
    before = {level: counted(metrics.READS, "room", level) for level in ("l1", "l2", "l3")}
    took_us: list[float] = []
    for directory, room in firsts:
        began = time.perf_counter()
        await directory.find(room)
        took_us.append(1e6 * (time.perf_counter() - began))
    after = {level: counted(metrics.READS, "room", level) - before[level] for level in before}
    return {
        f"{name}_l1_share": round(after["l1"] / len(firsts), 3),
        f"{name}_mongodb_share": round(after["l3"] / len(firsts), 3),
        f"{name}_first_read_p50_us": round(percentile(took_us, 50), 1),
        f"{name}_first_read_p95_us": round(percentile(took_us, 95), 1),
    }
